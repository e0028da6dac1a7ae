"""Memory cores that break the contract, each in a way that others' code was seen to."""

from dataclasses import dataclass

import haiku as hk
import jax
import jax.numpy as jnp

from tolman.networks import positions
from tolman.networks.core import reset_state, scan_steps
from tolman.networks.matrix_memory import Row, unroll_matrix

SIZE = 4


@dataclass(frozen=True)
class NoConfig:
    pass


class _Scanned(hk.Module):
    """A core whose unroll takes its steps."""

    def __init__(self, config: NoConfig):
        super().__init__()

    def initial_state(self, batch_size):
        return jnp.zeros((batch_size, SIZE))

    def __call__(self, x, reset, state):
        state = reset_state(state, jnp.zeros_like(state), reset)
        state = 0.8 * state + jnp.tanh(hk.Linear(SIZE, name="enter")(x))
        return state, state

    def unroll(self, x, reset, state):
        return scan_steps(self, (x, reset), state)


class StatelessConvolution(_Scanned):
    """Convolves the rows of an unroll, whatever task they are of; a step sees one row."""

    def unroll(self, x, reset, state):
        earlier = jnp.concatenate([jnp.zeros_like(x[:1]), x[:-1]])
        return super().unroll(x + 0.5 * earlier, reset, state)


class RestartingPositions(_Scanned):
    """Turns what enters by the row's number within the call."""

    def unroll(self, x, reset, state):
        angle = 0.1 * jnp.arange(len(x))[:, None, None]
        return super().unroll(x * jnp.cos(angle), reset, state)


class KeysRotatedAgain(_Scanned):
    """Attention whose stored keys were rotated by a former call, and are again."""

    def initial_state(self, batch_size):
        return jnp.zeros((batch_size, 6, SIZE))

    def __call__(self, x, reset, state):
        outputs, state = self.unroll(x[None], reset[None], state)
        return outputs[0], state

    def unroll(self, x, reset, state):
        rows = jnp.swapaxes(hk.Linear(SIZE, name="key")(x), 0, 1)
        keys = jnp.concatenate([state, rows], axis=1)
        number = jnp.broadcast_to(jnp.arange(keys.shape[1]), keys.shape[:2])
        keys = positions.rotate(keys[:, :, None], number, 100.0)[:, :, 0]
        order = jnp.arange(keys.shape[1])
        task = jnp.pad(jnp.cumsum(reset.T, axis=1), ((0, 0), (6, 0)))
        sees = (order[6:, None] >= order) & (order[6:, None] - order <= 6)
        sees = sees & (task[:, 6:, None] == task[:, None, :])
        logits = jnp.einsum("btk,bsk->bts", keys[:, 6:], keys)
        weights = jax.nn.softmax(jnp.where(sees, logits, -1e9))
        return jnp.swapaxes(weights @ keys, 0, 1), keys[:, -6:]


class ResetsARowLate(_Scanned):
    """Remembers that a task has opened, and wipes the memory before the next row."""

    def initial_state(self, batch_size):
        return jnp.zeros((batch_size, SIZE)), jnp.zeros(batch_size, bool)

    def __call__(self, x, reset, state):
        memory, opened = state
        output, memory = super().__call__(x, opened, memory)
        return output, (memory, reset)


class WrongSide(_Scanned):
    """The delta rule, erasing along the value in place of the key."""

    wrong = True

    def initial_state(self, batch_size):
        return jnp.zeros((batch_size, 1, SIZE, SIZE))

    def __call__(self, x, reset, state):
        row = self.row(x)
        state = reset_state(state, jnp.zeros_like(state), reset)
        if self.wrong:
            erased = jnp.einsum("bhv,bhu,bhuk->bhvk", row.value, row.value, state)
            written = row.value[..., :, None] * row.key[..., None, :]
            state = state - row.strength[..., None, None] * (erased - written)
        else:
            found = jnp.einsum("bhvk,bhk->bhv", state, row.key)
            written = row.strength[..., None] * (row.value - found)
            state = state + written[..., :, None] * row.key[..., None, :]
        return jnp.einsum("bhvk,bhk->bhv", state, row.query)[:, 0], state

    def row(self, x):
        parts = hk.Linear(3 * SIZE, name="parts")(x).reshape(*x.shape[:-1], 1, 3, SIZE)
        parts = parts / (jnp.linalg.norm(parts, axis=-1, keepdims=True) + 1e-6)
        key, value, query = (parts[..., i, :] for i in range(3))
        one = jnp.ones(key.shape[:-1])
        return Row(one, key, value, query, 0.5 * one)


