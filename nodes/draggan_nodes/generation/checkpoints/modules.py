"""torch modules as they lie in a pickle: objects with ``_parameters``, ``_buffers`` and ``_modules``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from draggan_nodes.generation.checkpoints.checkpoint import State, joined
from draggan_runtime.inert import Record


def is_module(value: object) -> bool:
    """True for what torch rebuilds as a module."""
    return isinstance(value, Record) and isinstance(value.state, Mapping) and "_modules" in value.state


def attributes(module: Any) -> Mapping[str, Any]:
    """What the module knows of itself, submodules and tensors among it."""
    state: Mapping[str, Any] = module.state
    return state


def submodules(module: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The module and those in it, by dotted name, ``""`` for the module itself."""
    yield prefix, module
    for name, inner in (attributes(module)["_modules"] or {}).items():
        if is_module(inner):
            yield from submodules(inner, joined(prefix, name, "."))


def state_dict(module: Any) -> State:
    """Its tensors by dotted name, as torch's ``state_dict`` gives them."""
    out: State = {}
    for prefix, inner in submodules(module):
        for kind in ("_parameters", "_buffers"):
            for name, tensor in (attributes(inner).get(kind) or {}).items():
                if isinstance(tensor, np.ndarray):
                    out[joined(prefix, name, ".")] = tensor
    return out
