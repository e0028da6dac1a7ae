"""Small scenes of coloured shapes, with captions and a judge; see `world.PictureWorld`."""

from tolman.envs.scenes.world import PictureWorld, World, zipf_weights

__all__ = ["PictureWorld", "World", "zipf_weights"]
