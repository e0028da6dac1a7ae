"""The settings of a run, and the flags and files that they are read from."""
