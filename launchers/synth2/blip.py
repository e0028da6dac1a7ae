"""BLIP of `transformers`: a captioner to compare with.

Source: Li et al. 2022, "BLIP: Bootstrapping Language-Image Pre-training".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tolman.launchers.synth2.open_parts import load_model


class Blip:
    """The method is that of `ImageToText`."""

    def __init__(self, model: Any, processor: Any, max_new_tokens: int) -> None:
        """Takes a `BlipForConditionalGeneration` and its processor; see `load_blip`."""
        self._model, self._processor = model, processor
        self._max_new_tokens = max_new_tokens

    @property
    def image_size(self) -> int:
        """H of what it reads; other images are scaled to it."""
        return int(self._model.config.vision_config.image_size)

    def caption(self, images: np.ndarray) -> list[str]:
        import torch

        read = self._processor(images=list(images), return_tensors="pt")
        with torch.inference_mode():
            pixels = read["pixel_values"].to(self._model.device, self._model.dtype)
            tokens = self._model.generate(pixels, max_new_tokens=self._max_new_tokens)
        texts = self._processor.batch_decode(tokens, skip_special_tokens=True)
        return [str(text).strip() for text in texts]


def load_blip(
    folder: Path, device: str = "cpu", dtype: str = "float32", max_new_tokens: int = 40
) -> Blip:
    """A BLIP of a folder that `save_pretrained` has written, with its processor.

    Args:
      folder: with a config.json.
      device: such as cpu or cuda.
      dtype: of the parameters.
      max_new_tokens: of a caption.

    Raises:
      ValueError: if the folder holds no such model, weights or a package are missing.
    """
    model, processor = load_model(
        folder, "BlipForConditionalGeneration", "BlipProcessor", device, dtype
    )
    return Blip(model, processor, max_new_tokens)
