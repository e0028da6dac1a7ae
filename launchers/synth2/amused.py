"""aMUSEd of `diffusers`: a masked-token text-to-image model that gives its codes.

diffusers says that it is not tested any more; here it is tested with 0.35.2.

Source: Patil et al. 2024, "aMUSEd: An Open MUSE Reproduction".
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
    check_folder,
    check_images,
    loading,
)


class Amused:
    """The methods are those of `TextToCodes`."""

    def __init__(self, pipeline: Any, num_rounds: int, guidance: float) -> None:
        """Takes an `AmusedPipeline`; see `load_amused`."""
        self._pipeline, self._num_rounds, self._guidance = pipeline, num_rounds, guidance
        pipeline.set_progress_bar_config(disable=True)
        self._side = int(pipeline.transformer.config.sample_size)

    @property
    def image_size(self) -> int:
        return self._side * int(self._pipeline.vae_scale_factor)

    @property
    def num_tokens(self) -> int:
        return self._side**2

    @property
    def codebook(self) -> np.ndarray:
        weights = self._pipeline.vqvae.quantize.embedding.weight
        found: np.ndarray = weights.detach().float().cpu().numpy()
        return found

    def draw(self, captions: Sequence[str], seed: int) -> np.ndarray:
        import torch

        codes = self._pipeline(
            list(captions),
            num_inference_steps=self._num_rounds,
            guidance_scale=self._guidance,
            generator=torch.Generator(self._pipeline.device).manual_seed(seed),
            output_type="latent",
        ).images
        return codes.reshape(len(captions), -1).cpu().numpy().astype(np.uint16)

    def encode(self, images: np.ndarray) -> np.ndarray:
        import torch

        check_images(images, self.image_size)
        model = self._pipeline.vqvae
        with torch.inference_mode():
            pixels = as_tensor(images, model.device, model.dtype)
            codes = model.quantize(model.encode(pixels).latents)[2][2]
        return codes.reshape(len(images), -1).cpu().numpy().astype(np.uint16)

    def decode(self, tokens: np.ndarray) -> np.ndarray:
        import torch

        model = self._pipeline.vqvae
        with torch.inference_mode():
            rows = torch.tensor(tokens.astype(np.int64), device=model.device)
            shape = (len(tokens), self._side, self._side, model.config.latent_channels)
            codes = rows.reshape(shape[:3])
            images = model.decode(codes, force_not_quantize=True, shape=shape).sample
        return as_pixels(images)


def load_amused(
    folder: Path,
    device: str = "cpu",
    dtype: str = "float32",
    num_rounds: int = 12,
    guidance: float = 10.0,
) -> Amused:
    """An aMUSEd of a folder that `save_pretrained` has written.

    Args:
      folder: with a model_index.json.
      device: such as cpu or cuda.
      dtype: of the parameters.
      num_rounds: of parallel decoding.
      guidance: classifier-free, as diffusers counts it: 1 is none.

    Raises:
      ValueError: if the folder holds no such model, or a package is missing.
    """
    check_folder(folder, "AmusedPipeline", file="model_index.json")
    with loading(folder):
        import torch
        from diffusers import AmusedPipeline

        pipeline = AmusedPipeline.from_pretrained(
            folder, local_files_only=True, torch_dtype=getattr(torch, dtype)
        ).to(device)
    check_code_counts(
        folder,
        int(pipeline.vqvae.config.num_vq_embeddings),
        int(pipeline.transformer.config.codebook_size),
    )
    return Amused(pipeline, num_rounds, guidance)
