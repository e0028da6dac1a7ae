"""First-person mazes in pure JAX: `maze/static_1` and the others.

Source: Mirowski et al. 2016, "Learning to navigate in complex environments", section 4;
  `maze/i_maze` is also the one-shot navigation of Wang et al. 2016, section 3.2.3.
  Departure: the paper's mazes are levels of DeepMind Lab. Sizes, rewards, speeds, episode
  lengths and rules of starts are those; walls, textures and the view are this project's, so
  that scores compare agents with one another, not with the paper's.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_type_hints

import jax
import jax.numpy as jnp
from annotated_types import Ge, Gt, Interval
from dm_env import specs
from jax import lax

from tolman.envs.environment import (
    Array,
    TimeStep,
    register_env,
    restart,
    transition,
)
from tolman.envs.maze import layouts, motion, task
from tolman.envs.maze.depth_target import depth_classes, target_view, to_buffer
from tolman.envs.maze.fields import Fields, ImageSize, field_specs
from tolman.envs.maze.layout import Layout, make_layout
from tolman.envs.maze.motion import ACTIONS, SPEED, Body, axes
from tolman.envs.maze.render import Items, colours, depth, full_view, look
from tolman.envs.spelling import suggest

GENERATED = "generated"
MOST_WAYS = 2**28  # Of all generated mazes, from cell to cell.
GENERATED_ONLY = {"num_mazes", "split", "height", "width"}


class MazeState(NamedTuple):
    """Attributes:
    body: of the agent.
    task: of the episode.
    time: `[]` int32, decisions taken in this episode.
    key: `[2]`, of the starts to come.
    """

    body: Body
    task: task.Task
    time: Array
    key: Array


@dataclass(frozen=True)
class Maze:
    """Find the goal, be put elsewhere, find it again, until the time is over.

    Eight actions: turn left and right, forward, backward, left and right, and forward
    while turning. The goal pays 10, an apple 1, a strawberry 2. The goal puts the agent to
    another start and all fruit back. Time alone ends an episode: its end is a truncation.

    Attributes:
      layout: a name such as "static_1" or "i_maze", "generated", or the path of a text;
        docs/mazes.md and `layout.py` say how one is written.
      num_frames: of an episode, 60 a second.
      action_repeat: frames a decision.
      image_size: pixels a side.
      fields: of the observation. "rgb" `[S, S, 3]` bytes; "rgbd" with a fourth channel,
        depth as a depth buffer has it; "velocity" `[6]`, ahead, to the right and turning in
        shares of full speed, zeros for what a body in a plane lacks. Targets are "depth",
        in cells, `[S, S]`; "depth_classes", bytes `[4, 16]`, see `depth_target.py`; "pose",
        that is x, y and heading, `[3]`; "respawned", whether the agent was just put here;
        and "loop_closure", see `task.py`.
      fruit_density: apples drawn for each episode, as a share of the open cells.
      min_start_distance: steps from a start to the goal, at least.
      reward_scale: what all rewards are multiplied with.
      num_mazes: how many are generated; one is drawn for each episode.
      split: of the generated ones; "held_out" has other mazes than any "train" has.
      height: rows of cells of a generated maze.
      width: columns of cells of a generated maze.
    """

    layout: str = "static_1"
    num_frames: Annotated[int, Ge(1)] = 3_600
    action_repeat: Annotated[int, Ge(1)] = 4
    image_size: ImageSize = 84
    fields: Fields = ("rgb", "velocity")
    fruit_density: Annotated[float, Interval(ge=0, le=1)] = 0.0
    min_start_distance: Annotated[int, Ge(0)] = 0
    reward_scale: Annotated[float, Gt(0)] = 1.0
    num_mazes: Annotated[int, Interval(ge=1, le=10_000)] = 100
    split: Literal["train", "held_out"] = "train"
    height: Annotated[int, Interval(ge=2, le=32)] = 9
    width: Annotated[int, Interval(ge=2, le=32)] = 15

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        find_layouts(self)  # Refuses a layout that is none.
        return iter(())

    @functools.cached_property
    def rules(self) -> task.Rules:
        """Of the task, all mazes included."""
        mazes = find_layouts(self)
        return task.make_rules(mazes, self.fruit_density, self.min_start_distance)

    @property
    def num_decisions(self) -> int:
        """Of an episode."""
        return -(-self.num_frames // self.action_repeat)

    @property
    def max_path(self) -> int:
        """L, the places that a path holds; 1 where no field needs it."""
        return self.num_decisions + 1 if self._has_path else 1

    def reset(self, key: Array) -> tuple[MazeState, TimeStep]:
        """Draws the maze, goal, fruit and start of an episode."""
        task_key, key = jax.random.split(key)
        drawn, pose = task.begin(self.rules, task_key, self.max_path)
        state = MazeState(motion.at_rest(pose), drawn, jnp.int32(0), key)
        return state, restart(self._observe(state, jnp.bool_(True)))

    def step(self, state: MazeState, action: Array) -> tuple[MazeState, TimeStep]:
        """Moves for `action_repeat` frames; the goal ends them and leads to a new start."""
        rules = self.rules
        faces = task.of_maze(rules.arrays.faces, state.task.maze)
        turning = jnp.asarray(motion.COMMANDS)[action, 0]

        def frame(
            _: int, carried: tuple[Body, task.Task, Array, Array]
        ) -> tuple[Body, task.Task, Array, Array]:
            body, now, reward, is_found = carried
            moved = motion.move(body, action, faces, rules.width)
            body = jax.tree.map(lambda old, new: jnp.where(is_found, old, new), body, moved)
            now, more, is_reached = task.collect(rules, now, body.pose.position)
            return body, now, reward + more, is_found | is_reached

        start = (state.body, state.task, jnp.float32(0.0), jnp.bool_(False))
        body, now, reward, is_found = lax.fori_loop(0, self.action_repeat, frame, start)
        key = jax.random.fold_in(state.key, state.time)
        again, pose = task.respawn(rules, now, key)
        body, now = jax.tree.map(
            lambda fresh, old: jnp.where(is_found, fresh, old),
            (motion.at_rest(pose), again),
            (body, task.walk(now, body.pose.position) if self._has_path else now),
        )
        state = MazeState(body, now, state.time + 1, state.key)
        is_over = state.time >= self.num_decisions
        observation = self._observe(state, is_found, turning * ~is_found)
        return state, transition(self.reward_scale * reward, observation, False, is_over)

    def observation_spec(self) -> dict[str, specs.Array]:
        """By field, in the order of `fields`."""
        return field_specs(self.fields, self.image_size, *self._sides)

    def action_spec(self) -> specs.DiscreteArray:
        """See `motion.ACTIONS`."""
        return specs.DiscreteArray(len(ACTIONS), name="action")

    @property
    def keys(self) -> dict[str, int]:
        """By which a person acts: the action of each."""
        return motion.KEYS

    @property
    def frames_per_second(self) -> float:
        """Decisions a second."""
        return motion.FRAMES_PER_SECOND / self.action_repeat

    @property
    def _sides(self) -> tuple[int, int]:
        """Width and height of the maze."""
        width = self.rules.width
        return width, self.rules.goals.shape[1] // width

    @property
    def _has_path(self) -> bool:
        return "loop_closure" in self.fields

    def _observe(
        self, state: MazeState, respawned: Array, turning: Array | float = 0.0
    ) -> dict[str, Array]:
        pose, wanted = state.body.pose, set(self.fields)
        view = full_view(self.image_size, self.image_size)
        mazes = jax.tree.map(
            lambda leaf: task.of_maze(leaf, state.task.maze), self.rules.arrays
        )
        items = Items(
            task.centre(state.task.cells, self.rules.width),
            self.rules.kinds,
            state.task.is_there,
        )
        seen: dict[str, Array] = {}
        if wanted & {"rgb", "rgbd", "depth"}:
            columns = look(mazes, pose, items, view)
        if wanted & {"rgb", "rgbd"}:
            seen["rgb"] = colours(columns, pose, view)
        if wanted & {"rgbd", "depth"}:
            seen["depth"] = depth(columns, view)
        if "rgbd" in wanted:
            buffer = to_buffer(seen["depth"])[..., None]
            seen["rgbd"] = jnp.concatenate([seen["rgb"], buffer], axis=-1)
        if "depth_classes" in wanted:
            coarse = target_view(view)
            seen["depth_classes"] = depth_classes(
                depth(look(mazes, pose, items, coarse), coarse)
            )
        along, across = axes(pose.heading)
        velocity = state.body.velocity / SPEED
        ahead, right = velocity @ along, velocity @ across
        zero = jnp.zeros_like(ahead)
        turned = jnp.asarray(turning, jnp.float32)
        seen["velocity"] = jnp.stack([ahead, right, zero, turned, zero, zero])
        seen["pose"] = jnp.append(pose.position, pose.heading)
        seen["respawned"] = respawned
        if self._has_path:
            seen["loop_closure"] = task.closes_loop(state.task)
        return {name: seen[name] for name in self.fields}


def find_layouts(settings: Maze) -> list[Layout]:
    """The mazes that the settings name.

    Raises:
      ValueError: for a name that is none, a file that holds no maze, or more generated ones
        than the memory should hold.
    """
    named, name = layouts.named_layouts(), settings.layout
    if name in named:
        return [named[name]]
    if name == GENERATED:
        number, cells = settings.num_mazes, settings.height * settings.width
        if number * cells**2 > MOST_WAYS:
            raise ValueError(
                f"num_mazes={number}, height={settings.height}, width={settings.width}: "
                f"must be at most {MOST_WAYS // cells**2} mazes of this size, as the steps "
                "from cell to cell are kept. Set --env.num-mazes."
            )
        first = layouts.HELD_OUT if settings.split == "held_out" else 0
        seeds = range(first, first + number)
        return [layouts.draw(seed, settings.height, settings.width) for seed in seeds]
    path = Path(name)
    if not path.is_file():
        names = [*named, GENERATED]
        raise ValueError(
            f"layout={name!r}: is neither a file nor one of {', '.join(names)}"
            f"{suggest(name.removeprefix('maze/'), names)}. Set --env.layout."
        )
    return [make_layout(path.read_text("utf-8-sig", errors="replace"), name)]


def _register(name: str, about: str, **defaults: Any) -> Callable[..., Maze]:
    """Makes a maze with defaults of its own known as `maze/NAME`."""

    def make(**settings: Any) -> Maze:
        return Maze(**{**defaults, **settings})

    hints = get_type_hints(Maze, include_extras=True)
    own = {field.name: defaults.get(field.name, field.default) for field in fields(Maze)}
    kind = defaults.get("layout")
    hidden = {"layout"} if kind is not None else set()
    hidden |= GENERATED_ONLY if kind not in (None, GENERATED) else set()
    own = {key: value for key, value in own.items() if key not in hidden}
    _, section, told = inspect.cleandoc(Maze.__doc__ or "").partition("Attributes:")
    make.__doc__ = f"{about}\n\n{section}{told}"
    make.__annotations__ = {**{key: hints[key] for key in own}, "return": Maze}
    make.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=value)
            for key, value in own.items()
        ]
    )
    return register_env(f"maze/{name}")(make)


LARGE = {"num_frames": 10_800}
RANDOM_GOAL = {"fruit_density": 0.1, "min_start_distance": 5}
static_1 = _register("static_1", "5 x 10 cells, goal and fruit fixed.", layout="static_1")
static_2 = _register(
    "static_2", "9 x 15 cells, goal and fruit fixed.", layout="static_2", **LARGE
)
random_goal_1 = _register(
    "random_goal_1", "5 x 10 cells, goal and fruit drawn for each episode.",
    layout="random_goal_1", **RANDOM_GOAL,
)  # fmt: skip
random_goal_2 = _register(
    "random_goal_2", "9 x 15 cells, goal and fruit drawn for each episode.",
    layout="random_goal_2", **RANDOM_GOAL, **LARGE,
)  # fmt: skip
i_maze = _register(
    "i_maze", "An I of 19 cells, the goal in one of its four alcoves.", layout="i_maze"
)
tiny = _register("tiny", "3 x 4 cells, the goal fixed, no fruit.", layout="tiny")
generated = _register(
    "generated", "Mazes from seeds, one drawn for each episode.",
    layout="generated", **RANDOM_GOAL,
)  # fmt: skip
own = _register("layout", "A maze of a name or a file: --env.layout.")
