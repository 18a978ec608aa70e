"""State dicts of the published PyTorch networks, by themselves or in a dict beside other things."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from draggan_nodes.generation.checkpoints.checkpoint import Checkpoint, State, numbers, refuse_stylegan3

_KEYS = ("G_ema", "g_ema", "G", "generator", "state_dict", "model")
_PREFIXES = ("", "module.", "G_ema.", "generator.", "G.", "decoder.")


def read(data: Any) -> Checkpoint | None:
    """The generator's tensors; None if there are none under names that are known. Raises NotReadableError."""
    if not isinstance(data, Mapping):
        return None
    for state in (*(data[key] for key in _KEYS if isinstance(data.get(key), Mapping)), data):
        for prefix in _PREFIXES:
            refuse_stylegan3(state, prefix)
            if f"{prefix}synthesis.b4.const" in state:
                return Checkpoint("state dict (PyTorch)", _below(state, prefix))
    return None


def _below(state: Mapping[str, Any], prefix: str) -> State:
    """What the generator is made of; what else lies beside it is left out."""
    ours = {str(name).removeprefix(prefix): value for name, value in state.items() if str(name).startswith(prefix)}
    return numbers({name: value for name, value in ours.items() if name.startswith(("mapping.", "synthesis."))})
