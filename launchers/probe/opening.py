"""From words to a language model: files, packages, and servers."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from annotated_types import Ge, Gt

from tolman.launchers.probe.model import ProbedModel

ENDPOINTS = ("http://", "https://")
HF, LM_EVAL = "hf:", "lm-eval:"
FORMS = (
    "a folder or file of llama2.c, a folder of Tolman's own, hf:FOLDER, "
    "lm-eval:TYPE,KEY=VALUE,..., or http://..."
)


@dataclass(frozen=True)
class ModelConfig:
    """Which language model is asked, and how.

    Attributes:
      model: a folder or file of llama2.c, a folder of Tolman's own, hf:FOLDER of Hugging
        Face, lm-eval:TYPE,KEY=VALUE of lm-evaluation-harness, or http://HOST/v1.
      dtype: of models that are run here, but for those of lm-evaluation-harness.
      device: of hf:FOLDER, such as cpu or cuda.
      chat_template: put each prompt as a user's turn, in hf:FOLDER's own template.
      tokenizer: of a file of llama2.c; None for tok*.bin or tokenizer.bin beside it.
      endpoint_model: the name by which an endpoint calls it; None where it has one.
      timeout_s: seconds that an endpoint has for one answer.
      max_requests_per_minute: of an endpoint; None for no limit of ours.
    """

    model: str
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = "cpu"
    chat_template: bool = False
    tokenizer: Path | None = None
    endpoint_model: str | None = None
    timeout_s: Annotated[float, Gt(0)] = 60.0
    max_requests_per_minute: Annotated[int, Ge(1)] | None = None


class Opened(NamedTuple):
    """Attributes:
    model: that can be asked.
    identity: what tells it apart from any other; answers are kept by it.
    """

    model: ProbedModel
    identity: dict[str, Any]


def open_model(config: ModelConfig) -> Opened:
    """Loads a model, or finds out what a server's can be asked.

    Raises:
      ValueError: where there is none, it is broken, or a package is missing.
    """
    spec = config.model
    if spec.startswith(ENDPOINTS):
        _check_address(spec)
        from tolman.launchers.probe.endpoint import open_endpoint

        endpoint = open_endpoint(
            spec, config.endpoint_model, config.timeout_s, config.max_requests_per_minute
        )
        return Opened(endpoint, {"endpoint": spec, "model": endpoint.name})
    if spec.startswith(HF):
        from tolman.launchers.probe.transformers_model import load_transformers

        folder = Path(spec.removeprefix(HF))
        model: ProbedModel = load_transformers(
            folder, config.dtype, config.device, config.chat_template
        )
        own = {"dtype": config.dtype, "chat_template": config.chat_template}
        return Opened(model, {"hf": content_of(folder), **own})
    if spec.startswith(LM_EVAL):
        from tolman.launchers.probe.lm_eval_model import load_lm_eval

        words = spec.removeprefix(LM_EVAL)
        return Opened(load_lm_eval(words), {"lm-eval": words})
    path = Path(spec)
    if not path.exists():
        raise ValueError(f"MODEL {spec!r}: no such file or folder. Give {FORMS}.")
    return _own(path, config)


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_one = bool(parts.hostname) and parts.port != 0  # A port may raise, too.
    except ValueError:
        is_one = False
    if not is_one:
        raise ValueError(
            f"MODEL {url!r}: is no address. Give one such as http://localhost:8000/v1."
        )


def _own(path: Path, config: ModelConfig) -> Opened:
    """A model that Haiku runs."""
    from tolman.launchers.probe import own_folder
    from tolman.launchers.probe.haiku_model import HaikuModel
    from tolman.launchers.probe.llama2c import read_checkpoint, read_tokenizer

    if (path / own_folder.SETTINGS).is_file():
        own = own_folder.load_model(path, config.dtype)
        parts = (own_folder.SETTINGS, own_folder.PARAMETERS)
        digests = {part: _digest(path / part) for part in parts}
        return Opened(own, {**digests, "dtype": config.dtype})
    if (path / "config.json").is_file() and path.is_dir():
        try:
            content = json.loads((path / "config.json").read_text())
        except ValueError as error:
            raise ValueError(f"{path / 'config.json'}: is not JSON ({error}).") from None
        if "architectures" in content:
            raise ValueError(f"MODEL {str(path)!r}: is of Hugging Face. Give hf:{path}.")
    if path.is_file() and path.suffix in (".json", ".jsonl"):
        raise ValueError(
            f"MODEL {str(path)!r}: is a {path.suffix} file: must be a model. Give {FORMS}; "
            f"questions of yours go with --items {path}."
        )
    checkpoint = path if path.is_file() else _only(path, _is_checkpoint, "checkpoint")
    settings, params = read_checkpoint(checkpoint)
    tokenizer = config.tokenizer
    if tokenizer is None:
        tokenizer = _only(checkpoint.parent, _is_tokenizer, "tokenizer (--tokenizer)")
    settings = dataclasses.replace(settings, dtype=config.dtype)
    model = HaikuModel(
        settings, params, read_tokenizer(tokenizer, settings.vocabulary_size)
    )
    files = {"checkpoint": _digest(checkpoint), "tokenizer": _digest(tokenizer)}
    return Opened(model, {**files, "dtype": config.dtype})


def _is_tokenizer(path: Path) -> bool:
    return path.suffix == ".bin" and path.name.startswith("tok")


def _is_checkpoint(path: Path) -> bool:
    return path.suffix == ".bin" and not path.name.startswith("tok")


def _only(folder: Path, is_one: Callable[[Path], bool], noun: str) -> Path:
    found = sorted(path for path in folder.iterdir() if is_one(path))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ValueError(
            f"MODEL {str(folder)!r}: must hold one {noun} of llama2.c, a .bin file; has "
            f"{names}. Give {FORMS}."
        )
    return found[0]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_of(folder: Path) -> list[list[Any]]:
    """Of each file its name, size and time of change: what is read of large ones."""
    return [
        [path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns]
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