class RightSide(WrongSide):
    """The same as it should be."""

    wrong = False

    def unroll(self, x, reset, state):
        return unroll_matrix(
            self.row, lambda read, x: read[..., 0, :], x, reset, state, "chunked", 8
        )


class LeaksBetweenRows(_Scanned):
    """Subtracts the mean of the batch."""

    def __call__(self, x, reset, state):
        return super().__call__(x - x.mean(0), reset, state)


class ResetsAll(_Scanned):
    """Wipes every memory of the batch where one task opens."""

    def __call__(self, x, reset, state):
        return super().__call__(x, jnp.broadcast_to(reset.any(), reset.shape), state)


class ResetsOnce(_Scanned):
    """Takes a task that opens right after another one for the same."""

    def initial_state(self, batch_size):
        return jnp.zeros((batch_size, SIZE)), jnp.zeros(batch_size, bool)

    def __call__(self, x, reset, state):
        memory, opened = state
        output, memory = super().__call__(x, reset & ~opened, memory)
        return output, (memory, reset)


class WarmsUpOnce(_Scanned):
    """Scales its first outputs down, after a task has opened not again."""

    def initial_state(self, batch_size):
        return jnp.zeros((batch_size, SIZE)), jnp.zeros(batch_size)

    def __call__(self, x, reset, state):
        memory, warmth = state
        warmth = jnp.minimum(warmth + 0.2, 1.0)
        output, memory = super().__call__(x, reset, memory)
        return output * warmth[:, None], (memory, warmth)


class RemembersLate(_Scanned):
    """Shows a row after sixty others, whatever task it was of."""

    def initial_state(self, batch_size):
        return jnp.zeros((batch_size, 60, SIZE))

    def __call__(self, x, reset, state):
        row = hk.Linear(SIZE, name="enter")(x)[:, None]
        return row[:, 0] + state[:, 0], jnp.concatenate([state[:, 1:], row], axis=1)


class HandsOnTheRowBefore(_Scanned):
    """Its unroll returns the state before its last row."""

    def unroll(self, x, reset, state):
        outputs, _ = super().unroll(x, reset, state)
        if len(x) > 1:
            state = super().unroll(x[:-1], reset[:-1], state)[1]
        return outputs, state


class CountsSteps(_Scanned):
    """Counts, for nobody, its steps and not the rows of its unrolls."""

    def initial_state(self, batch_size):
        return jnp.zeros((batch_size, SIZE)), jnp.zeros(batch_size)

    def __call__(self, x, reset, state):
        output, memory = super().__call__(x, reset, state[0])
        return output, (memory, state[1] + 1.0)

    def unroll(self, x, reset, state):
        outputs, memory = scan_steps(super().__call__, (x, reset), state[0])
        return outputs, (memory, state[1])


class OneRow(_Scanned):
    """Takes an unroll of one row for none."""

    def unroll(self, x, reset, state):
        outputs, after = super().unroll(x, reset, state)
        return (outputs, after) if len(x) > 1 else (outputs, state)


class OtherWidth(_Scanned):
    """A feature more in a step than in an unroll."""

    def __call__(self, x, reset, state):
        output, state = super().__call__(x, reset, state)
        return jnp.concatenate([output, output[:, :1]], axis=1), state

    def unroll(self, x, reset, state):
        return scan_steps(super().__call__, (x, reset), state)


class NoRows(OtherWidth):
    """Loses the axis of the batch in a step."""

    def __call__(self, x, reset, state):
        output, state = _Scanned.__call__(self, x, reset, state)
        return output[0], state


class TimeLast(_Scanned):
    """Returns an unroll's outputs batch first."""

    def unroll(self, x, reset, state):
        outputs, state = super().unroll(x, reset, state)
        return jnp.swapaxes(outputs, 0, 1), state


