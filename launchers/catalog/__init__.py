"""What there is by name: agents, environments, cores, games, and where each is found."""
