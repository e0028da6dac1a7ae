"""Classic control in pure JAX; importing this package registers it."""

from tolman.envs.classic.cartpole import CartPole

__all__ = ["CartPole"]
