"""What the last run of a launch cost, kept in the user's cache for ``draggan graph show --costs``."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from draggan_runtime.app import App
from draggan_runtime.errors import DragganError, UserError
from draggan_runtime.execution.costs import EdgeCost, EdgeCosts
from draggan_runtime.files import cache_dir, writable_folder, write_atomically
from draggan_runtime.graph.model import ResolvedGraph


def save(app: App) -> None:
    """Keep what the run has cost so far. A cache that cannot be written is no reason for a run to fail."""
    edges = [{"source": source, "target": target, **asdict(cost)} for (source, target), cost in app.costs().items()]
    kept = {"layout": _layout(app.graph), "edges": edges}
    path = _path(app.graph)
    with contextlib.suppress(DragganError, OSError):
        writable_folder(path.parent)
        write_atomically(path, json.dumps(kept).encode(), sync=False)


def load(graph: ResolvedGraph, name: str) -> EdgeCosts:
    """By edge, what the last run of ``graph`` cost. Raises UserError if there is none of this layout.

    ``name``: what the user calls the launch.
    """
    try:
        kept = json.loads(_path(graph).read_text())
        if kept["layout"] != _layout(graph):
            raise UserError(f"'{name}' was laid out otherwise when it ran last; run it again: draggan launch {name}")
        return {(e.pop("source"), e.pop("target")): EdgeCost(**e) for e in kept["edges"]}
    except FileNotFoundError:
        raise UserError(f"'{name}' has not been run yet; run it first: draggan launch {name}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{_path(graph)}: not readable ({error}); run it again: draggan launch {name}") from None


def _path(graph: ResolvedGraph) -> Path:
    return cache_dir() / "costs" / f"{quote(graph.name, safe='')}.json"


def _layout(graph: ResolvedGraph) -> dict[str, Any]:
    """What must be the same for the figures to fit the drawing."""
    return {name: [spec.place, *spec.nodes] for name, spec in graph.containers.items()}
