"""MEMO: flexible combination of facts in memory (Banino et al. 2020)."""
