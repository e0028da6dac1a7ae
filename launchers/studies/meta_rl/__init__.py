"""Studies of Wang et al. 2016: bandits, two-step, Harlow, one-shot navigation."""
