"""MEMO: answers from several facts (Banino et al. 2020)."""
