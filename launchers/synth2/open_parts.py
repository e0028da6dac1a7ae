"""What open models in a local folder are to the studies, and how their folders are read.

Nothing is downloaded.

Shapes: B images of H = W pixels, N codes of an image, K codes in the codebook, C numbers of
a code.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

EXTRA = "pip install 'tolman[synth2]'"


class ImageCodes(Protocol):
    """A tokenizer of images.

    Attributes:
      image_size: H.
      num_tokens: N.
      codebook: `[K, C]` float32.
    """

    @property
    def image_size(self) -> int: ...

    @property
    def num_tokens(self) -> int: ...

    @property
    def codebook(self) -> np.ndarray: ...

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Codes `[B, N]` uint16 of images `[B, H, W, 3]` uint8."""
        ...

    def decode(self, tokens: np.ndarray) -> np.ndarray:
        """Images `[B, H, W, 3]` uint8 of codes `[B, N]`."""
        ...


class TextToCodes(ImageCodes, Protocol):
    """A text-to-image model that writes the codes of its own tokenizer."""

    def draw(self, captions: Sequence[str], seed: int) -> np.ndarray:
        """Codes `[B, N]` uint16 of images of captions; a seed draws the same again."""
        ...


class ImageToText(Protocol):
    """A captioner to compare with.

    Attributes:
      image_size: H of what it reads.
    """

    @property
    def image_size(self) -> int: ...

    def caption(self, images: np.ndarray) -> list[str]:
        """A caption of each image `[B, H, W, 3]` uint8."""
        ...


def check_folder(folder: Path, *class_names: str, file: str = "config.json") -> str:
    """The class of the model in a folder.

    Args:
      folder: that `save_pretrained` has written.
      class_names: of which it must be one.
      file: that names the class.

    Raises:
      ValueError: if the folder holds no model, or one of another class.
    """
    path = folder / file
    wanted = f"Give a folder of class {' or '.join(class_names)}."
    if not path.is_file():
        noun = "no such folder" if not folder.is_dir() else f"has no {file}"
        raise ValueError(f"{folder}: {noun}. {wanted}")
    try:
        told = json.loads(path.read_text())
        found = str(told.get("_class_name") or ", ".join(told["architectures"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path}: names no class of a model. Copy it anew.") from None
    for name in class_names:
        if name in found.split(", "):
            return name
    raise ValueError(f"{folder}: holds a model of class {found}. {wanted}")


@contextlib.contextmanager
def loading(folder: Path) -> Iterator[None]:
    """What is raised while a folder is loaded, in one line."""
    try:
        yield
    except ImportError as error:
        raise ValueError(f"{folder}: needs {error.name}. Install it: {EXTRA}.") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(
            f"{folder}: cannot be loaded ({reason}). Copy the folder anew, or give another."
        ) from None


def check_code_counts(folder: Path, tokenizer: int, generator: int) -> None:
    """Refuses a generator that writes other codes than its tokenizer knows."""
    if tokenizer != generator:
        raise ValueError(
            f"{folder}: its tokenizer has {tokenizer} codes, its generator {generator}: "
            "must be alike. Take both from one model."
        )


def load_model(
    folder: Path, model_class: str, processor_class: str, device: str, dtype: str
) -> tuple[Any, Any]:
    """A model of `transformers`, ready to be read from, and its processor.

    Args:
      folder: that `save_pretrained` has written both to.
      model_class: its name in `transformers`.
      processor_class: likewise.
      device: such as cpu or cuda.
      dtype: of the parameters.

    Raises:
      ValueError: if the folder holds no such model, weights or a package are missing.
    """
    check_folder(folder, model_class)
    with loading(folder):
        import torch
        import transformers

        # What does not fit is told in one line, not by a table before it.
        transformers.logging.set_verbosity(transformers.logging.CRITICAL)
        reader = getattr(transformers, processor_class)
        processor = reader.from_pretrained(folder, local_files_only=True)
        model, told = getattr(transformers, model_class).from_pretrained(
            folder,
            local_files_only=True,
            dtype=getattr(torch, dtype),
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    check_missing(folder, told)
    return model.to(device).eval(), processor


def check_missing(folder: Path, told: Mapping[str, Any]) -> None:
    """Refuses a model some of whose weights are not there, or of other sizes.

    Args:
      folder: of it.
      told: what `from_pretrained` says with `output_loading_info`.
    """
    if missing := sorted(told["missing_keys"]):
        raise ValueError(
            f"{folder}: {len(missing)} weights are missing, such as {missing[0]}. Copy the "
            "folder anew."
        )
    if unlike := sorted(str(one[0]) for one in told["mismatched_keys"]):
        raise ValueError(
            f"{folder}: {len(unlike)} weights are of other sizes than its config.json "
            f"says, such as {unlike[0]}. Copy the folder anew."
        )


def check_images(images: np.ndarray, image_size: int) -> None:
    """Refuses images that are not `[B, H, H, 3]` uint8."""
    if images.shape[1:] != (image_size, image_size, 3) or images.dtype != np.uint8:
        raise ValueError(
            f"images of shape {images.shape} and type {images.dtype}: must be [B, "
            f"{image_size}, {image_size}, 3] uint8. Scale them."
        )


def as_pixels(images: Any) -> np.ndarray:
    """`[B, H, W, 3]` uint8 of a tensor `[B, 3, H, W]` from 0 to 1."""
    scaled = (images.float().clamp(0, 1) * 255).round()
    return scaled.permute(0, 2, 3, 1).byte().cpu().numpy()


def as_tensor(images: np.ndarray, device: Any, dtype: Any) -> Any:
    """A tensor `[B, 3, H, W]` from 0 to 1 of `[B, H, W, 3]` uint8."""
    import torch

    rows = torch.tensor(images, device=device).permute(0, 3, 1, 2)
    return rows.to(dtype) / 255
