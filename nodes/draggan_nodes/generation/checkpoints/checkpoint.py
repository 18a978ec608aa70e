"""What is taken out of a file of weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from draggan_nodes.generation.stylegan2_state import MOST_NUMBERS
from draggan_runtime.inert.limits import shown

State = dict[str, np.ndarray[Any, Any]]
_LARGEST = 3e38  # of float32
_LONGEST_NAME = 200


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


def numbers(tensors: Mapping[Any, Any]) -> State:
    """The arrays among ``tensors``, and the numbers that stand alone, which TensorFlow's scalars do.

    Raises NotReadableError if they are complex, or together more than any StyleGAN2 has: in a file of a few bytes an
    array may be as large as the reader's limits, so they are counted before anything is made of them.
    """
    out = {
        str(name): np.asarray(value)
        for name, value in tensors.items()
        if isinstance(value, np.ndarray) or type(value) is float
    }
    for name, array in out.items():
        if array.dtype.kind == "c":
            raise NotReadableError(f"holds complex numbers in {shown(name)}, where a StyleGAN2 has real ones")
    if (count := sum(array.size for array in out.values())) > MOST_NUMBERS:
        raise NotReadableError(f"holds {count:,} numbers, where {MOST_NUMBERS:,} are the most that is read")
    return out


def joined(prefix: str, name: Any, by: str) -> str:
    """The name of a part. Raises NotReadableError if it is too long: what many parts lie in is named in each."""
    if len(out := f"{prefix}{by}{name}" if prefix else str(name)) > _LONGEST_NAME:
        raise NotReadableError(f"has a part of a name too long: {shown(out)}")
    return out


def positive(value: Any, what: str) -> float:
    """``value``, if it is a number above 0. Raises NotReadableError, which says ``what`` it was to be."""
    if type(value) not in (int, float) or not 0 < value < _LARGEST:
        raise NotReadableError(f"has the {what} {word(value)}, which is no positive number")
    return float(value)


def refuse_stylegan3(names: Collection[Any], prefix: str = "") -> None:
    """Raises NotReadableError if ``names`` of tensors, after ``prefix``, are those of a StyleGAN3."""
    if f"{prefix}synthesis.input.freqs" in names:
        raise NotReadableError("is a StyleGAN3, whose pictures come of another kind of network; give a StyleGAN2")


def some(names: Collection[Any]) -> str:
    """The first few names, for a message."""
    first = [shown(str(name)) for name in list(names)[:4]]
    return ", ".join(first) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def word(value: Any) -> str:
    """A value from a file, for a message."""
    if isinstance(value, np.ndarray):
        return "an array"
    return shown(repr(value)) if type(value) in (str, int, float, bool, type(None)) else f"a {type(value).__name__}"
