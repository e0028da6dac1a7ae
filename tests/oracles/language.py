"""A decoder-only Transformer in NumPy, one token, head and pair of features at a time."""

import math

import numpy as np


def _rms(x, scale):
    return x / math.sqrt(np.mean(x * x) + 1e-5) * scale


def _turn(x, position, base):
    turned = np.empty_like(x)
    for i in range(0, len(x), 2):
        number = complex(x[i], x[i + 1]) * np.exp(1j * position * base ** (-i / len(x)))
        turned[i], turned[i + 1] = number.real, number.imag
    return turned


def _sinusoid(position, size):
    angle = [position / 10_000 ** (i / size) for i in range(0, size, 2)]
    return np.array([math.sin(a) for a in angle] + [math.cos(a) for a in angle])


def logits(params, tokens, *, num_layers, heads, groups, positions, base=10_000.0):
    """`[T, V]` after each of T tokens, and the weights `[L, H, T, T]`."""
    params = {
        name.split("/")[-1]: {key: np.asarray(x, np.float64) for key, x in bundle.items()}
        for name, bundle in params.items()
    }
    top = params["language_model"]
    size = top["embeddings"].shape[1]
    head_size = size // heads
    stream = []
    for place, token in enumerate(tokens):
        x = top["embeddings"][token]
        if positions == "sinusoidal":
            x = math.sqrt(size) * x + _sinusoid(place, size)
        stream.append(x)
    all_weights = np.zeros((num_layers, heads, len(tokens), len(tokens)))
    for layer in range(num_layers):
        own = params[f"layer_{layer}"]
        queries, keys, values = [], [], []
        for place, x in enumerate(stream):
            normal = _rms(x, own["attention_scale"])
            for name, into in (("query", queries), ("key", keys), ("value", values)):
                parts = np.split(own[name] @ normal, heads if name == "query" else groups)
                if positions == "rope" and name != "value":
                    parts = [_turn(part, place, base) for part in parts]
                into.append(parts)
        attended = []
        for place in range(len(stream)):
            outputs = []
            for head in range(heads):
                group = head // (heads // groups)
                scores = np.array(
                    [
                        queries[place][head] @ keys[past][group] / math.sqrt(head_size)
                        for past in range(place + 1)
                    ]
                )
                if positions == "alibi":
                    slope = 2 ** (-8 * (head + 1) / heads)
                    scores -= slope * (place - np.arange(place + 1))
                weights = np.exp(scores - scores.max())
                weights /= weights.sum()
                all_weights[layer, head, place, : place + 1] = weights
                outputs.append(sum(w * values[i][group] for i, w in enumerate(weights)))
            attended.append(own["attended"] @ np.concatenate(outputs))
        for place, x in enumerate(stream):
            x = x + attended[place]
            normal = _rms(x, own["mlp_scale"])
            gate = own["gate"] @ normal
            inner = gate / (1 + np.exp(-gate)) * (own["up"] @ normal)
            stream[place] = x + own["down"] @ inner
    out = top.get("unembedding", top["embeddings"])
    final = [_rms(x, top["final_scale"]) for x in stream]
    return np.array([out @ x for x in final]), all_weights


def model_logits(model, tokens):
    """`logits` of a model of the probe."""
    config = model.config
    return logits(
        model.params,
        tokens,
        num_layers=config.num_layers,
        heads=config.num_heads,
        groups=config.num_key_value_heads,
        positions=config.positions,
    )


def log_probabilities(model, tokens):
    """`[T, V]` of the token after each."""
    found, _ = model_logits(model, tokens)
    return found - np.log(np.exp(found).sum(-1, keepdims=True))
