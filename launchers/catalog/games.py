"""Games and sources of examples by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tolman.launchers.catalog.names import GAME, Named, find

if TYPE_CHECKING:
    from tolman.envs.board.game import Game, HostGame
    from tolman.envs.reasoning.task import Task


class GameSource:
    """The rules of a run's game; they are made when they are first asked for, and once.

    Attributes:
      named: what makes them.
      settings: of `named.settings_type`.
    """

    def __init__(self, named: Named, settings: Any) -> None:
        self.named, self.settings = named, settings
        self._game: Game | HostGame | None = None

    @property
    def is_on_device(self) -> bool:
        """Whether the rules are in JAX."""
        from tolman.envs.board.game import Game

        return isinstance(self.game(), Game)

    def game(self) -> Game | HostGame:
        """The start of the game; see `build_game`."""
        if self._game is None:
            self._game = build_game(self.named, self.settings)
        return self._game

    def close(self) -> None:
        """Does nothing: rules hold nothing."""


class ExampleSource:
    """The examples of a run; their source is made when it is first asked for, and once.

    Attributes:
      named: what makes it.
      settings: of `named.settings_type`.
      is_on_device: True: a batch is drawn in the program that learns from it.
    """

    is_on_device = True

    def __init__(self, named: Named, settings: Any) -> None:
        self.named, self.settings = named, settings
        self._task: Task | None = None

    def task(self) -> Task:
        """What is asked.

        Raises:
          ValueError: if it cannot be built from these settings, or has no examples.
        """
        if self._task is None:
            task = self.named.build(self.settings)
            for method in ("load", "sample"):
                if not callable(getattr(task, method, None)):
                    raise ValueError(
                        f"source {self.named.name!r}: has no {method}(); it needs "
                        "load(split) and sample(data, key, batch_size)."
                    )
            self._task = task
        return self._task

    def close(self) -> None:
        """Does nothing: examples hold nothing."""


def make_game(name: str, settings: Any = None) -> Game | HostGame:
    """Builds the named game.

    Args:
      name: such as "go_9x9", or `module:attribute`.
      settings: of its `Named.settings_type`; None for the default ones.

    Raises:
      ValueError: if the name is unknown, or as `build_game` does.
    """
    named = find(GAME, name)
    return build_game(named, named.default_settings() if settings is None else settings)


def build_game(named: Named, settings: Any) -> Game | HostGame:
    """Builds a game that was looked up.

    Raises:
      ValueError: if it cannot be built from these settings, or what is built is no game.
    """
    from tolman.envs.board.game import Game, HostGame

    game = named.build(settings)
    if not isinstance(game, Game | HostGame):
        raise ValueError(
            f"game {named.name!r}: is a {type(game).__name__}; must be a Game or a "
            "HostGame (tolman.envs.board.game)."
        )
    return game
