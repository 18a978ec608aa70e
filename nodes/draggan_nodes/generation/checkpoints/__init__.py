"""Files of StyleGAN2 weights as people have them, recognised by what they hold, never by their names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from draggan_nodes.generation.checkpoints import pytorch, rosinality, state_dicts, tensorflow
from draggan_nodes.generation.checkpoints.checkpoint import Checkpoint, NotReadableError, some
from draggan_runtime import inert
from draggan_runtime.errors import UserError
from draggan_runtime.inert import Record
from draggan_runtime.inert.limits import shown

__all__ = ["Checkpoint", "read_checkpoint", "understand"]

_READERS = (pytorch.read, tensorflow.read, rosinality.read, state_dicts.read)


def read_checkpoint(file: Path) -> Checkpoint:
    """The generator in ``file``: pickles of NVIDIA's three code bases, torch files, state dicts.

    Nothing in the file is run. Raises UserError, one line that names the file, if it cannot be read.
    """
    return understand(inert.read(file), file)


def understand(data: Any, file: Path) -> Checkpoint:
    """The generator in what was read of ``file``. Raises UserError as :func:`read_checkpoint`."""
    try:
        with np.errstate(all="ignore"):  # numbers that are not finite are told of when all is read
            for read in _READERS:
                if (found := read(data)) is not None:
                    return found
    except NotReadableError as error:
        raise UserError(f"{file} {error}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"{file} holds a StyleGAN2 that is damaged: {shown(str(error))}") from error
    raise UserError(f"{file} holds no StyleGAN2 generator, but {_what(data)}")


def _what(data: Any) -> str:
    if isinstance(data, Mapping):
        return f"a dict of {some(data)}"
    if isinstance(data, Record):
        return f"an object of class {shown(data.name)}"
    if isinstance(data, list | tuple):
        return f"a list of {len(data)}"
    if isinstance(data, np.ndarray):
        return f"an array of {data.size} numbers"
    return f"a {type(data).__name__}"
