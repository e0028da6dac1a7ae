"""Slow memory cores in float64, one loop over t, each from its paper's equations.

Each takes a core's parameters, its config, inputs `[T, B, D]` and resets `[T, B]`, and
returns outputs `[T, B, H]`, from an empty memory.
"""

import math

import numpy as np


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def gelu(z):
    """In the form with a hyperbolic tangent (Hendrycks and Gimpel 2016)."""
    return 0.5 * z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


def mingru(params, config, x, reset):
    """Feng et al. 2024, section 3.1."""
    weights = params["min_gru/~_enter/gate_and_candidate"]
    size, outputs = config.hidden_size, np.zeros((*x.shape[:2], config.hidden_size))
    for b in range(x.shape[1]):
        hidden = np.zeros(size)
        for t in range(len(x)):
            hidden = np.zeros(size) if reset[t, b] else hidden
            both = x[t, b] @ weights["w"] + weights["b"]
            gate = sigmoid(both[:size])
            hidden = (1 - gate) * hidden + gate * both[size:]
            outputs[t, b] = hidden
    return outputs


def lru(params, config, x, reset):
    """Orvieto et al. 2023, appendix A, listing of `forward`."""
    own, size = params["lru"], config.state_size
    decay = np.exp(-np.exp(own["log_rate"]) + 1j * np.exp(own["log_phase"]))
    scale = np.exp(own["log_scale"])
    return _state_space(params, "lru", decay, scale, size, x, reset)


def s5(params, config, x, reset):
    """Smith et al. 2023, equations 5 and 6, and appendix C.1."""
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
    outputs = np.zeros((*x.shape[:2], leave.shape[1]))
    for b in range(x.shape[1]):
        memory = np.zeros(size, complex)
        for t in range(len(x)):
            memory = np.zeros(size, complex) if reset[t, b] else memory
            memory = decay * memory + scale * (input_map @ x[t, b])
            output = gelu((output_map @ memory).real + x[t, b] @ feedthrough)
            outputs[t, b] = output * sigmoid(output @ gate)
    return outputs
