"""StyleGAN2 weights as this program keeps them: a safetensors file whose metadata says the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from draggan_nodes.generation.checkpoints import Checkpoint, read_checkpoint, understand
from draggan_nodes.generation.checkpoints.checkpoint import NotReadableError, positive
from draggan_nodes.generation.stylegan2 import StyleGAN2
from draggan_nodes.generation.stylegan2_block import under
from draggan_nodes.generation.stylegan2_mapping import MappingNetwork
from draggan_nodes.generation.stylegan2_state import MOST_NUMBERS, Architecture, check_filters
from draggan_nodes.generation.w_statistics import w_statistics
from draggan_runtime import tensor_files
from draggan_runtime.errors import UserError
from draggan_runtime.inert.limits import shown

_FAMILY = "draggan "
#: What the metadata's ``format`` says.
FORMAT = f"{_FAMILY}StyleGAN2, version 1"
SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MEAN = "mapping.w_avg"
_WHITENING = "w_whitening"
_HEADER = 8  # bytes of a safetensors file's length of its header, which begins with a brace
_REMEDY = "get it anew, or convert the original again"


@dataclass(frozen=True)
class Converted:
    """``state`` as :class:`StyleGAN2` takes it; ``sha256`` of the file it was read from, and in words what that was.

    A file that was converted before says of which file: its hash is ``claimed``, "" if it does not. Nothing but what
    people are told may depend on that, since anybody can write it. The mean of w in ``state``, and ``whitening``, are
    missing before :func:`completed`.
    """

    state: Mapping[str, torch.Tensor]
    architecture: Architecture
    made_of: str
    sha256: str
    conv_clamp: float | None = None
    whitening: torch.Tensor | None = None
    claimed: str = ""

    def network(self, name: str, label: int | None = None) -> StyleGAN2:
        """Raises UserError if there is no such class."""
        return StyleGAN2(
            self.state,
            name=name,
            sha256=self.sha256,
            label=label,
            w_whitening=self.whitening,
            conv_clamp=self.conv_clamp,
        )


def load(file: Path, sha256: str) -> Converted:
    """A file of weights, whatever its format, with the statistics of w; ``sha256`` is that of ``file``.

    Raises UserError, one line that names the file, if it holds no StyleGAN2 that can be drawn.
    """
    return completed(inspect(file, sha256), file)


def inspect(file: Path, sha256: str) -> Converted:
    """As :func:`load`, but statistics that the file lacks are not computed, which takes longer than all else."""
    if is_safetensors(file):
        return read(file, sha256)
    return of_checkpoint(read_checkpoint(file), file, sha256)


def of_checkpoint(checkpoint: Checkpoint, file: Path, sha256: str) -> Converted:
    """The network of a checkpoint, in float32. Shapes are looked at before numbers. Raises UserError."""
    shapes = {name: values.shape for name, values in checkpoint.state.items()}
    try:
        architecture = Architecture.of_shapes(shapes, mean=_MEAN in shapes)
        with np.errstate(over="ignore"):
            arrays = {name: np.array(values, np.float32, order="C") for name, values in checkpoint.state.items()}
        state = {name: torch.from_numpy(array) for name, array in arrays.items()}
        _check(state)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    return Converted(state, architecture, checkpoint.format, sha256, checkpoint.conv_clamp)


def completed(converted: Converted, file: Path) -> Converted:
    """``converted`` with the statistics of w, computed as far as ``file`` lacks them. Raises UserError."""
    if converted.whitening is not None:
        return converted
    mapping = MappingNetwork(under("mapping", converted.state, but=_MEAN))
    try:
        mean, whitening = w_statistics(mapping.any_w, converted.architecture.z_dim)
    except ValueError as error:
        raise UserError(f"{file} holds a StyleGAN2 that cannot be drawn: {error}") from error
    return replace(converted, state={_MEAN: mean, **converted.state}, whitening=whitening)


def write(converted: Converted, file: Path) -> None:
    """Keep what is :func:`completed`. Raises UserError if the folder cannot be written."""
    assert converted.whitening is not None
    metadata = {"format": FORMAT, "made_of": converted.made_of, "sha256": converted.sha256}
    if converted.conv_clamp is not None:
        metadata["conv_clamp"] = repr(converted.conv_clamp)
    tensor_files.write(file, {**converted.state, _WHITENING: converted.whitening}, metadata)


def is_safetensors(file: Path) -> bool:
    """By its first bytes. Raises UserError if it cannot be read."""
    try:
        with file.open("rb") as stream:
            return stream.read(_HEADER + 1)[_HEADER:] == b"{"
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error


def read(file: Path, sha256: str, remedy: str = _REMEDY) -> Converted:
    """What :func:`write` wrote, or the tensors of a state dict that others kept as safetensors.

    Raises UserError, which says what the ``remedy`` is if the file is damaged.
    """
    tensors, said = tensor_files.read(file, remedy), tensor_files.said(file)
    if (count := sum(tensor.numel() for tensor in tensors.values())) > MOST_NUMBERS:
        raise UserError(f"{file} holds {count:,} numbers, where {MOST_NUMBERS:,} are the most that is read")
    if not (known := said.get("format", "")).startswith(_FAMILY):
        return of_checkpoint(understand({name: _array(t) for name, t in tensors.items()}, file), file, sha256)
    if known != FORMAT:
        raise UserError(
            f"{file} is of the format '{shown(known)}', which this version of the program does not know; {_REMEDY}"
        )
    try:
        return _kept(tensors, said, sha256)
    except KeyError as error:
        raise UserError(f"{file} is damaged: it lacks {error.args[0]}; {remedy}") from error
    except (ValueError, NotReadableError, UserError) as error:
        raise UserError(f"{file} is damaged: {error}; {remedy}") from error


def _kept(tensors: dict[str, torch.Tensor], said: Mapping[str, str], sha256: str) -> Converted:
    if others := [name for name, tensor in tensors.items() if tensor.dtype != torch.float32]:
        raise ValueError(f"{shown(others[0])} is not in float32")
    whitening = tensors.pop(_WHITENING)
    architecture = Architecture.of_shapes({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    if whitening.shape != (architecture.w_dim,) * 2:
        raise ValueError(f"{_WHITENING} is {list(whitening.shape)}, where w has {architecture.w_dim} numbers")
    _check({**tensors, _WHITENING: whitening})
    clamp = positive(_number(said["conv_clamp"]), "clamp") if "conv_clamp" in said else None
    claimed = said.get("sha256", "")
    claimed = claimed if SHA256.fullmatch(claimed) else ""
    return Converted(tensors, architecture, shown(said["made_of"]), sha256, clamp, whitening, claimed)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _check(state: Mapping[str, torch.Tensor]) -> None:
    """Raises UserError if there are numbers in it that are none, or filters of another kind."""
    for name, tensor in state.items():
        if not np.isfinite(tensor.numpy()).all():  # seven times as fast as torch's
            raise UserError(f"{name} holds numbers that are not finite")
    check_filters(state)


def _array(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """In float32 what numpy has no numbers for, as bfloat16."""
    small = tensor.is_floating_point() and tensor.element_size() < 4
    return (tensor.float() if small else tensor).numpy()
