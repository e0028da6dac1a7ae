"""Language tasks in one step; importing this package registers them."""

from tolman.envs.language.partial_exposure import PartialExposure
from tolman.envs.language.partial_exposure_facts import PartialExposureFacts

__all__ = ["PartialExposure", "PartialExposureFacts"]
