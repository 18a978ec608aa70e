"""Where learned maps lie: in the user's cache, one a model."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from draggan_runtime import models
from draggan_runtime.errors import UserError
from draggan_runtime.files import cache_dir

if TYPE_CHECKING:
    from draggan_runtime.evaluation.learned_map.network import LearnedMap

#: Counts changes of what maps are and of how they are made: those of another format are trained anew.
FORMAT = "2"


def path(model: str) -> Path:
    """Where the map of a model is, once trained."""
    return cache_dir() / "maps" / f"{model.replace(':', '-')}.safetensors"


def digest(model: str) -> str:
    """SHA-256 of the map's file. Raises UserError if there is none, or not one of this model and program."""
    from draggan_runtime import tensor_files

    file, train = path(model), f"draggan eval train-map --model {model}"
    if not file.is_file():
        raise UserError(f"no map has been learned for model '{model}'; to train it: {train}")
    said = tensor_files.said(file)
    if (said.get("format"), said.get("sha256")) != (FORMAT, models.find(model).info.sha256):
        raise UserError(f"{file} is damaged or of another version; train it again: {train}")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def load(model: str) -> LearnedMap:
    """The map of a model. Raises UserError as :func:`digest` does."""
    from draggan_runtime import tensor_files
    from draggan_runtime.evaluation.learned_map.network import LearnedMap

    digest(model)
    tensors = tensor_files.read(path(model), f"train it again: draggan eval train-map --model {model}")
    return LearnedMap.of_tensors(tensors)
