"""MEMO's hops for one question at a time, one head after another, in plain NumPy."""

import numpy as np

SMALLEST_OVERLAP = 1e-6


def softmax(z):
    z = np.exp(z - z.max())
    return z / z.sum()


def normalise(z):
    return (z - z.mean()) / np.sqrt(z.var() + 1e-5)


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def gru(params, x, state):
    """One step of Haiku's GRU."""
    size = len(state)
    gates = x @ params["w_i"] + params["b"]
    z, r = np.split(sigmoid(gates[: 2 * size] + state @ params["w_h"][:, : 2 * size]), 2)
    new = gates[2 * size :] + (r * state) @ params["w_h"][:, 2 * size :]
    return (1.0 - z) * state + z * np.tanh(new)


def hop_by_hop(params, facts, query, num_hops):
    """What MEMO makes of one question, after each hop.

    Args:
      params: of the network, by module below "model/~".
      facts: `[I, S, O]`.
      query: `[Q, O]`.
      num_hops: N.

    Returns:
      Lists of N: logits `[C]`, attention `[H, I]`, the logit of another hop.
    """

    def linear(name, x):
        return x @ params[name]["w"] + params[name].get("b", 0.0)

    rows = np.array([linear("embedding/item", fact).reshape(-1) for fact in facts])
    current = linear("query", linear("embedding/item", query).reshape(-1))
    keys, values = (params["retrieval"][f"{name}_weights"] for name in ("key", "value"))
    num_heads, head_size, _ = keys.shape
    before = np.full((num_heads, len(rows)), 1.0 / len(rows))
    state = np.zeros(params["halting/gru"]["w_h"].shape[0])
    answers, attentions, go_on = [], [], []
    for hop in range(num_hops):
        read, attention = [], []
        for head in range(num_heads):
            own = current[head * head_size : (head + 1) * head_size]
            logits = [own @ (keys[head] @ row) / np.sqrt(head_size) for row in rows]
            attention.append(softmax(np.array(logits)))
            read.append(attention[-1] @ (rows @ values[head].T))
        refined = linear("retrieval/refine", np.concatenate(read)) + current
        current = normalise(refined) + params["retrieval/norm"]["offset"]
        hidden = np.maximum(linear("answer/hidden", current), 0.0)
        answers.append(linear("answer/classes", hidden))
        attentions.append(np.array(attention))
        overlap = np.sqrt(before * attentions[-1]).sum(-1)
        distance = -np.log(np.clip(overlap, SMALLEST_OVERLAP, 1.0))
        seen = np.concatenate([distance, np.eye(num_hops)[hop]])
        state = gru(params["halting/gru"], seen, state)
        features = np.maximum(linear("halting/features", state), 0.0)
        go_on.append(linear("halting/continue", features)[0])
        before = attentions[-1]
    return answers, attentions, go_on
