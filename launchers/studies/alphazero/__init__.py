"""Silver et al. 2017 and 2018: chess, shogi and Go by self-play from the rules alone."""
