"""SmolVLM of small random weights, from a folder to captions."""

import json

import numpy as np
import pytest
from small_models import SIDE, smolvlm

from tolman.launchers.studies.synth2.photographs import load_captioner
from tolman.launchers.synth2.smolvlm import SmolVlm, load_smolvlm

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)
# Tokens of: user: FAKE GLOBAL IMAGE x 4 FAKE Describe ... sentence. END assistant:
ASKED = [7, 3, 6, 4, 4, 4, 4, 3, 9, 10, 11, 12, 13, 14, 5, 8]
END = 5
WORDS = {7: "user:", 8: "assistant:", 9: "Describe", 10: "the", 11: "photograph", 12: "in",
         13: "one", 14: "sentence.", 15: "dog", 16: "cat"}  # fmt: skip


def by_hand(model, image, num_tokens):
    """Likeliest token after likeliest token, of one image, without a processor."""
    import torch

    pixels = torch.tensor(image).permute(2, 0, 1)[None, None] / 127.5 - 1.0
    tokens = list(ASKED)
    for _ in range(num_tokens):
        read = torch.tensor([tokens])
        with torch.no_grad():
            found = model(
                input_ids=read,
                attention_mask=torch.ones_like(read),
                pixel_values=pixels,
                pixel_attention_mask=torch.ones(1, 1, 8, 8, dtype=torch.long),
            )
        tokens.append(int(found.logits[0, -1].argmax()))
        if tokens[-1] == END:
            break
    return " ".join(WORDS[one] for one in tokens[len(ASKED) :] if one in WORDS)


@pytest.mark.parametrize("name", ["SmolVLM", "Idefics3"])
def test_smolvlm_captions_images(tmp_path, name):
    model = smolvlm(tmp_path, name)
    ours = load_smolvlm(tmp_path, max_new_tokens=5)
    found = ours.caption(IMAGES)
    assert found == [by_hand(model, image, 5) for image in IMAGES]
    assert len(set(found)) > 2 and ours.image_size == 2 * SIDE
    with pytest.raises(
        ValueError, match=r"images of shape \(1, 4, 4, 3\) and type uint8: must"
    ):
        ours.caption(np.zeros((1, 4, 4, 3), np.uint8))


def test_the_folder_tells_which_captioner_it_holds(tmp_path):
    smolvlm(tmp_path)
    assert isinstance(load_captioner(tmp_path), SmolVlm)
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["Llama"]}))
    with pytest.raises(
        ValueError,
        match=r"holds a model of class Llama. Give a folder of class Blip.* or Sm",
    ):
        load_captioner(tmp_path)


def test_what_does_not_fit_is_told(tmp_path):
    smolvlm(tmp_path, image_seq_len=9)
    with pytest.raises(ValueError, match="has 9 tokens an image, its model 4: must"):
        load_smolvlm(tmp_path)
    smolvlm(tmp_path, chat=None)
    for path in tmp_path.glob("chat_template*"):
        path.unlink()
    with pytest.raises(ValueError, match=r"has no chat template. Copy its chat_template"):
        load_smolvlm(tmp_path)
    for path in tmp_path.glob("*.safetensors"):
        path.unlink()
    with pytest.raises(ValueError, match="cannot be loaded") as caught:
        load_smolvlm(tmp_path)
    assert "\n" not in str(caught.value)
