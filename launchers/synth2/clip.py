"""CLIP of `transformers`: how well an image and a caption fit.

Source: Hessel et al. 2021, "CLIPScore", equation 1, without the factor 2.5 and the floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tolman.launchers.synth2.open_parts import load_model


class Clip:
    """Scores images with captions."""

    def __init__(self, model: Any, processor: Any) -> None:
        """Takes a `CLIPModel` and its processor; see `load_clip`."""
        self._model, self._processor = model, processor

    def scores(
        self, images: np.ndarray, captions: Sequence[str], at_once: int = 32
    ) -> np.ndarray:
        """`[B]` from -1 to 1, the cosine of an image with its own caption.

        Args:
          images: `[B, H, W, 3]` uint8.
          captions: B texts; what is too long for the model is cut.
          at_once: pairs of a pass.

        Raises:
          ValueError: if there are not as many captions as images.
        """
        import torch

        if len(images) != len(captions):
            raise ValueError(
                f"{len(images)} images and {len(captions)} captions: must be as many."
            )
        found = []
        for first in range(0, len(images), at_once):
            part = slice(first, first + at_once)
            read = self._processor(
                text=list(captions[part]), images=list(images[part]), padding=True,
                truncation=True, return_tensors="pt",
            ).to(self._model.device)  # fmt: skip
            with torch.inference_mode():
                told = self._model(**read)
            # Both are of length 1.
            found.append(
                (told.image_embeds * told.text_embeds).sum(-1).float().cpu().numpy()
            )
        return np.concatenate(found)


def load_clip(folder: Path, device: str = "cpu", dtype: str = "float32") -> Clip:
    """A CLIP of a folder that `save_pretrained` has written, with its processor.

    Args:
      folder: with a config.json.
      device: such as cpu or cuda.
      dtype: of the parameters.

    Raises:
      ValueError: if the folder holds no such model, weights or a package are missing.
    """
    model, processor = load_model(folder, "CLIPModel", "CLIPProcessor", device, dtype)
    return Clip(model, processor)
