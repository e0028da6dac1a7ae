"""POPGym's tasks beside the package popgym 1.0.7, where that can be imported.

Its environments draw from a generator of NumPy. Here they draw from a script instead, which
hands them our hidden state; the same actions must then give the same rows, step by step, to
the end of every episode. Actions are random; where chance alone never comes to an end of
one kind, every other episode is played with skill. `popgym` is not among the project's
packages: put it on PYTHONPATH, with mazelib for the labyrinths, and run with `-m slow`.
"""

import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from popgym_rows import random_rows

from tolman.envs.popgym.noise import draw_noise
from tolman.launchers.catalog.names import ENV, find

popgym = pytest.importorskip("popgym")
pytestmark = pytest.mark.slow

NUM_EPISODES = 1000
SIZES = ["easy", "medium", "hard"]


class Script:
    """In place of NumPy's generator: answers one kind of draw after the other."""

    def __init__(self, **answers):
        self._answers = {kind: iter(rows) for kind, rows in answers.items()}

    def shuffle(self, cards):
        cards[:] = next(self._answers["shuffle"])

    def random(self, size=None, dtype=None):
        return next(self._answers["random"])

    def choice(self, *_, **__):
        return next(self._answers["choice"])

    def uniform(self, low, high, size=None):
        return next(self._answers["uniform"])

    def normal(self, mean, deviation):
        return mean + deviation * next(self._answers["normal"])


def dealt(state):
    return Script(shuffle=[state.cards[::-1]])  # Dealt from the end.


def two_decks(state):
    return Script(shuffle=[state.cards[::-1], state.queries[::-1]])


def laid(state):
    return Script(shuffle=[state.cards])


def arms(state):
    return Script(random=[state.chances, *state.luck.astype(np.float64)])


class PlantedMaze:
    """In place of mazelib's Maze: the one of our state."""

    state = None

    def generate(self):
        self.grid = (self.state.squares == 1).astype(np.int8)

    def generate_entrances(self, start_outer):
        self.start = tuple(self.state.place)
        ends = np.argwhere(self.state.squares == 3)  # None where there is no goal.
        self.end = tuple(ends[0]) if len(ends) else None


def maze(state):
    PlantedMaze.state = state
    return Script()


def mines(state):
    return Script(choice=[np.flatnonzero(state.is_mine)])


def ships(state):
    """Theirs draw ends of ships until these fit. What they place is replaced below."""
    return np.random.default_rng(0)


def physics(state):
    state = getattr(state, "inner", state)
    if hasattr(state, "physics"):
        return state.physics
    return jnp.stack([state.angle, state.speed])


def body(state):
    start = np.asarray(physics(state), np.float64)
    return Script(uniform=[start], normal=noise(state.key) if hasattr(state, "key") else [])


@jax.jit
@functools.partial(jax.vmap, in_axes=(None, 0))
def noises(key, time):
    return draw_noise(key, time)


def noise(key):
    """Of all rows of the longest episode."""
    return np.asarray(noises(key, jnp.arange(201)))


def balance(state):
    """Keeps a pole up to the end of the clock."""
    cart, speed, angle, turning = physics(state)
    return 0.05 * cart + 0.1 * speed + angle + 0.3 * turning > 0


def pair(state):
    """Turns two cards of one rank and one colour, until none are left."""
    rank = state.cards % 52 // 4 * 2 + state.cards % 2
    is_left = ~state.is_found & (jnp.arange(len(rank)) != state.turned)
    is_like = is_left & (rank == rank[state.turned])
    return jnp.argmax(jnp.where(state.turned == -1, is_left, is_like))


def balance_or_swing(state):
    """The former for a cart; a pendulum is turned the way it moves."""
    if len(moving := physics(state)) == 4:
        return balance(state)
    return 2.0 * jnp.sign(moving[1:])


def sink(state):
    """Hits the first field of a ship that is left."""
    is_left = state.is_ship & ~state.is_tried
    return jnp.stack(jnp.divmod(jnp.argmax(is_left), len(is_left)))


def sweep(state):
    """Views the first field that is left."""
    is_left = ~state.is_mine & ~state.is_viewed
    return jnp.stack(jnp.divmod(jnp.argmax(is_left), len(is_left)))


SKILLS = {body: balance_or_swing, laid: pair, ships: sink, mines: sweep}


