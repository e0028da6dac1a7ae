"""First-person 3-D mazes: one text format, one task, several engines."""

from tolman.envs.maze.environment import Maze, MazeState

__all__ = ["Maze", "MazeState"]
