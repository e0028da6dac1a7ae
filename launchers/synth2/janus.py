"""Janus of `transformers`: one model that reads images and writes their codes.

Source: Chen et al. 2025, "Janus-Pro".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tolman.launchers.synth2.open_parts import (
    as_pixels,
    as_tensor,
    check_code_counts,
    check_images,
    load_model,
)


class Janus:
    """The methods are those of `TextToCodes`."""

    def __init__(self, model: Any, processor: Any, guidance: float) -> None:
        """Takes a `JanusForConditionalGeneration` and its processor; see `load_janus`."""
        self._model, self._processor, self._guidance = model, processor, guidance
        self._side = int(model.config.vq_config.num_patches)
        self._codec = model.model.vqmodel

    @property
    def image_size(self) -> int:
        return self._side * 2 ** (self._codec.encoder.num_resolutions - 1)

    @property
    def num_tokens(self) -> int:
        return self._side**2

    @property
    def codebook(self) -> np.ndarray:
        found: np.ndarray = self._directions().float().cpu().numpy()
        return found

    def draw(self, captions: Sequence[str], seed: int) -> np.ndarray:
        import torch

        rows = []
        for number, caption in enumerate(captions):  # One at a time: no padding is read.
            torch.manual_seed(seed + number)
            prompt = self._processor(
                text=caption, generation_mode="image", return_tensors="pt"
            ).to(self._model.device)
            with torch.inference_mode():
                codes = self._model.generate(
                    **prompt, generation_mode="image", do_sample=True,
                    guidance_scale=self._guidance,
                )  # fmt: skip
            rows.append(codes.reshape(-1)[-self.num_tokens :].cpu().numpy())
        return np.stack(rows).astype(np.uint16)

    def encode(self, images: np.ndarray) -> np.ndarray:
        import torch

        check_images(images, self.image_size)
        with torch.inference_mode():
            pixels = as_tensor(images, self._model.device, self._model.dtype) * 2 - 1
            states = self._codec.quant_conv(self._codec.encoder(pixels))  # [B, C, h, w]
            codes = torch.einsum("bchw,kc->bhwk", states, self._directions()).argmax(-1)
        return codes.reshape(len(images), -1).cpu().numpy().astype(np.uint16)

    def _directions(self) -> Any:
        """`[K, C]`, codes of length 1: so they are trained and decoded.

        The tokenizer's own `encode` in transformers looks for the nearest code without
        regard to lengths, and finds others than those that the model draws.
        """
        import torch

        weights = self._codec.quantize.embedding.weight.detach()
        return torch.nn.functional.normalize(weights, dim=-1)

    def decode(self, tokens: np.ndarray) -> np.ndarray:
        import torch

        rows = torch.tensor(tokens.astype(np.int64), device=self._model.device)
        with torch.inference_mode():
            images = self._codec.decode(rows)
        return as_pixels((images + 1) / 2)


def load_janus(
    folder: Path, device: str = "cpu", dtype: str = "float32", guidance: float = 5.0
) -> Janus:
    """A Janus of a folder that `save_pretrained` has written, with its processor.

    Args:
      folder: with a config.json.
      device: such as cpu or cuda.
      dtype: of the parameters.
      guidance: classifier-free, as transformers counts it: 1 is none.

    Raises:
      ValueError: if the folder holds no such model, weights or a package are missing.
    """
    model, processor = load_model(
        folder, "JanusForConditionalGeneration", "JanusProcessor", device, dtype
    )
    vision = model.config.vq_config
    head = model.model.generation_head.vision_head.out_features
    check_code_counts(folder, int(vision.num_embeddings), int(head))
    return Janus(model, processor, guidance)
