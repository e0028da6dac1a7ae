"""Emu3 of small random weights, from a folder to codes and back."""

import numpy as np
import pytest
from small_models import NUM_CODES, SIDE, emu3

from tolman.launchers.synth2.emu3 import load_emu3

IMAGE_SIZE = 8 * SIDE


@pytest.fixture(scope="module")
def drawer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("emu3")
    model = emu3(folder)
    return load_emu3(folder, image_size=IMAGE_SIZE, guidance=2.0), model, folder


def test_emu3_draws_codes_of_captions(drawer):
    ours, _, _ = drawer
    captions = ["a dog", "cats", "a dog"]
    found = ours.draw(captions, 3)
    assert found.shape == (3, ours.num_tokens) == (3, SIDE**2) and found.dtype == np.uint16
    assert found.max() < NUM_CODES and len(np.unique(found)) > 8
    assert (ours.draw(captions, 3) == found).all()
    assert (found[0] != found[2]).any()  # Each has chance of its own.
    assert (ours.draw(captions[1:], 4) == found[1:]).all()


def test_an_image_is_written_token_by_token_under_guidance(drawer):
    """Each token drawn from the guided probabilities of the codes alone, by a loop."""
    ours, theirs, _ = drawer
    import torch

    words = theirs.config.vocabulary_map

    def ids(*names):
        return [words[name] for name in names]

    start = ids("<|image start|>", "4*4", "<|image token|>")
    rows = [ids("<s>", "a", "dog") + start, ids("<s>") + start]
    codes = [words[f"<|visual token {number:06d}|>"] for number in range(NUM_CODES)]
    torch.manual_seed(3)
    expected = []
    for place in range(SIDE * (SIDE + 1)):
        with torch.no_grad():
            told, nothing = (
                theirs(input_ids=torch.tensor([row])).logits[0, -1].log_softmax(-1)
                for row in rows
            )
        guided = nothing + 2.0 * (told - nothing)
        is_end = place % (SIDE + 1) == SIDE
        allowed = ids("<|extra_200|>") if is_end else codes
        mask = torch.full_like(guided, -float("inf"))
        mask[allowed] = 0.0
        token = int(torch.multinomial((guided + mask).softmax(-1), 1))
        if not is_end:
            expected.append(codes.index(token))
        rows = [[*row, token] for row in rows]
    assert ours.draw(["a dog"], 3)[0].tolist() == expected


def test_emu3s_codes_are_those_of_its_tokenizer(drawer):
    ours, theirs, _ = drawer
    import torch

    codec = theirs.model.vqmodel
    codes = codec.quantize.embedding.weight.detach().numpy()
    np.testing.assert_array_equal(ours.codebook, codes)
    tokens = ours.draw(["a dog", "cats"], 0)
    images = ours.decode(tokens)
    assert images.shape == (2, IMAGE_SIZE, IMAGE_SIZE, 3) and images.dtype == np.uint8
    mean, scale = ([0.5, 0.4, 0.3], [0.26862954, 0.26130258, 0.27577711])
    with torch.no_grad():
        raw = codec.decode(torch.tensor(tokens.astype(np.int64)).reshape(2, SIDE, SIDE))
        expected = raw.permute(0, 2, 3, 1).numpy() * scale + mean
        assert np.abs(images - 255 * expected.clip(0, 1)).max() <= 0.51
        pixels = torch.tensor((images / 255 - mean) / scale).permute(0, 3, 1, 2).float()
        hidden = codec.encoder(pixels[:, None].repeat(1, 4, 1, 1, 1))
        states = codec.quant_conv(hidden.permute(0, 2, 1, 3, 4))
    rows = states.permute(0, 2, 3, 4, 1).reshape(2, SIDE**2, 4).numpy()
    distance = ((rows[:, :, None] - codes) ** 2).sum(-1)
    again = ours.encode(images)
    assert again.dtype == np.uint16 and (again == distance.argmin(-1)).all()
    assert len(np.unique(again)) > 1


def test_wrong_sizes_and_counts_are_told(drawer, tmp_path):
    ours, _, folder = drawer
    with pytest.raises(ValueError, match=r"images of shape \(1, 4, 4, 3\)"):
        ours.encode(np.zeros((1, 4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="image_size 20: must be a multiple of 8"):
        load_emu3(folder, image_size=20)
    emu3(tmp_path, num_codes=16)
    with pytest.raises(ValueError, match="its tokenizer has 32 codes, its generator 16"):
        load_emu3(tmp_path)
