"""Maps the four top-level folders to the namespace package `tolman`.

`agents/` installs as `tolman.agents`, and so on; there is no `tolman/__init__.py`.
Everything else about the distribution stands in `pyproject.toml`.
"""

from setuptools import find_packages, setup

LAYERS = ("agents", "envs", "networks", "launchers")

setup(
    packages=[
        f"tolman.{package}"
        for layer in LAYERS
        for package in (layer, *(f"{layer}.{sub}" for sub in find_packages(layer)))
    ],
    package_dir={f"tolman.{layer}": layer for layer in LAYERS},
)
