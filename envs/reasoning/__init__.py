"""Questions about a memory of given facts: what MEMO and its baselines are trained on."""