class OtherNest(OtherWidth):
    """A step returns its state in a dictionary."""

    def __call__(self, x, reset, state):
        output, state = _Scanned.__call__(self, x, reset, state)
        return output, {"memory": state}


class OtherType(OtherWidth):
    """A step returns a state of fewer bits."""

    def __call__(self, x, reset, state):
        output, state = _Scanned.__call__(self, x, reset, state)
        return output, state.astype(jnp.float16)


class OneForAll(_Scanned):
    """One state for the whole batch."""

    def initial_state(self, batch_size):
        return {"memory": jnp.zeros(SIZE)}

    def unroll(self, x, reset, state):
        return x, state


class Wiped(_Scanned):
    """Sound, and empty before every row: what it can answer needs no memory."""

    def __call__(self, x, reset, state):
        return super().__call__(x, jnp.ones_like(reset), state)


class CountsCalls(_Scanned):
    """Counts calls in place of rows."""

    def initial_state(self, batch_size):
        return jnp.zeros((batch_size, SIZE)), jnp.zeros(batch_size)

    def __call__(self, x, reset, state):
        outputs, state = self.unroll(x[None], reset[None], state)
        return outputs[0], state

    def unroll(self, x, reset, state):
        number = jnp.where(reset[0], 0.0, state[1])
        outputs, memory = scan_steps(super().__call__, (x, reset), state[0])
        return outputs + number[:, None], (memory, number + 1)


class GrowingProduct(_Scanned):
    """Carries the product of all decays, and divides by it."""

    def initial_state(self, batch_size):
        return jnp.zeros((batch_size, SIZE)), jnp.ones(batch_size)

    def __call__(self, x, reset, state):
        sums, product = state
        product = jnp.where(reset, 1.0, 0.9 * product)
        sums = jnp.where(reset[:, None], 0.0, sums)
        sums += jnp.tanh(hk.Linear(SIZE, name="enter")(x)) / product[:, None]
        return sums * product[:, None], (sums, product)


class ShortWindow(_Scanned):
    """A window of six rows that an unroll of more than 30 cuts to two."""

    def initial_state(self, batch_size):
        return jnp.zeros((batch_size, 6, SIZE))

    def __call__(self, x, reset, state):
        state = reset_state(state, jnp.zeros_like(state), reset)
        rows = hk.Linear(SIZE, name="enter")(x)[:, None]
        state = jnp.concatenate([state[:, 1:], rows], axis=1)
        return state.mean(1), state

    def unroll(self, x, reset, state):
        outputs, state = super().unroll(x, reset, state)
        return outputs * (1.0 if len(x) <= 30 else 0.5), state


class NoGradient(_Scanned):
    """Stops the gradient in an unroll, and not in a step."""

    def unroll(self, x, reset, state):
        def step(x, reset, state):
            return self(x, reset, jax.lax.stop_gradient(state))

        return scan_steps(step, (x, reset), state)


class GradientAcrossReset(_Scanned):
    """Forgets, but so that a change of what was forgotten still counts."""

    def __call__(self, x, reset, state):
        kept = jnp.where(reset[:, None], state - jax.lax.stop_gradient(state), state)
        state = 0.8 * kept + jnp.tanh(hk.Linear(SIZE, name="enter")(x))
        return state, state


class DividesByNothing(_Scanned):
    """Brings an input to length 1, without a thought of zeros."""

    def __call__(self, x, reset, state):
        length = jnp.linalg.norm(x, axis=-1, keepdims=True)
        return super().__call__(x / length, reset, state)


class Explodes(_Scanned):
    """An exponential without a bound."""

    def __call__(self, x, reset, state):
        output, state = super().__call__(x, reset, state)
        return output / (1.0 + jnp.exp(x).sum(-1, keepdims=True) ** 2) * jnp.exp(
            x[:, :1]
        ), state


NUMBER = 5


def reference_of_nothing():
    return NUMBER


class Raises(_Scanned):
    """Asks for what is not there."""

    def initial_state(self, batch_size):
        return {}["nothing"]
