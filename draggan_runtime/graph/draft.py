"""A graph under construction: every value remembers which layer said it, and where."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

from draggan_runtime.graph.schema import QosFile


class Layer(IntEnum):
    """Who speaks; a higher layer wins."""

    GRAPH = 0
    CONFIG = 1
    LAUNCH = 2
    SET = 3


@dataclass(frozen=True)
class Origin:
    """Where a value was given: ``where`` is ``file:line`` or the ``--set`` itself."""

    layer: Layer
    where: str
    folder: Path


@dataclass(frozen=True)
class Given:
    """A parameter's value and its origin."""

    value: Any
    origin: Origin


@dataclass(frozen=True)
class Tie:
    """What an input reads: references ``node/port``."""

    sources: tuple[str, ...]
    qos: QosFile | None
    origin: Origin

    def absolute(self) -> Tie:
        """This tie in the outermost graph, where ``/node/port`` and ``node/port`` are the same."""
        return replace(self, sources=tuple(s.removeprefix("/") for s in self.sources))


@dataclass
class NodeDraft:
    """A node as the layers so far describe it. ``spare``: see :class:`~draggan_runtime.graph.model.ResolvedNode`."""

    id: str
    impl: str
    impl_origin: Origin
    origin: Origin
    params: dict[str, Given] = field(default_factory=dict)
    spare: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Tie] = field(default_factory=dict)
    outputs: list[str] | None = None
    container: str | None = None

    def at(self, origin: Origin) -> str:
        """How an error about this node begins."""
        return f"{origin.where}: node '{self.id}'"


Drafts = dict[str, NodeDraft]
