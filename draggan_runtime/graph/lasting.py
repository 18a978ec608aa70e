"""What a session remembers of the graph it was edited on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from draggan_runtime.graph.load import load_launch
from draggan_runtime.graph.model import ResolvedGraph
from draggan_runtime.messages import Message, Notice, Recording

#: A node that gives only these makes no result: a film is not part of an edit.
_WORDS: set[type[Message]] = {Notice, Recording}


def model_of(graph: ResolvedGraph) -> str:
    """Name of the model the graph runs: the first ``model`` parameter of its nodes; "" if none has one."""
    return next((str(p.model) for _, p in (n.load() for n in graph.nodes.values()) if hasattr(p, "model")), "")


def other_model(wanted: str, launch: str | Path, config: str | None) -> str | None:
    """``wanted``, a saved session's model, if the launch draws another one by itself; None if it need not be told."""
    return wanted if wanted and wanted != model_of(load_launch(launch, config=config)) else None


def lasting_params(graph: ResolvedGraph) -> dict[str, dict[str, Any]]:
    """By node id, the ``impl`` and parameters of the nodes that make the result.

    Neither the user's side of the graph (captures, displays) nor the session itself.
    """
    lasting = {}
    for node in graph.nodes.values():
        cls, params = node.load()
        if set(cls.outputs.values()) - _WORDS and not cls.polls:
            impl = node.impl.target if ".py:" in node.impl.target else node.impl.name
            lasting[node.id] = {"impl": impl, **params.model_dump(mode="json")}
    return lasting
