"""Environments: pure-JAX ones that run on the device, and adapters to the host kind."""
