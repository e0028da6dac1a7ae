"""What Acme needs of Launchpad, which has no build for this Python: its stop handlers.

Acme's loops register a handler and expect it to be called when the program is told to
stop. Here that is when a `StopRequest` takes SIGINT or SIGTERM.
"""

from __future__ import annotations

import sys
from types import ModuleType

from tolman.launchers.runs import stopping

MISSING = (
    "the launchers for host environments need Reverb, TensorFlow and Acme, which have "
    "builds for Python 3.11 on Linux only. Run with: uv run -p 3.11 tolman ..."
)


def provide() -> None:
    """Makes `import launchpad`, and with it `import acme`, work.

    Raises:
      ValueError: if Acme or Reverb is not installed.
    """
    if "launchpad" not in sys.modules:
        module = ModuleType("launchpad", "Launchpad's stop handlers, served by Tolman.")
        module.register_stop_handler = stopping.register_stop_handler  # type: ignore[attr-defined]
        module.unregister_stop_handler = stopping.unregister_stop_handler  # type: ignore[attr-defined]
        sys.modules["launchpad"] = module
    try:
        import acme  # noqa: F401
        import reverb  # noqa: F401
    except ImportError as error:
        raise ValueError(f"{MISSING} ({error})") from error
