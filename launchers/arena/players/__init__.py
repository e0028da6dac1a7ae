"""Players that need no training: random, greedy, minimax, rollouts, perfect play."""
