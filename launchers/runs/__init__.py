"""A run: what a runner is, its folder, checkpoints, training loop, loggers and progress."""
