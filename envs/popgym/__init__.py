"""The tasks of POPGym in pure JAX; importing this package registers them.

All of them hide a part of their state, so that a memory pays. Each comes in three sizes,
such as `popgym/repeat_previous/easy`; rewards are scaled so that what an episode returns
lies in [-1, 1] or near it.
"""
