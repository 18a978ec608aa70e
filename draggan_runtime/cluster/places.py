"""Names of the cluster's actors, and answers to who asks for a place on an engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NAMESPACE = "draggan"
MANAGER = "manager"


@dataclass(frozen=True)
class Place:
    """A place on the engine of this name; ``engine``: its actor."""

    name: str
    engine: Any


@dataclass(frozen=True)
class Wait:
    """There is none yet: the place in the line, from 1; 0 and ``why`` if there is no line to stand in."""

    position: int
    why: str = ""
