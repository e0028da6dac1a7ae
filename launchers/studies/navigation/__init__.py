"""Studies of Mirowski et al. 2016."""
