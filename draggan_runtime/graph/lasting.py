"""What a session remembers of the graph it was edited on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from draggan_runtime.errors import UserError
from draggan_runtime.graph.load import load_launch
from draggan_runtime.graph.model import ResolvedGraph
from draggan_runtime.messages import Features, Message, Notice, Recording

#: A node that gives only these makes no result: a film is not part of an edit.
_WORDS: set[type[Message]] = {Notice, Recording}


def model_of(graph: ResolvedGraph) -> str:
    """Name of the model the graph runs: that of the node that gives features, else the first; "" if none has one."""
    having = [(cls, str(p.model)) for cls, p in (n.load() for n in graph.nodes.values()) if hasattr(p, "model")]
    having.sort(key=lambda node: Features not in node[0].outputs.values())
    return having[0][1] if having else ""


def model_to_load(asked: str | None, saved: str, launch: str | Path, config: str | None) -> str | None:
    """The model that is ``asked`` for, else that of a ``saved`` session if the launch draws another one by itself.

    None: what the launch draws. Raises UserError if another one is asked for than the session has.
    """
    if asked and saved and asked != saved:
        raise UserError(f"the session was made with model '{saved}'; it cannot go on with '{asked}'")
    if saved and not asked and saved != model_of(load_launch(launch, config=config)):
        return saved
    return asked


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
