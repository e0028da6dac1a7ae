"""A Transformer in NumPy, one token, head and pair of features at a time."""

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


def logits(
    params, tokens, *, num_layers, heads, groups, positions, base=10_000.0,
    is_causal=True, context=None,
):  # fmt: skip
    """`[T, V]` after each of T tokens, and the weights `[L, H, T, T]`.

    `context` is rows `[S, F]` that every token looks at in every layer.
    """
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
            seen = range(place + 1 if is_causal else len(stream))
            for head in range(heads):
                group = head // (heads // groups)
                scores = np.array(
                    [
                        queries[place][head] @ keys[past][group] / math.sqrt(head_size)
                        for past in seen
                    ]
                )
                if positions == "alibi":
                    slope = 2 ** (-8 * (head + 1) / heads)
                    scores -= slope * np.abs(place - np.array(seen))
                weights = np.exp(scores - scores.max())
                weights /= weights.sum()
                all_weights[layer, head, place, : len(seen)] = weights
                outputs.append(sum(w * values[i][group] for i, w in enumerate(weights)))
            attended.append(own["attended"] @ np.concatenate(outputs))
        for place, x in enumerate(stream):
            x = x + attended[place]
            if context is not None:
                x = x + _looked_up(own, _rms(x, own["context_scale"]), context, heads)
            normal = _rms(x, own["mlp_scale"])
            gate = own["gate"] @ normal
            inner = gate / (1 + np.exp(-gate)) * (own["up"] @ normal)
            stream[place] = x + own["down"] @ inner
    out = top.get("unembedding", top["embeddings"])
    final = [_rms(x, top["final_scale"]) for x in stream]
    return np.array([out @ x for x in final]), all_weights


def _looked_up(own, normal, context, heads):
    found = []
    queries = np.split(own["context_query"] @ normal, heads)
    for head, query in enumerate(queries):
        keys = [np.split(own["context_key"] @ row, heads)[head] for row in context]
        values = [np.split(own["context_value"] @ row, heads)[head] for row in context]
        weights = np.exp([query @ key / math.sqrt(len(query)) for key in keys])
        found.append(
            sum(w * v for w, v in zip(weights / weights.sum(), values, strict=True))
        )
    return own["looked_up"] @ np.concatenate(found)


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
