"""The benchmarks: one module each, with a function `run` that returns rows."""
