"""Environments on the host, the way of Acme: actors write, a learner samples a replay.

`local` runs both in one process; `tolman.launchers.cluster` spreads them over machines.
"""
