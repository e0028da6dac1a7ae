"""Launchers: commands, runners, checkpoints, logging, studies and reports."""
