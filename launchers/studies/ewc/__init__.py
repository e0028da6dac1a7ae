"""Studies of elastic weight consolidation (Kirkpatrick et al. 2017)."""
