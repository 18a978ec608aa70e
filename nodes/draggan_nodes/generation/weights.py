"""Weights in the cache: safetensors files that say where they came from, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from draggan_runtime.errors import UserError


def write(file: Path, tensors: dict[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write ``tensors`` to ``file``, replacing it in one step; two processes that do so at once do no harm.

    Raises UserError if the folder cannot be made or written.
    """
    temporary = file.with_name(f"{file.name}.{uuid.uuid4().hex}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as stream:
            stream.write(save(tensors, dict(metadata)))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
    except OSError as error:
        raise unwritable(file.parent, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def unwritable(folder: Path, error: OSError) -> UserError:
    """What to tell a user whose cache folder does not take files."""
    return UserError(
        f"cannot write to the model cache {folder} ({error.strerror}); set DRAGGAN_CACHE to a folder you own"
    )


def holds(file: Path, metadata: Mapping[str, str]) -> bool:
    """True if ``file`` is a whole safetensors file with exactly this metadata."""
    try:
        with safe_open(file, framework="pt") as opened:
            return dict(opened.metadata() or {}) == dict(metadata)
    except (OSError, SafetensorError):
        return False


def read(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of ``file``. Raises UserError if it is damaged."""
    try:
        return dict(load_file(file))
    except (OSError, SafetensorError) as error:
        raise UserError(f"model file {file} is damaged ({error}); delete it and fetch the model again") from error
