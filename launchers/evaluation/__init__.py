"""Whole episodes with frozen parameters, and their score."""
