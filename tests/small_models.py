"""Open models of small random weights, saved to a folder as `save_pretrained` does."""

import json

import pytest

LETTERS = "abcdefghijklmnopqrstuvwxyz"
NUM_CODES, SIDE = 32, 4  # Of all of them.
WORDS = ["<pad>", "<s>", "</s>", "<unk>", "<image>", "<boi>", "<eoi>", "a", "dog", "cats"]


def clip_tokenizer(folder):
    from transformers import CLIPTokenizer

    words = [
        *LETTERS,
        *(f"{one}</w>" for one in LETTERS),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    (folder / "vocab.json").write_text(
        json.dumps({word: i for i, word in enumerate(words)})
    )
    (folder / "merges.txt").write_text("#version: 0.2\n")
    files = str(folder / "vocab.json"), str(folder / "merges.txt")
    return CLIPTokenizer(*files, model_max_length=12)


def amused(folder, num_codes=NUM_CODES):
    torch = pytest.importorskip("torch")
    diffusers = pytest.importorskip("diffusers")
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    torch.manual_seed(0)
    tokenizer = clip_tokenizer(folder)
    text = CLIPTextConfig(
        vocab_size=54,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=12,
        projection_dim=8,
        bos_token_id=52,
        eos_token_id=53,
    )
    transformer = diffusers.UVit2DModel(
        hidden_size=8,
        cond_embed_dim=8,
        encoder_hidden_size=8,
        micro_cond_encode_dim=2,
        micro_cond_embed_dim=10,
        vocab_size=num_codes + 1,
        codebook_size=num_codes,
        in_channels=8,
        block_out_channels=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        block_num_heads=1,
        intermediate_size=8,
        sample_size=SIDE,
    )
    tokenizer_of_images = diffusers.VQModel(
        act_fn="silu",
        block_out_channels=[4, 4],
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        latent_channels=6,
        layers_per_block=1,
        norm_num_groups=2,
        num_vq_embeddings=NUM_CODES,
        sample_size=8,
        mid_block_add_attention=False,
        lookup_from_codebook=True,
    )
    pipeline = diffusers.AmusedPipeline(
        vqvae=tokenizer_of_images.eval(),
        tokenizer=tokenizer,
        text_encoder=CLIPTextModelWithProjection(text).eval(),
        transformer=transformer.eval(),
        scheduler=diffusers.AmusedScheduler(mask_token_id=num_codes),
    )
    pipeline.save_pretrained(folder)
    return pipeline


def janus(folder, num_codes=NUM_CODES):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, "<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.LlamaTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        pad_token="<pad>",
        extra_special_tokens={
            "image_token": "<image>", "boi_token": "<boi>", "eoi_token": "<eoi>"
        },
    )  # fmt: skip
    size = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    config = transformers.JanusConfig(
        text_config=dict(**size, vocab_size=len(WORDS), intermediate_size=16,
                         num_key_value_heads=2, pad_token_id=0, bos_token_id=1,
                         eos_token_id=2),
        vision_config=dict(**size, patch_size=2, image_size=8, mlp_ratio=1, depth=1,
                           projection_dim=16, num_image_tokens=SIDE**2),
        vq_config=dict(embed_dim=4, num_embeddings=num_codes, latent_channels=32,
                       base_channels=32, channel_multiplier=[1, 1], num_res_blocks=1,
                       projection_dim=16, image_token_embed_dim=16),
        image_token_id=4,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.JanusForConditionalGeneration(config).eval()
    told = model.generation_config
    told._from_model_config = False
    told.generation_kwargs = {"boi_token_id": 5}
    told.pad_token_id, told.bos_token_id = 0, 1
    model.save_pretrained(folder)
    images = transformers.JanusImageProcessor(size={"height": 8, "width": 8}, min_size=2)
    transformers.JanusProcessor(images, tokenizer).save_pretrained(folder)
    return model


def emu3(folder, num_codes=NUM_CODES):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    marks = {
        "image_token": "<image>", "boi_token": "<|image start|>",
        "eoi_token": "<|image end|>", "image_wrapper_token": "<|image token|>",
        "eof_token": "<|extra_201|>",
    }  # fmt: skip
    visual = [f"<|visual token {number:06d}|>" for number in range(num_codes)]
    words = ["<pad>", "<s>", "</s>", "<unk>", *marks.values(), "<|extra_200|>", *visual]
    words += ["a", "dog", "cats", "4*4"]
    told = {word: number for number, word in enumerate(words)}
    made = Tokenizer(models.WordLevel(told, "<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        pad_token="<pad>", extra_special_tokens=marks,
    )  # fmt: skip
    config = transformers.Emu3Config(
        text_config=dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                         num_key_value_heads=2, intermediate_size=16,
                         vocab_size=len(words), max_position_embeddings=64,
                         attention_dropout=0.0, pad_token_id=0, bos_token_id=1,
                         eos_token_id=2),
        vq_config=dict(codebook_size=NUM_CODES, base_channels=32, num_res_blocks=1,
                       channel_multiplier=[1, 1, 1, 1], attn_resolutions=[],
                       hidden_size=32),
        vocabulary_map=told,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.Emu3ForConditionalGeneration(config).eval()
    with torch.no_grad():
        model.lm_head.weight *= 20.0  # So that words make a difference to what is drawn.
    model.save_pretrained(folder)
    images = transformers.Emu3ImageProcessor(min_pixels=64, image_mean=[0.5, 0.4, 0.3])
    transformers.Emu3Processor(images, tokenizer).save_pretrained(folder)
    return model


CHAT = (
    "{% for message in messages %}{{ message['role'] }}: "
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def smolvlm(folder, name="SmolVLM", image_seq_len=SIDE**2 // 4, chat=CHAT):
    """A model of 8 x 8 pixels in patches of 2, four of them a token."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    marks = ["<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>"]
    words = ["<pad>", "<s>", "<unk>", *marks, "user:", "assistant:"]
    words += ["Describe", "the", "photograph", "in", "one", "sentence.", "dog", "cat"]
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, "<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="<end_of_utterance>",
        unk_token="<unk>", pad_token="<pad>", additional_special_tokens=marks,
        model_input_names=["input_ids", "attention_mask"], chat_template=chat,
    )  # fmt: skip
    size = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                num_attention_heads=2)  # fmt: skip
    config = getattr(transformers, f"{name}Config")(
        text_config=dict(**size, model_type="llama", vocab_size=len(words),
                         num_key_value_heads=2, pad_token_id=0, bos_token_id=1,
                         eos_token_id=5),
        vision_config=dict(**size, image_size=2 * SIDE, patch_size=2),
        scale_factor=2, image_token_id=words.index("<image>"),
    )  # fmt: skip
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}ForConditionalGeneration")(config).eval()
    with torch.no_grad():
        for weight in model.parameters():  # So that what is read makes a difference.
            weight *= 20.0 if weight.ndim > 1 else 1.0
    model.save_pretrained(folder)
    tile = {"longest_edge": 2 * SIDE}
    reader = getattr(transformers, f"{name}ImageProcessorPil", None)
    reader = reader or getattr(transformers, f"{name}ImageProcessor")
    images = reader(size={"longest_edge": 4 * SIDE}, max_image_size=tile)
    images.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    told = {"processor_class": f"{name}Processor", "image_seq_len": image_seq_len}
    (folder / "processor_config.json").write_text(json.dumps(told))
    return model
