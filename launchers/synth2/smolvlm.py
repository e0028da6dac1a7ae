"""SmolVLM of `transformers`: a captioner to compare with, asked by a prompt.

Source: Marafioti et al. 2025, "SmolVLM: Redefining small and efficient multimodal models".
  Departure: an image is read as one tile of the model's own size; the processor's default
  is to enlarge it and to read a grid of such tiles too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tolman.launchers.synth2.open_parts import check_folder, check_images, load_model

# Of its second version and of its first.
CLASSES = ("SmolVLMForConditionalGeneration", "Idefics3ForConditionalGeneration")
PROMPT = "Describe the photograph in one sentence."


class SmolVlm:
    """The method is that of `ImageToText`."""

    def __init__(self, model: Any, processor: Any, max_new_tokens: int) -> None:
        """Takes a model of `CLASSES` and an `Idefics3Processor`; see `load_smolvlm`."""
        self._model, self._processor = model, processor
        self._max_new_tokens = max_new_tokens
        asked = [{"type": "image"}, {"type": "text", "text": PROMPT}]
        self._prompt = processor.apply_chat_template(
            [{"role": "user", "content": asked}], add_generation_prompt=True
        )

    @property
    def image_size(self) -> int:
        """H of a tile; other images are scaled to it."""
        return int(self._model.config.vision_config.image_size)

    def caption(self, images: np.ndarray) -> list[str]:
        import torch

        check_images(images, self.image_size)
        read = self._processor(
            images=[[image] for image in images],
            text=[self._prompt] * len(images),
            do_resize=False,  # One tile: larger, it would be split.
            return_tensors="pt",
        ).to(self._model.device, self._model.dtype)
        with torch.inference_mode():
            tokens = self._model.generate(
                **read, do_sample=False, max_new_tokens=self._max_new_tokens
            )
        # All prompts are of one length: none is padded.
        written = tokens[:, read["input_ids"].shape[1] :]
        texts = self._processor.batch_decode(written, skip_special_tokens=True)
        return [str(text).strip() for text in texts]


def load_smolvlm(
    folder: Path, device: str = "cpu", dtype: str = "float32", max_new_tokens: int = 40
) -> SmolVlm:
    """A SmolVLM of a folder that `save_pretrained` has written, with its processor.

    The processor is that of the first version. That of the second reads images alike, and
    videos too, for which it needs torchvision and num2words.

    Args:
      folder: with a config.json.
      device: such as cpu or cuda.
      dtype: of the parameters.
      max_new_tokens: of a caption.

    Raises:
      ValueError: if the folder holds no such model, or weights, a package or the chat
        template are missing.
    """
    model_class = check_folder(folder, *CLASSES)
    model, processor = load_model(folder, model_class, "Idefics3Processor", device, dtype)
    if not processor.chat_template:
        raise ValueError(
            f"{folder}: has no chat template. Copy its chat_template.jinja or "
            "chat_template.json too."
        )
    vision = model.config.vision_config
    num_tokens = (vision.image_size // vision.patch_size // model.config.scale_factor) ** 2
    if processor.image_seq_len != num_tokens:
        raise ValueError(
            f"{folder}: its processor has {processor.image_seq_len} tokens an image, its "
            f"model {num_tokens}: must be alike. Take both from one model."
        )
    return SmolVlm(model, processor, max_new_tokens)
