"""Where learned maps lie: in the user's cache, one a model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from draggan_runtime import models
from draggan_runtime.errors import UserError
from draggan_runtime.files import unwritable, write_atomically

if TYPE_CHECKING:
    import torch

    from draggan_runtime.evaluation.learned_map.network import LearnedMap

#: Counts changes of what maps are and of how they are made: those of another format are trained anew.
FORMAT = "2"


def path(model: str) -> Path:
    """Where the map of a model is, once trained."""
    return models.cache_dir() / "maps" / f"{model.replace(':', '-')}.safetensors"


def digest(model: str) -> str:
    """SHA-256 of the map's file. Raises UserError if there is none, or not one of this model and program."""
    from safetensors import SafetensorError

    file, train = path(model), f"draggan eval train-map --model {model}"
    if not file.is_file():
        raise UserError(f"no map has been learned for model '{model}'; to train it: {train}")
    try:
        said = read(file)[1]
    except (OSError, SafetensorError):
        said = {}
    if (said.get("format"), said.get("sha256")) != (FORMAT, models.find(model).info.sha256):
        raise UserError(f"{file} is damaged or of another version; train it again: {train}")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def load(model: str) -> LearnedMap:
    """The map of a model. Raises UserError as :func:`digest` does."""
    from draggan_runtime.evaluation.learned_map.network import LearnedMap

    digest(model)
    return LearnedMap.of_tensors(read(path(model))[0])


def read(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file. Raises OSError, SafetensorError."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        return {key: opened.get_tensor(key) for key in opened.keys()}, dict(opened.metadata() or {})  # noqa: SIM118


def write(file: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, whole or not at all. Raises UserError if the folder cannot be written."""
    from safetensors.torch import save

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(file.parent, error) from error
    write_atomically(file, save({key: value.contiguous() for key, value in tensors.items()}, dict(metadata)))
