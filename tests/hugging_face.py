"""Our own models as folders of Hugging Face."""

import numpy as np


def save_as_llama(model, folder):
    """Writes a model of llama2.c and its tokenizer by `save_pretrained`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = model.config
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocabulary_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.mlp_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            num_key_value_heads=config.num_key_value_heads,
            max_position_embeddings=config.max_length,
            rms_norm_eps=1e-5,
            tie_word_embeddings=config.has_tied_embeddings,
            bos_token_id=1,
            eos_token_id=2,
        )
    )
    params = {
        key: {k: np.array(v) for k, v in own.items()} for key, own in model.params.items()
    }
    top = params["language_model"]
    unembedding = top.get("unembedding", top["embeddings"])
    state = {
        "model.embed_tokens.weight": top["embeddings"],
        "model.norm.weight": top["final_scale"],
        "lm_head.weight": unembedding,
    }
    names = {
        "attended": "self_attn.o_proj",
        "value": "self_attn.v_proj",
        "gate": "mlp.gate_proj",
        "up": "mlp.up_proj",
        "down": "mlp.down_proj",
        "attention_scale": "input_layernorm",
        "mlp_scale": "post_attention_layernorm",
    }
    for layer in range(config.num_layers):
        own = params[f"language_model/~/layer_{layer}"]
        for name, theirs in names.items():
            state[f"model.layers.{layer}.{theirs}.weight"] = own[name]
        for name, short in (("query", "q"), ("key", "k")):
            # They rotate feature i with i + K / 2, not neighbours.
            heads = own[name].reshape(-1, config.head_size // 2, 2, config.hidden_size)
            turned = heads.swapaxes(1, 2).reshape(own[name].shape)
            state[f"model.layers.{layer}.self_attn.{short}_proj.weight"] = turned
    found = {
        name: torch.tensor(np.ascontiguousarray(value)) for name, value in state.items()
    }
    print(llama.load_state_dict(found, strict=True))
    llama.save_pretrained(folder)
    tokenizer_of(model.tokenizer).save_pretrained(folder)


def tokenizer_of(ours):
    """The tokenizer of llama2.c as one of `tokenizers`: pairs of best score are joined."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += [piece.decode() for piece in ours._pieces[len(pieces) :]]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    assert len(vocabulary) == len(pieces)
    longer = [n for n in range(259, len(pieces)) if len(pieces[n]) > 1]
    merges = []
    for number in sorted(longer, key=lambda n: -ours._scores[n]):
        piece = pieces[number]
        for cut in range(1, len(piece)):
            if piece[:cut] in vocabulary and piece[cut:] in vocabulary:
                merges.append((piece[:cut], piece[cut:]))
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    tokenizer.normalizer = normalizers.Prepend(" ")
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", None, [("<s>", 1)])
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )
