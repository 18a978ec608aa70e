"""Shared by all tests: the tests' own helpers are importable by name."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

# First of all that brings Ray: it sets what Ray reads when it is imported, so that it stays on this machine.
import draggan_runtime.execution.ray_host  # noqa: F401
