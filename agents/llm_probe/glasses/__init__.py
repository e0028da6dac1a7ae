"""Transformers need glasses: what the last token cannot tell apart, and does not hear.

Source: Barbero et al. 2024, "Transformers need glasses! Information over-squashing in
language tasks".
"""
