"""What needs Reverb, TensorFlow and Acme, and so Python 3.11: writer, tables, batches."""

from tolman.launchers.host.reverb import launchpad

launchpad.provide()

from acme import Actor, Learner  # noqa: E402  (Acme imports Launchpad.)

__all__ = ["Actor", "Learner"]
