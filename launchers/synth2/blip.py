"""BLIP of `transformers`: a captioner to compare with.

Source: Li et al. 2022, "BLIP: Bootstrapping Language-Image Pre-training".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tolman.launchers.synth2.open_parts import check_folder, check_missing, loading


class Blip:
    """The method is that of `ImageToText`."""

    def __init__(self, model: Any, processor: Any, max_new_tokens: int) -> None:
        """Takes a `BlipForConditionalGeneration` and its processor; see `load_blip`."""
        self._model, self._processor = model, processor
        self._max_new_tokens = max_new_tokens

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
    check_folder(folder, "BlipForConditionalGeneration")
    with loading(folder):
        import torch
        from transformers import BlipForConditionalGeneration, BlipProcessor

        processor = BlipProcessor.from_pretrained(folder, local_files_only=True)
        model, told = BlipForConditionalGeneration.from_pretrained(
            folder,
            local_files_only=True,
            dtype=getattr(torch, dtype),
            output_loading_info=True,
        )
    check_missing(folder, told)
    return Blip(model.to(device).eval(), processor, max_new_tokens)
