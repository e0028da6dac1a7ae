"""Janus and CLIP of small random weights, from a folder."""

import json

import numpy as np
import pytest
from small_models import NUM_CODES, SIDE, clip_tokenizer, janus

from tolman.launchers.synth2.clip import load_clip
from tolman.launchers.synth2.janus import load_janus


@pytest.fixture(scope="module")
def drawer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("janus")
    model = janus(folder)
    return load_janus(folder, guidance=2.0), model, folder


def test_janus_draws_codes_of_captions(drawer):
    ours, theirs, _ = drawer
    captions = ["a dog", "cats", "a dog"]
    found = ours.draw(captions, 3)
    assert found.shape == (3, ours.num_tokens) == (3, 16) and found.dtype == np.uint16
    assert found.max() < NUM_CODES and len(np.unique(found)) > 8
    assert (ours.draw(captions, 3) == found).all()
    assert (found[0] != found[2]).any()  # Each has chance of its own.
    assert (ours.draw(captions[1:], 4) == found[1:]).all()
    import torch

    torch.manual_seed(3)
    expected = theirs.generate(
        torch.tensor([[1, 7, 8, 5]]), attention_mask=torch.ones(1, 4, dtype=torch.long),
        generation_mode="image", do_sample=True, guidance_scale=2.0,
    )  # fmt: skip
    assert (found[0] == expected[0, -16:].numpy()).all()


def test_januss_codes_are_those_of_its_tokenizer(drawer):
    ours, theirs, _ = drawer
    assert ours.codebook.shape == (NUM_CODES, 4) and ours.image_size == 2 * SIDE
    tokens = ours.draw(["a dog", "cats"], 0)
    images = ours.decode(tokens)
    assert images.shape == (2, 8, 8, 3) and images.dtype == np.uint8
    import torch

    with torch.no_grad():
        expected = theirs.decode_image_tokens(torch.tensor(tokens.astype(np.int64)))
        pixels = torch.tensor(images).permute(0, 3, 1, 2) / 127.5 - 1
        codec = theirs.model.vqmodel
        states = codec.quant_conv(codec.encoder(pixels)).permute(0, 2, 3, 1)
    scaled = 127.5 * (expected.numpy() + 1)
    assert np.abs(images - scaled.clip(0, 255)).max() <= 0.51
    again = ours.encode(images)
    assert again.shape == (2, 16) and again.dtype == np.uint16
    # Codes are compared by direction.
    rows = states.reshape(2, 16, 4).numpy()
    rows = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    raw = codec.quantize.embedding.weight.detach().numpy()
    codes = raw / np.linalg.norm(raw, axis=-1, keepdims=True)
    np.testing.assert_allclose(ours.codebook, codes, atol=1e-6)
    assert (again == (rows @ codes.T).argmax(-1)).all()
    with pytest.raises(ValueError, match=r"images of shape \(1, 4, 4, 3\)"):
        ours.encode(np.zeros((1, 4, 4, 3), np.uint8))


def test_a_janus_of_another_class_and_without_weights_is_told(drawer, tmp_path):
    _, _, folder = drawer
    for path in folder.iterdir():
        if not path.name.endswith(".safetensors"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="cannot be loaded") as caught:
        load_janus(tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(
        ValueError,
        match=r"holds a model of class JanusForCond.*Give a folder of class CLIP",
    ):
        load_clip(folder)


def test_weights_that_do_not_fit_the_config_are_told(drawer, tmp_path):
    _, _, folder = drawer
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config["vq_config"]["num_embeddings"] *= 2
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"weights are of other sizes than its config\.j"):
        load_janus(tmp_path)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    size = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1)
    config = transformers.CLIPConfig(
        text_config=dict(**size, num_attention_heads=2, vocab_size=54, bos_token_id=52,
                         max_position_embeddings=12, eos_token_id=53),
        vision_config=dict(**size, num_attention_heads=2, image_size=16, patch_size=8),
        projection_dim=8,
    )  # fmt: skip
    model = transformers.CLIPModel(config).eval()
    model.save_pretrained(folder)
    images = transformers.CLIPImageProcessor(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    )
    processor = transformers.CLIPProcessor(images, clip_tokenizer(folder))
    processor.save_pretrained(folder)
    return load_clip(folder), model, processor


def test_clip_scores_each_image_with_its_caption(clip):
    ours, theirs, processor = clip
    import torch

    images = np.random.default_rng(0).integers(0, 255, (3, 24, 24, 3)).astype(np.uint8)
    captions = ["a dog", "two cats on a mat and many other things", "a"]
    found = ours.scores(images, captions, at_once=2)
    read = processor(text=captions, images=list(images), padding=True, truncation=True,
                     return_tensors="pt")  # fmt: skip
    with torch.no_grad():
        told = theirs(**read)
    expected = told.logits_per_image / theirs.logit_scale.exp()
    np.testing.assert_allclose(found, expected.diag().detach().numpy(), atol=1e-5)
    assert len(np.unique(found)) == 3 and np.abs(found).max() <= 1.0
    with pytest.raises(ValueError, match="3 images and 2 captions"):
        ours.scores(images, captions[:2])
