"""Self-play: games of an agent against itself, their replay, and the runner of both."""
