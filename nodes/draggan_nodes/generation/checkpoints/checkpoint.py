"""What is taken out of a file of weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

State = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Checkpoint:
    """A StyleGAN2 generator's weights, under the names of the published PyTorch checkpoints.

    ``format`` says in words where such files come from. ``conv_clamp``: at what the layers clamp their outputs; None:
    they do not. ``mapping.w_avg`` may be missing.
    """

    format: str
    state: State
    conv_clamp: float | None = None


class NotReadableError(Exception):
    """The file is of a known format, but holds what this program does not draw; the message says what."""


def some(names: Mapping[str, Any]) -> str:
    """The first few names, for a message."""
    first = [str(name) for name in list(names)[:4]]
    return ", ".join(first) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
