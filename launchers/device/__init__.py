"""Runners whose every step is one compiled program, and episodes played on the device."""
