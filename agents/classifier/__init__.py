"""A fully connected network that learns to tell classes apart, from examples."""

from tolman.agents.classifier.agent import Classifier
from tolman.agents.classifier.config import ClassifierConfig

__all__ = ["Classifier", "ClassifierConfig"]
