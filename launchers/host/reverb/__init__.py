"""The replay that needs Reverb, TensorFlow and Acme, and so Python 3.11.

Raises:
  ValueError: at import, where one of them is not installed.
"""

import sys
from types import ModuleType

from tolman.launchers.host.actor import VectorActor
from tolman.launchers.host.learner import AgentLearner

MISSING = (
    "--replay reverb and --launcher ray need Reverb, TensorFlow and Acme, which have "
    "builds for Python 3.11 on Linux (x86-64) only. Run, in a clone: uv run -p 3.11 tolman "
    "...; where pip installed Tolman: pip install 'tolman[reverb]' && pip install "
    "--no-deps dm-reverb==0.14.0 tensorflow-cpu==2.15.1 dm-acme==0.4.0"
)

# Acme imports Launchpad, which has no build for this Python, for loops that are not used.
sys.modules.setdefault("launchpad", ModuleType("launchpad"))
try:
    import reverb as _reverb  # noqa: F401
    from acme import Actor, Learner
except ImportError as error:
    raise ValueError(f"{MISSING} ({error})") from error

Actor.register(VectorActor)
Learner.register(AgentLearner)
