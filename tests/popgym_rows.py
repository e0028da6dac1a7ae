"""What the tests of POPGym's tasks share: given a state, given actions, all rows."""

import jax
import jax.numpy as jnp
import numpy as np


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


def random_rows(environment, num_steps, num_copies, seed=0, skill=None, keep=None):
    """States at reset, first observations, actions `[T, N, ...]` and rows, all in NumPy.

    Every other copy follows `skill(state)` instead of chance, where one is given. What
    `keep(state)` gives of the states before the steps comes last, `[T, N, ...]`.
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
        kept = () if keep is None else keep(state)
        state, timestep = environment.step(state, action)
        return state, (action, timestep, kept)

    @jax.jit
    def run(keys, actions):
        is_skilled = jnp.arange(num_copies) % 2 == 1
        many = jax.vmap(step)
        state, first = jax.vmap(environment.reset)(keys)
        played = jax.lax.scan(lambda *given: many(*given, is_skilled), state, actions)[1]
        return state, first.observation, *played

    keys = jax.random.split(jax.random.PRNGKey(seed), num_copies)
    return jax.device_get(run(keys, actions))
