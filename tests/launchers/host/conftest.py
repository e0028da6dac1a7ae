"""Tests of the launchers on the host, which need the full world of Python 3.11."""

import sys

collect_ignore_glob = ["test_*.py"] if sys.version_info >= (3, 12) else []
