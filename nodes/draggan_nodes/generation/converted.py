"""StyleGAN2 weights as this program keeps them: a safetensors file whose metadata says the rest."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from draggan_nodes.generation.checkpoints import Checkpoint, read_checkpoint, understand
from draggan_nodes.generation.stylegan2 import StyleGAN2
from draggan_nodes.generation.stylegan2_state import Architecture
from draggan_nodes.generation.w_statistics import w_statistics
from draggan_runtime import tensor_files
from draggan_runtime.errors import UserError

#: What the metadata's ``format`` says.
FORMAT = "draggan StyleGAN2, version 1"
_WHITENING = "w_whitening"
_HEADER = 8  # bytes of a safetensors file's length of its header, which begins with a brace


@dataclass(frozen=True)
class Converted:
    """``state`` as :class:`StyleGAN2` takes it; ``sha256`` of the file it came from, and in words what that was."""

    state: Mapping[str, torch.Tensor]
    architecture: Architecture
    made_of: str
    sha256: str
    conv_clamp: float | None = None
    whitening: torch.Tensor | None = None

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
    """A file of weights, whatever its format; ``sha256`` is that of ``file``.

    Raises UserError, one line that names the file, if it holds no StyleGAN2 that can be drawn.
    """
    if is_safetensors(file):
        return read(file, sha256)
    return of_checkpoint(read_checkpoint(file), file, sha256)


def of_checkpoint(checkpoint: Checkpoint, file: Path, sha256: str) -> Converted:
    """The network of a checkpoint in float32; the mean of w is computed if it is missing. Raises UserError."""
    state = {
        name: torch.from_numpy(np.array(values, np.float32, order="C")) for name, values in checkpoint.state.items()
    }
    unknown_mean = "mapping.w_avg" not in state
    if unknown_mean and "mapping.fc0.weight" in state:
        state["mapping.w_avg"] = torch.zeros(_last_width(state))
    try:
        architecture = Architecture.of(state)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    made = Converted(state, architecture, checkpoint.format, sha256, checkpoint.conv_clamp)
    mean, whitening = w_statistics(made.network(file.stem).any_w, architecture.z_dim)
    if unknown_mean:
        state["mapping.w_avg"] = mean
    return replace(made, whitening=whitening)


def write(converted: Converted, file: Path) -> None:
    """Raises UserError if the folder cannot be written."""
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


def read(file: Path, sha256: str) -> Converted:
    """What :func:`write` wrote, or the tensors of a state dict that others kept as safetensors. Raises UserError."""
    tensors, said = tensor_files.read(file), tensor_files.said(file)
    if said.get("format") != FORMAT:
        return of_checkpoint(understand({name: t.float().numpy() for name, t in tensors.items()}, file), file, sha256)
    whitening = tensors.pop(_WHITENING, None)
    try:
        clamp = float(said["conv_clamp"]) if "conv_clamp" in said else None
        return Converted(tensors, Architecture.of(tensors), said["made_of"], said["sha256"], clamp, whitening)
    except (KeyError, ValueError, UserError) as error:
        raise UserError(f"{file} is damaged: {error}") from error


def _last_width(state: Mapping[str, torch.Tensor]) -> int:
    """That of the mapping's last layer, w_dim."""
    depth = next(i for i in itertools.count(1) if f"mapping.fc{i}.weight" not in state)
    return len(state[f"mapping.fc{depth - 1}.weight"])
