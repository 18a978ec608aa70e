"""Tensors in safetensors files with a few words about them: weights that were converted or learned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from draggan_runtime.errors import UserError
from draggan_runtime.files import unwritable, write_atomically
from draggan_runtime.inert.limits import shown


def write(file: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write ``tensors`` to ``file``, whole or not at all; its folder is made. Raises UserError if it cannot be."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(file.parent, error) from error
    write_atomically(file, save({name: t.contiguous() for name, t in tensors.items()}, dict(metadata)))


def read(file: Path, remedy: str = "delete it, and it will be made anew") -> dict[str, torch.Tensor]:
    """The tensors of ``file``. Raises UserError if it is damaged, and then says what the ``remedy`` is."""
    try:
        return dict(load_file(file))
    except (OSError, SafetensorError) as error:
        raise UserError(f"{file} is damaged ({shown(str(error))}); {remedy}") from error


def said(file: Path) -> dict[str, str]:
    """The metadata of ``file``; nothing if it is no whole safetensors file."""
    try:
        with safe_open(file, framework="pt") as opened:
            return dict(opened.metadata() or {})
    except (OSError, SafetensorError):
        return {}
