"""What the tests of POPGym's tasks share: given a state, given actions, all rows."""

import jax
import jax.numpy as jnp
import numpy as np

try:
    from jax import enable_x64
except ImportError:  # Of older jax.
    from jax.experimental import enable_x64


def play(environment, state, actions):
    """One episode from a state by given actions `[T, ...]`.

    Returns:
      The last state, observations (a nest of `[T, ...]`), rewards `[T]`, whether each row
      ends the episode, `[T]`, and discounts `[T]`.
    """
    state = jax.tree.map(jnp.asarray, state)
    last, rows = jax.jit(lambda *given: jax.lax.scan(environment.step, *given))(
        state, jnp.asarray(actions, jnp.int32)
    )
    rows, last = jax.device_get((rows, last))
    return last, rows.observation, rows.reward, rows.step_type == 2, rows.discount


def random_rows(environment, num_steps, num_copies, seed=0, bits=32, skill=None):
    """States at reset, first observations, actions `[T, N, ...]` and rows, all in NumPy.

    With 64 `bits` the steps are computed in these, from the same states. Every other copy
    follows `skill(state)` instead of chance, where one is given.
    """
    rng = np.random.default_rng(seed)
    spec = environment.action_spec()
    size = (num_steps, num_copies, *spec.shape)
    if np.issubdtype(spec.dtype, np.floating):
        actions = rng.uniform(spec.minimum, spec.maximum, size).astype(np.float32)
    else:
        actions = rng.integers(spec.minimum, spec.maximum + 1, size).astype(np.int32)

    def step(state, action, is_skilled):
        if skill is not None:
            wise = jnp.asarray(skill(state), action.dtype)
            action = jnp.where(is_skilled, wise, action)
        state, timestep = environment.step(state, action)
        return state, (action, timestep)

    def run(state, actions):
        is_skilled = jnp.arange(num_copies) % 2 == 1
        many = jax.vmap(step)
        return jax.lax.scan(lambda *given: many(*given, is_skilled), state, actions)[1]

    keys = jax.random.split(jax.random.PRNGKey(seed), num_copies)
    state, first = jax.device_get(jax.jit(jax.vmap(environment.reset))(keys))
    with enable_x64(bits == 64):
        wide = jax.tree.map(lambda leaf: _widen(leaf, bits), (state, actions))
        actions, rows = jax.device_get(jax.jit(run)(*wide))
    return state, first.observation, actions, rows


def _widen(leaf, bits):
    is_float = np.issubdtype(leaf.dtype, np.floating)
    return leaf.astype(np.float64) if is_float and bits == 64 else leaf
