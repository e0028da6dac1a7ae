"""Slow memory cores in float64, one loop over t, each after its paper.

Each takes a core's parameters, its config, inputs `[T, B, D]` and resets `[T, B]`, and
returns outputs `[T, B, H]`, from an empty memory.
"""

import functools
import math

import numpy as np


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def gelu(z):
    """In the form with a hyperbolic tangent (Hendrycks and Gimpel 2016)."""
    return 0.5 * z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


def silu(z):
    return z * sigmoid(z)


def linear(params, name, x):
    """The linear map of that name, of one row."""
    return x @ params[name]["w"] + params[name].get("b", 0.0)


def normalise(z):
    """To mean 0 and variance 1."""
    return (z - z.mean()) / np.sqrt(z.var() + 1e-5)


def unroll(step, empty, x, reset):
    """Takes rows one by one; `step(memory, row)` returns output and memory."""
    outputs = []
    for b in range(x.shape[1]):
        memory, row = empty, []
        for t in range(len(x)):
            output, memory = step(empty if reset[t, b] else memory, x[t, b])
            row.append(output)
        outputs.append(row)
    return np.swapaxes(np.array(outputs), 0, 1)


def lstm(params, config, x, reset):
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000."""
    step = functools.partial(_lstm_step, params, "lstm", config.forget_bias)
    return unroll(step, (np.zeros(config.hidden_size),) * 2, x, reset)


def stacked_lstm(params, config, x, reset):
    """Mirowski et al. 2016, section 3: the second one reads the input and the first."""

    def step(memory, x):
        below, first = _lstm_step(params, "stacked_lstm/~/first", 1.0, memory[0], x)
        both = np.concatenate([x, below])
        output, second = _lstm_step(params, "stacked_lstm/~/second", 1.0, memory[1], both)
        return output, (first, second)

    sizes = config.first_hidden_size, config.hidden_size
    return unroll(step, tuple((np.zeros(size),) * 2 for size in sizes), x, reset)


def _lstm_step(params, name, forget_bias, memory, x):
    hidden, cell = memory
    gates = linear(params, f"{name}/~_project/input_gates", x)
    gates = gates + hidden @ params[name]["recurrent_gates"]
    enters, candidate, forget, output = gates.reshape(4, -1)
    cell = sigmoid(forget + forget_bias) * cell
    cell = cell + sigmoid(enters) * np.tanh(candidate)
    hidden = sigmoid(output) * np.tanh(cell)
    return hidden, (hidden, cell)


def gru(params, config, x, reset):
    """Cho et al. 2014, with z as the share that is new where theirs is what is kept."""
    size, own = config.hidden_size, params["gru"]

    def step(hidden, x):
        gates = linear(params, "gru/~_project/input_gates", x)
        update, reset_gate = sigmoid(
            gates[: 2 * size] + hidden @ own["recurrent_gates"]
        ).reshape(2, size)
        recurrent = (reset_gate * hidden) @ own["recurrent_candidate"]
        candidate = np.tanh(gates[2 * size :] + recurrent)
        hidden = (1 - update) * hidden + update * candidate
        return hidden, hidden

    return unroll(step, np.zeros(size), x, reset)


def mingru(params, config, x, reset):
    """Feng et al. 2024."""
    size = config.hidden_size

    def step(hidden, x):
        both = linear(params, "min_gru/~_enter/gate_and_candidate", x)
        gate = sigmoid(both[:size])
        hidden = (1 - gate) * hidden + gate * both[size:]
        return hidden, hidden

    return unroll(step, np.zeros(size), x, reset)


def lru(params, config, x, reset):
    """Orvieto et al. 2023."""
    own, size = params["lru"], config.state_size
    decay = np.exp(-np.exp(own["log_rate"]) + 1j * np.exp(own["log_phase"]))
    scale = np.exp(own["log_scale"])
    return _state_space(params, "lru", decay, scale, size, x, reset)


def s5(params, config, x, reset):
    """Smith et al. 2023."""
    own, size = params["s5"], config.state_size // 2
    eigenvalue = -np.exp(own["log_rate"]) + 1j * own["frequency"]
    decay = np.exp(eigenvalue * np.exp(own["log_time_step"]))
    return _state_space(params, "s5", decay, (decay - 1) / eigenvalue, size, x, reset)


def _state_space(params, name, decay, scale, size, x, reset):
    enter, leave = (params[f"{name}/~unroll/{key}"]["w"] for key in ("enter", "leave"))
    feedthrough, gate = (
        params[f"{name}/~unroll/layer/~/{key}"]["w"] for key in ("feedthrough", "gate")
    )
    input_map = (enter[:, :size] + 1j * enter[:, size:]).T  # B, [N, D].
    output_map = (leave[:size] - 1j * leave[size:]).T  # C, [H, N].

    def step(memory, x):
        memory = decay * memory + scale * (input_map @ x)
        output = gelu((output_map @ memory).real + x @ feedthrough)
        return output * sigmoid(output @ gate), memory

    return unroll(step, np.zeros(size, complex), x, reset)


def ffm(params, config, x, reset):
    """Morad et al. 2023."""
    rate, frequency = np.abs(params["ffm"]["rate"]), params["ffm"]["frequency"]
    decay = np.exp(-rate[:, None] + 1j * frequency[None])  # [M, C]

    def step(memory, x):
        value = linear(params, "ffm/~_enter/value", x)
        value = value * sigmoid(linear(params, "ffm/~_enter/value_gate", x))
        memory = decay * memory + np.outer(value, np.ones(len(frequency)))
        flat = memory.reshape(-1)
        read = linear(params, "ffm/~_leave/read", np.concatenate([flat.real, flat.imag]))
        gate = sigmoid(linear(params, "ffm/~_leave/read_gate", x))
        past = linear(params, "ffm/~_leave/past", x)
        return normalise(read) * gate + past * (1 - gate), memory

    return unroll(step, np.zeros(decay.shape, complex), x, reset)


def _key_query_value(params, name, config, x):
    joined = linear(params, f"{name}/~_enter/key_query_value", x)
    return joined.reshape(3, config.num_heads, config.head_size)


def _decay(params, name, config, x):
    if not config.gated:
        return np.ones(config.num_heads)
    return sigmoid(linear(params, f"{name}/~_enter/decay", x))


def _outputs(params, name, read, x):
    gate = silu(linear(params, f"{name}/~_leave/gate", x))
    return linear(params, f"{name}/~_leave/output", gate * read.reshape(-1))


def rms(z):
    return z / np.sqrt((z**2).mean() + 1e-6)


def linear_attention(params, config, x, reset):
    """Katharopoulos et al. 2020, with a decay a head."""
    name, size, heads = "linear_attention", config.head_size, config.num_heads

    def step(memory, x):
        key, query, value = _key_query_value(params, name, config, x)
        decay = _decay(params, name, config, x)
        values, keys = memory
        values, keys, read = values.copy(), keys.copy(), np.zeros((heads, size))
        for h in range(heads):
            k, q = (np.where(z > 0, z + 1, np.exp(z)) for z in (key[h], query[h]))
            values[h] = decay[h] * values[h] + np.outer(k, value[h])
            keys[h] = decay[h] * keys[h] + k
            read[h] = q @ values[h]
            if config.normaliser == "rms":
                read[h] = rms(read[h])
            elif config.normaliser == "sum":
                read[h] /= q @ keys[h] + 1e-6
            else:
                read[h] /= max(q @ keys[h], 1.0)
        return _outputs(params, name, read, x), (values, keys)

    return unroll(step, (np.zeros((heads, size, size)), np.zeros((heads, size))), x, reset)


def delta_net(params, config, x, reset):
    """Yang et al. 2025, "Gated Delta Networks"."""
    name, size, heads = "delta_net", config.head_size, config.num_heads

    def step(memory, x):
        key, query, value = silu(_key_query_value(params, name, config, x))
        decay = _decay(params, name, config, x)
        strength = sigmoid(linear(params, f"{name}/~_enter/strength", x))
        memory, read = memory.copy(), np.zeros((heads, size))
        for h in range(heads):
            k, q = (z / np.sqrt((z**2).sum() + 1e-6) for z in (key[h], query[h]))
            erase = np.eye(size) - strength[h] * np.outer(k, k)
            write = strength[h] * np.outer(value[h], k)
            memory[h] = memory[h] @ (decay[h] * erase) + write
            read[h] = rms(memory[h] @ q)
        return _outputs(params, name, read, x), memory

    return unroll(step, np.zeros((heads, size, size)), x, reset)


def mamba(params, config, x, reset):
    """Dao and Gu 2024, with the whole recurrence written out."""
    own, heads, units = params["mamba"], config.num_heads, config.head_size
    inner, size, width = heads * units, config.state_size, config.convolution_width

    def step(memory, x):
        memory, past = memory
        row = linear(params, "mamba/~unroll/input", x)
        gate, now, time_step = np.split(row, [inner, len(row) - heads])
        past = [now, *past][:width]
        total = sum(
            weight * row for weight, row in zip(own["convolution"], past, strict=False)
        )
        seen = silu(total + own["convolution_bias"])
        values, key, query = np.split(seen, [inner, inner + size])
        values = values.reshape(heads, units)
        time_step = np.log1p(np.exp(time_step + own["time_step_bias"]))
        memory, read = memory.copy(), np.zeros((heads, units))
        for h in range(heads):
            decay = np.exp(-time_step[h] * np.exp(own["log_rate"][h]))
            memory[h] = decay * memory[h] + time_step[h] * np.outer(values[h], key)
            read[h] = memory[h] @ query + own["feedthrough"][h] * values[h]
        read = read.reshape(-1) * silu(gate)
        read = read / np.sqrt((read**2).mean() + 1e-5)
        return linear(params, "mamba/~_leave/output", read), (memory, past)

    return unroll(step, (np.zeros((heads, units, size)), []), x, reset)


def shm(params, config, x, reset):
    """Le et al. 2025, where the rows that calibrate take turns."""
    own, size = params["shm"], config.memory_size

    def shares(z):
        return np.maximum(z, 0.0) / (np.maximum(z, 0.0).sum() + 1e-5)

    def step(memory, x):
        memory, number = memory
        norm = params["shm/norm"]
        x = normalise(x) * norm["scale"] + norm["offset"]
        joined = linear(params, "shm/input", x)
        key, query, value, update = joined[:-1].reshape(4, size)
        row = own["calibrations"][number % config.num_calibrations]
        memory = (1 + np.tanh(np.outer(row, update))) * memory
        memory = memory + sigmoid(joined[-1]) * np.outer(value, shares(key))
        memory = np.minimum(np.maximum(memory, -config.largest), config.largest)
        read = memory @ shares(query) + linear(params, "shm/around", x)
        return linear(params, "shm/output", read), (memory, number + 1)

    return unroll(step, (np.zeros((size, size)), 0), x, reset)


def slstm(params, config, x, reset):
    """Beck et al. 2024, without what keeps exponentials finite."""
    heads, size = config.num_heads, config.hidden_size // config.num_heads
    recurrent = params["slstm"]["recurrent_gates"]

    def step(memory, x):
        hidden, cell, weight = memory
        gates = linear(params, "slstm/input_gates", x).reshape(heads, 4, size)
        gates = gates + np.einsum("hk,hkg->hg", hidden, recurrent).reshape(heads, 4, size)
        candidate, enters, forget, output = np.swapaxes(gates, 0, 1)
        cell = sigmoid(forget) * cell + np.exp(enters) * np.tanh(candidate)
        weight = sigmoid(forget) * weight + np.exp(enters)
        hidden = sigmoid(output) * cell / weight
        return hidden.reshape(-1), (hidden, cell, weight)

    return unroll(step, (np.zeros((heads, size)),) * 3, x, reset)


def attention(params, config, x, reset):
    """Vaswani et al. 2017, equation 1, over the window of a task; Su et al. 2021; Press et
    al. 2022."""
    heads, size = config.num_heads, config.head_size

    def turned(z, position):
        pairs = (z[::2] + 1j * z[1::2]).reshape(-1)
        angle = position * config.rope_base ** (-2 * np.arange(len(pairs)) / size)
        pairs = pairs * np.exp(1j * angle)
        return np.stack([pairs.real, pairs.imag], axis=-1).reshape(-1)

    def step(memory, x):
        number, rows = memory
        query, key, value = linear(params, "attention/~unroll/query_key_value", x).reshape(
            3, heads, size
        )
        rows = [*rows, (number, key, value)][-config.window - 1 :]
        read = np.zeros((heads, size))
        for h in range(heads):
            logits = []
            for position, keys, _ in rows:
                q, k = query[h], keys[h]
                if config.positions == "rope":
                    q, k = turned(q, number), turned(k, position)
                logit = q @ k / math.sqrt(size)
                if config.positions == "alibi":
                    logit -= 2.0 ** (-8 * (h + 1) / heads) * (number - position)
                logits.append(logit)
            weights = np.exp(np.array(logits) - max(logits))
            weights /= weights.sum()
            read[h] = sum(
                w * values[h] for w, (_, _, values) in zip(weights, rows, strict=True)
            )
        output = linear(params, "attention/~unroll/output", read.reshape(-1))
        return output, (number + 1, rows)

    return unroll(step, (0, []), x, reset)


def stack(params, config, x, reset):
    """Xiong et al. 2020, of minimal GRUs; the gate: Parisotto et al. 2019."""

    def gated(name, stream, output):
        if config.gate == "none":
            return stream + output
        name = f"stack/~_join/{name}"
        y, x = (params[f"{name}/~_linear/{key}"]["w"] for key in ("y", "x"))
        reset_y, update_y, candidate = np.split(output @ y, 3)
        reset_x, update_x = np.split(stream @ x, 2)
        update = sigmoid(update_y + update_x - params[name]["bias"])
        reset = sigmoid(reset_y + reset_x)
        inner = candidate + (reset * stream) @ params[f"{name}/~_linear/reset_x"]["w"]
        return (1 - update) * stream + update * np.tanh(inner)

    def step(memory, x):
        stream, after = linear(params, "stack/~_run/input", x), []
        for number, hidden in enumerate(memory):
            name = f"stack/~/layer_{number}"
            both = linear(params, f"{name}/~_enter/gate_and_candidate", normalise(stream))
            enters, candidate = np.split(both, 2)
            hidden = hidden + sigmoid(enters) * (candidate - hidden)
            after.append(hidden)
            stream = gated(f"layer_{number}_gate", stream, hidden)
            if config.mlp_size:
                inner = linear(params, f"stack/~_run/mlp_{number}_inner", normalise(stream))
                outer = linear(params, f"stack/~_run/mlp_{number}_outer", gelu(inner))
                stream = gated(f"mlp_{number}_gate", stream, outer)
        return stream, after

    return unroll(step, [np.zeros(config.hidden_size)] * len(config.layers), x, reset)
