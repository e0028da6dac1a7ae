"""The replay in the memory of this process: NumPy, on every Python and system."""
