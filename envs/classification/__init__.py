"""Examples that each belong to one of several classes."""

from tolman.envs.classification.permuted import PermutedImages
from tolman.envs.classification.task import ClassificationTask, Examples

__all__ = ["ClassificationTask", "Examples", "PermutedImages"]
