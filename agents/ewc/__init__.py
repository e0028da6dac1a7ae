"""EWC: elastic weight consolidation around any agent (Kirkpatrick et al. 2017)."""

from tolman.agents.ewc.config import ElasticConfig, SequentialConfig
from tolman.agents.ewc.elastic import Elastic, ElasticState

__all__ = ["Elastic", "ElasticConfig", "ElasticState", "SequentialConfig"]
