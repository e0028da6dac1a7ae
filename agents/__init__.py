"""Agents: pure functions over arrays, one folder a system."""
