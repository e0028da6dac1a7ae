"""A second start finds what the first one compiled, unless the user wants none kept."""

import importlib.util
import os
import subprocess
import sys

import pytest

from tolman.launchers import doctor
from tolman.launchers.settings.compiled import (
    FLAG,
    JAX_FOLDER,
    JAX_LIMITS,
    VARIABLE,
    compiled_files,
    compiled_folder,
    keep_compiled,
)

COMPILE = """
import sys
from tolman.launchers.settings.compiled import keep_compiled
print(keep_compiled(sys.argv[1:]))
import jax
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event))
jax.jit(lambda x: 2.0 * x + 1.0)(3.0)
print("/jax/compilation_cache/cache_hits" in hits)
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch, tmp_path):
    """None of the variables, as in a user's shell."""
    for name in (JAX_FOLDER, *JAX_LIMITS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "kept"))


def start(*words):
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.splitlines()


def test_a_second_start_compiles_nothing():
    assert start("list", "agents") == ["['list', 'agents']", "False"]
    kept = sorted(compiled_files(compiled_folder()))
    assert kept
    assert start("list", "agents")[1] == "True"
    assert sorted(compiled_files(compiled_folder())) == kept


def test_a_flag_and_a_variable_turn_it_off(monkeypatch, tmp_path):
    assert start("list", FLAG, "agents") == ["['list', 'agents']", "False"]
    monkeypatch.setenv(VARIABLE, "off")
    monkeypatch.setenv(JAX_FOLDER, str(tmp_path / "given"))
    assert start() == ["[]", "False"]
    assert compiled_folder() is None
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written_programs_are_compiled(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file"))
    assert start()[1] == "False"


def test_the_folder_is_the_users_own_where_one_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv(JAX_FOLDER, str(tmp_path / "given"))
    keep_compiled([])
    assert os.environ[JAX_FOLDER] == str(tmp_path / "given")
    monkeypatch.delenv(JAX_FOLDER)
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert compiled_folder().parent == tmp_path / "caches" / "tolman" / "compiled"


def test_another_compression_has_a_folder_of_its_own(monkeypatch):
    """It is the one that jax uses, here and where a package brings another."""
    from jax._src import compilation_cache

    packed = compilation_cache.compress_executable(b"program")
    is_zstd = packed.startswith(b"\x28\xb5\x2f\xfd")  # RFC 8878, section 3.1.1.
    assert compiled_folder().name.endswith("-zstd" if is_zstd else "-zlib")
    spec = importlib.util.find_spec("json")
    monkeypatch.setattr("tolman.launchers.settings.compiled.find_spec", lambda _: spec)
    assert compiled_folder().name.endswith("-zstd")


def test_another_processor_has_a_folder_of_its_own(monkeypatch, tmp_path):
    from tolman.launchers.settings import compiled

    names = set()
    for flags in ("fpu avx", "fpu avx avx512f"):
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
        monkeypatch.setattr(compiled, "PROCESSOR", tmp_path / "cpuinfo")
        names.add(compiled_folder().name)
    assert len(names) == 2


def test_doctor_shows_and_clears_them():
    folder = compiled_folder()
    folder.mkdir(parents=True)
    for name, size in (("jit_f-1-cache", 2_000_000), ("jit_f-1-atime", 8), ("notes", 9)):
        (folder / name).write_bytes(bytes(size))
    assert doctor._compiled().found == f"2.0 MB kept in {folder}"
    told = doctor.clear_compiled()
    assert told == f"deleted 2 files of compiled programs, 2.0 MB: {folder}"
    assert [file.name for file in folder.iterdir()] == ["notes"]
