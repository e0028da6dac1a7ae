"""Open models of small random weights, from a folder to codes and captions."""

import numpy as np
import pytest
from small_models import LETTERS, NUM_CODES, SIDE, amused

from tolman.launchers.synth2.amused import load_amused
from tolman.launchers.synth2.blip import load_blip
from tolman.launchers.synth2.open_parts import check_code_counts, check_folder


@pytest.fixture(scope="module")
def drawer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("amused")
    pipeline = amused(folder)
    return load_amused(folder, num_rounds=3, guidance=2.0), pipeline


def test_amused_draws_codes_of_captions(drawer):
    ours, theirs = drawer
    captions = ["a dog", "two cats", "a dog"]
    found = ours.draw(captions, 3)
    assert found.shape == (3, ours.num_tokens) == (3, 16) and found.dtype == np.uint16
    assert found.max() < NUM_CODES and len(np.unique(found)) > 4
    assert (ours.draw(captions, 3) == found).all()
    assert (ours.draw(captions, 4) != found).any()
    import torch

    theirs.set_progress_bar_config(disable=True)
    expected = theirs(
        captions,
        num_inference_steps=3,
        guidance_scale=2.0,
        generator=torch.Generator().manual_seed(3),
        output_type="latent",
    ).images
    assert (found == expected.reshape(3, -1).numpy()).all()


def test_amuseds_codes_are_those_of_its_tokenizer(drawer):
    ours, theirs = drawer
    assert ours.codebook.shape == (NUM_CODES, 6)
    assert ours.image_size == SIDE * 2
    tokens = ours.draw(["a dog", "two cats"], 0)
    images = ours.decode(tokens)
    assert images.shape == (2, 8, 8, 3) and images.dtype == np.uint8
    import torch

    expected = theirs(
        ["a dog", "two cats"],
        num_inference_steps=3,
        guidance_scale=2.0,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    ).images
    assert np.abs(images - 255 * expected).max() <= 0.51
    again = ours.encode(images)
    assert again.shape == (2, 16) and again.dtype == np.uint16
    # The nearest code of what the encoder gives, by a loop.
    with torch.no_grad():
        pixels = torch.tensor(images).permute(0, 3, 1, 2) / 255.0
        states = theirs.vqvae.encode(pixels).latents.permute(0, 2, 3, 1).reshape(2, 16, 6)
    distance = ((states.numpy()[:, :, None] - ours.codebook) ** 2).sum(-1)
    assert (again == distance.argmin(-1)).all()
    with pytest.raises(
        ValueError, match=r"images of shape \(1, 4, 4, 3\) and type uint8: must"
    ):
        ours.encode(np.zeros((1, 4, 4, 3), np.uint8))


def test_codes_that_are_not_the_tokenizers_are_refused(tmp_path):
    amused(tmp_path, num_codes=16)
    with pytest.raises(ValueError, match="its tokenizer has 32 codes, its generator 16"):
        load_amused(tmp_path)


def test_amused_without_weights_is_told(tmp_path):
    amused(tmp_path)
    for path in (tmp_path / "vqvae").glob("*.safetensors"):
        path.unlink()
    with pytest.raises(ValueError, match="cannot be loaded") as caught:
        load_amused(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def blip_folder(tmp_path_factory):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("blip")
    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, "dog", "cat", "[DEC]"]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"))
    size = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1)
    text = dict(
        **size,
        vocab_size=len(words),
        encoder_hidden_size=8,
        num_attention_heads=2,
        max_position_embeddings=20,
        bos_token_id=len(words) - 1,
        pad_token_id=0,
        sep_token_id=3,
        eos_token_id=3,
    )
    vision = dict(**size, num_attention_heads=2, image_size=16, patch_size=8)
    config = transformers.BlipConfig(text_config=text, vision_config=vision)
    transformers.BlipForConditionalGeneration(config).save_pretrained(folder)
    images = transformers.BlipImageProcessor(size={"height": 16, "width": 16})
    transformers.BlipProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def test_blip_captions_images(blip_folder):
    ours = load_blip(blip_folder, max_new_tokens=5)
    images = np.random.default_rng(0).integers(0, 255, (3, 24, 24, 3)).astype(np.uint8)
    found = ours.caption(images)
    assert len(found) == 3 and all(isinstance(one, str) for one in found)
    assert ours.caption(images[1:2]) == found[1:2] and ours.image_size == 16


def test_blip_without_weights_and_of_another_class_is_told(blip_folder, tmp_path):
    for path in blip_folder.iterdir():
        if not path.name.endswith(".safetensors"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="cannot be loaded") as caught:
        load_blip(tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(
        ValueError, match=r"has no model_index.json. Give a folder of class Amused"
    ):
        load_amused(blip_folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no config.json. Give a folder of class Blip"),
        ("{", "names no class of a model"),
        ("{}", "names no class of a model"),
        (
            '{"architectures": ["Llama"]}',
            "holds a model of class Llama. Give a folder of class Blip",
        ),
    ],
)
def test_folders_of_something_else_are_told(tmp_path, content, message):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        check_folder(tmp_path, "Blip")


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"no such folder\. Give a folder of class Blip"):
        check_folder(tmp_path / "no", "Blip")


def test_what_is_not_installed_is_told(tmp_path):
    try:
        import diffusers  # noqa: F401
    except ImportError:
        (tmp_path / "model_index.json").write_text('{"_class_name": "AmusedPipeline"}')
        with pytest.raises(
            ValueError, match=r"needs .*Install it: pip install 'tolman.synth2"
        ):
            load_amused(tmp_path)


def test_counts_of_codes():
    check_code_counts("x", 3, 3)
    with pytest.raises(ValueError, match="x: its tokenizer has 3 codes, its generator 4"):
        check_code_counts("x", 3, 4)
