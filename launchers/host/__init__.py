"""Environments on the host, the way of Acme: actors write to Reverb, a learner samples it.

`local` runs both in one process; `tolman.launchers.cluster` spreads them over machines.
Needs the full world (Python 3.11): Reverb, TensorFlow and Acme.
"""

from tolman.launchers.host import launchpad

launchpad.provide()