# Our name, theirs, what hands over a hidden state, steps of the longest episode by size.
TASKS = [
    ("repeat_first", "RepeatFirst", dealt, (51, 415, 831)),
    ("repeat_previous", "RepeatPrevious", dealt, (51, 103, 155)),
    ("autoencode", "Autoencode", dealt, (103, 207, 311)),
    ("count_recall", "CountRecall", two_decks, (51, 103, 207)),
    ("higher_lower", "HigherLower", dealt, (51, 103, 155)),
    ("concentration", "Concentration", laid, (104, 208, 104)),
    ("multiarmed_bandit", "MultiarmedBandit", arms, (200, 400, 600)),
    ("battleship", "Battleship", ships, (64, 100, 144)),
    ("minesweeper", "MineSweeper", mines, (14, 30, 54)),
    ("labyrinth_escape", "LabyrinthEscape", maze, (1023, 1023, 1023)),
    ("labyrinth_explore", "LabyrinthExplore", maze, (1023, 1023, 1023)),
    ("position_only_cartpole", "PositionOnlyCartPole", body, (200, 400, 600)),
    ("velocity_only_cartpole", "VelocityOnlyCartPole", body, (200, 400, 600)),
    ("noisy_position_only_cartpole", "NoisyPositionOnlyCartPole", body, (200,) * 3),
    ("position_only_pendulum", "PositionOnlyPendulum", body, (200, 150, 100)),
    ("noisy_position_only_pendulum", "NoisyPositionOnlyPendulum", body, (200,) * 3),
]
IDS = [
    (
        f"popgym/{ours}/{size}",
        f"{theirs}{size.title()}",
        script,
        num_steps[SIZES.index(size)],
    )
    for ours, theirs, script, num_steps in TASKS
    for size in SIZES
]


@pytest.mark.parametrize(("ours", "theirs", "script", "num_steps"), IDS)
def test_rows_are_theirs(ours, theirs, script, num_steps, monkeypatch):
    if script is maze:
        monkeypatch.setattr("popgym.core.maze.Maze", PlantedMaze)
    named = find(ENV, ours)
    environment = named.build(named.default_settings(), 0)
    judge = getattr(importlib.import_module("popgym.envs"), theirs)()
    check_spec(environment.observation_spec(), judge.observation_space)
    check_spec(environment.action_spec(), judge.action_space)
    # Theirs compute in 64 bits, from our state of 32 bits in every step: poles that are not
    # balanced part else, be the first difference as small as it may.
    is_physics = "pole" in ours or "pendulum" in ours
    atol = 4e-6 if is_physics else 0.0
    states, first, actions, rows, kept = random_rows(
        environment,
        num_steps,
        NUM_EPISODES,
        skill=SKILLS.get(script),
        keep=physics if is_physics else None,
    )
    num_compared = num_over = 0
    for copy in range(NUM_EPISODES):
        state, start, row = (
            jax.tree.map(lambda leaf, at=at: leaf[at], nest)
            for nest, at in ((states, copy), (first, copy), (rows, np.s_[:, copy]))
        )
        judge.np_random = script(state)
        check_close(flat(start), flat(judge.reset()[0]), atol)
        if script is ships:
            judge.board = state.is_ship.astype(np.int8)
        played = []
        for time, action in enumerate(actions[:, copy]):
            if is_physics:
                judge.state = kept[time, copy].astype(np.float64)
            seen, *row_of_theirs, _ = judge.step(action)
            played.append((flat(seen), *row_of_theirs))
            if any(row_of_theirs[1:]):
                break
        seen, reward, is_over, is_cut = map(np.array, zip(*played, strict=True))
        length = len(reward)
        assert is_over[-1] or is_cut[-1], "num_steps is too small"
        ours_seen = np.concatenate(
            [
                leaf[:length].reshape(length, -1)
                for leaf in jax.tree.leaves(row.observation)
            ],
            axis=1,
        )
        check_close(ours_seen, seen, atol)
        check_close(row.reward[:length], reward, 1e-6)
        np.testing.assert_array_equal(row.step_type[:length] == 2, is_over | is_cut)
        np.testing.assert_array_equal(row.discount[:length], np.where(is_over, 0.0, 1.0))
        num_compared += length
        num_over += bool(is_over[-1])
    print(f"{ours}: {NUM_EPISODES} episodes, {num_compared} steps, {num_over} terminated")


def flat(observation):
    """As one vector; `mode` and `suit` of ours stand in the order of theirs."""
    if isinstance(observation, (int, np.integer)):
        return np.array([observation])
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(observation)])


def check_close(ours, theirs, atol):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)


def check_spec(spec, space):
    """The same numbers from, and to."""
    spaces = list(getattr(space, "spaces", [space]))
    for part, theirs in zip(jax.tree.leaves(spec), spaces, strict=True):
        assert part.shape == theirs.shape
        if hasattr(theirs, "n"):
            assert part.num_values == theirs.n
        elif hasattr(theirs, "nvec"):
            np.testing.assert_array_equal(part.maximum, theirs.nvec - 1)
        elif np.isfinite(theirs.low).all():
            np.testing.assert_array_equal(part.minimum, theirs.low)
            np.testing.assert_array_equal(part.maximum, theirs.high)
