"""Does a model reason by logic or by what it believes?

Source: Dasgupta, Lampinen et al., "Language models show human-like content effects on
  reasoning tasks", arXiv 2207.07051; PNAS Nexus 2024.
"""
