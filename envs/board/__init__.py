"""Two-player board games: one protocol, and the rules behind it."""
