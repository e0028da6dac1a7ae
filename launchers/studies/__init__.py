"""The papers' experiments, end to end: one folder a paper, one module a study."""
