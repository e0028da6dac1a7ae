"""Emu3 of `transformers`: a language model of text and of the codes of images.

Source: Wang et al. 2024, "Emu3: Next-Token Prediction is All You Need".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


class Emu3:
    """The methods are those of `TextToCodes`."""

    def __init__(
        self, model: Any, processor: Any, image_size: int, guidance: float
    ) -> None:
        """Takes an `Emu3ForConditionalGeneration` and its processor; see `load_emu3`."""
        self._model, self._processor = model, processor
        self._image_size, self._guidance = image_size, guidance
        self._codec, self._codes = model.model.vqmodel, model.model.vocabulary_mapping
        self._side = image_size // self._codec.spatial_scale_factor
        reader = processor.image_processor
        self._mean, self._scale = reader.image_mean, reader.image_std  # Of each colour.

    @property
    def image_size(self) -> int:
        return self._image_size

    @property
    def num_tokens(self) -> int:
        return self._side**2

    @property
    def codebook(self) -> np.ndarray:
        weights = self._codec.quantize.embedding.weight
        found: np.ndarray = weights.detach().float().cpu().numpy()
        return found

    def draw(self, captions: Sequence[str], seed: int) -> np.ndarray:
        import torch

        rows = []
        for number, caption in enumerate(captions):  # One at a time: no padding is read.
            torch.manual_seed(seed + number)
            prompt, nothing = self._prompt(caption), self._prompt("")
            with torch.inference_mode():
                written = self._model.generate(
                    **prompt, do_sample=True, guidance_scale=self._guidance,
                    negative_prompt_ids=nothing["input_ids"],
                    negative_prompt_attention_mask=nothing["attention_mask"],
                    max_new_tokens=self._side * (self._side + 1),
                    prefix_allowed_tokens_fn=self._allowed(prompt["input_ids"].shape[1]),
                )  # fmt: skip
            lines = written[0, -self._side * (self._side + 1) :].reshape(self._side, -1)
            rows.append(self._codes.convert_bpe2img(lines).reshape(-1).cpu().numpy())
        return np.stack(rows).astype(np.uint16)

    def encode(self, images: np.ndarray) -> np.ndarray:
        import torch

        check_images(images, self.image_size)
        sizes = torch.tensor([images.shape[1:3]] * len(images))
        with torch.inference_mode():
            pixels = as_tensor(images, self._model.device, self._model.dtype)
            mean, scale = self._colours(pixels)
            found = self._codec.encode((pixels - mean) / scale, sizes)
            # A list of images' codes, in some versions behind what the encoder gives.
            codes = getattr(found, "image_tokens", found)
        rows = torch.stack(list(codes)).reshape(len(images), -1).cpu().numpy()
        return rows.astype(np.uint16)

    def decode(self, tokens: np.ndarray) -> np.ndarray:
        import torch

        rows = torch.tensor(tokens.astype(np.int64), device=self._model.device)
        with torch.inference_mode():
            images = self._codec.decode(rows.reshape(-1, self._side, self._side))
            mean, scale = self._colours(images)
        return as_pixels(images * scale + mean)

    def _colours(self, like: Any) -> tuple[Any, Any]:
        """Means and deviations that images are scaled by, `[3, 1, 1]` each."""
        mean, scale = like.new_tensor(self._mean), like.new_tensor(self._scale)
        return mean[:, None, None], scale[:, None, None]

    def _prompt(self, caption: str) -> Any:
        """What is read before an image is written: the caption, and the image's size."""
        read = self._processor(
            text=caption, return_for_image_generation=True, ratio="1:1",
            image_area=self.image_size**2, return_tensors="pt",
        )  # fmt: skip
        names = ("input_ids", "attention_mask")
        return {name: read[name].to(self._model.device) for name in names}

    def _allowed(self, start: int) -> Callable[[int, Any], list[int]]:
        """Codes, and the token that ends a line after each line of them."""
        codes, ends = list(self._codes.image_tokens), [self._codes.eol_token_id]

        def allowed(_: int, tokens: Any) -> list[int]:
            column = (len(tokens) - start) % (self._side + 1)
            return ends if column == self._side else codes

        return allowed


def load_emu3(
    folder: Path,
    device: str = "cpu",
    dtype: str = "float32",
    image_size: int = 256,
    guidance: float = 3.0,
) -> Emu3:
    """An Emu3 of a folder that `save_pretrained` has written, with its processor.

    Args:
      folder: with a config.json.
      device: such as cpu or cuda.
      dtype: of the parameters.
      image_size: H; its own images have 720, which are 8,100 codes.
      guidance: classifier-free, as transformers counts it: 1 is none.

    Raises:
      ValueError: if the folder holds no such model, weights or a package are missing, or
        the size is no multiple of what a code stands for.
    """
    model, processor = load_model(
        folder, "Emu3ForConditionalGeneration", "Emu3Processor", device, dtype
    )
    codes = model.model.vocabulary_mapping
    check_code_counts(folder, model.config.vq_config.codebook_size, len(codes.img2bpe))
    if image_size % (step := model.model.vqmodel.spatial_scale_factor):
        raise ValueError(f"image_size {image_size}: must be a multiple of {step}.")
    return Emu3(model, processor, image_size, guidance)
