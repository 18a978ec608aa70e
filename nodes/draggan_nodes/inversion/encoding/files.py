"""Where encoders lie: in the user's cache, one a model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from draggan_nodes.inversion.encoding.network import Encoder
from draggan_runtime import models, tensor_files
from draggan_runtime.errors import UserError
from draggan_runtime.files import cache_dir

#: Counts changes of what encoders are and of how they are made: those of another format are trained anew.
FORMAT = "1"


def path(model: str) -> Path:
    """Where the encoder of a model is, once trained."""
    return cache_dir() / "encoders" / f"{model.replace(':', '-')}.safetensors"


def write(model: str, encoder: Encoder, about: Mapping[str, str], curve: Sequence[tuple[int, float]]) -> None:
    """Keep an encoder, and how its training went. Raises UserError if the cache cannot be written."""
    tensor_files.write(path(model), encoder.state_dict(), {**about, "curve": curve_text(curve)})


def load(model: str) -> Encoder:
    """The encoder of a model. Raises UserError if there is none, or not one of this model and program."""
    file, train = path(model), f"draggan train encoder --model {model}"
    if not file.is_file():
        raise UserError(f"no encoder has been trained for model '{model}'; to train it: {train}")
    said = tensor_files.said(file)
    if (said.get("format"), said.get("sha256")) != (FORMAT, models.find(model).info.sha256):
        raise UserError(f"{file} is damaged or of another version; train it again: {train}")
    return Encoder.of_tensors(tensor_files.read(file, f"train it again: {train}"))


def curve_text(curve: Sequence[tuple[int, float]]) -> str:
    """A training's curve as metadata holds it."""
    return json.dumps([list(point) for point in curve])


def curve_of(text: str) -> list[tuple[int, float]]:
    """What :func:`curve_text` wrote."""
    return [(int(step), float(value)) for step, value in json.loads(text)]
