"""StyleGAN2 models that the user added from files: converted once, loaded from safetensors ever after."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from draggan_nodes.generation import converted
from draggan_nodes.generation.converted import SHA256, Converted
from draggan_nodes.generation.sample_files import sample_files
from draggan_nodes.generation.stylegan2 import StyleGAN2
from draggan_runtime import models
from draggan_runtime.errors import UserError
from draggan_runtime.files import cache_dir, sha256_of, write_atomically
from draggan_runtime.graph import source
from draggan_runtime.graph.lookup import shipped
from draggan_runtime.inert.limits import shown
from draggan_runtime.models import ModelInfo, Published

_PUBLISHED = Path(__file__).with_name("published.yaml")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: The level that serves tracking and supervision, if the network has it (Pan et al. 2023, section 4.1).
_LEVEL = 128
#: What :func:`_facts` says.
_KEPT = {"sha256", "made_of", "source", "licence", "size", "classes", "details"}
_loaded: dict[tuple[Path, str, str], StyleGAN2] = {}
_loading = threading.Lock()


class AddedModels:
    """A :class:`~draggan_runtime.models.ModelLibrary`; what it keeps lies in the user's cache.

    Of each model a JSON file says what it is, a YAML file is its preset, and the weights lie in a file named by the
    hash of the file that was added, which several names may share.
    """

    def names(self) -> list[str]:
        return sorted(file.stem for file in _folder().glob("*.json"))

    def published(self) -> list[Published]:
        entries = source.read(_PUBLISHED).data
        return [Published(**{**entry, "resolution": tuple(entry["resolution"])}) for entry in entries]

    def find(self, name: str, argument: str) -> AddedModel:
        return AddedModel(name, _said(name), argument)

    def preset(self, name: str) -> Path:
        return _preset_of(name)

    def about(self, file: Path) -> ModelInfo:
        return _info(file.stem, _facts(converted.inspect(file, sha256_of(file)), file, "not known: ask who made it"))

    def add(self, file: Path, name: str, licence: str) -> AddedModel:
        if not _NAME.fullmatch(name):
            raise UserError(f"'{name}' is no name for a model; use letters, digits, '.', '-' and '_'")
        if name in {*models.names(), *shipped("configs")} - set(self.names()):
            raise UserError(f"there is a model or preset '{name}' already; choose another --name")
        network = _load(file)
        if name in self.names() and _said(name)["sha256"] != network.sha256:
            raise UserError(f"another model is named '{name}'; choose another --name, or draggan models remove {name}")
        converted.write(network, _weights(network.sha256))
        facts = _facts(network, file, licence or "not known: ask who made it")
        write_atomically(self.preset(name), _preset(name, network).encode())
        write_atomically(_folder() / f"{name}.json", (json.dumps(facts, indent=2) + "\n").encode())
        return self.find(name, "")

    def convert(self, file: Path, out: Path) -> None:
        converted.write(_load(file), out)

    def samples(self) -> list[bytes]:
        return sample_files()

    def remove(self, name: str) -> None:
        for file in (_folder() / f"{name}.json", self.preset(name)):
            file.unlink(missing_ok=True)
        # Of another model that is damaged nobody knows which weights it needs: then all of them stay.
        with contextlib.suppress(UserError):
            needed = {_weights(_said(other)["sha256"]) for other in self.names()}
            for file in set(_folder().glob("*.safetensors")) - needed:
                file.unlink(missing_ok=True)


class AddedModel:
    """One of them, or one class of a conditional one: ``NAME:LABEL``."""

    def __init__(self, name: str, said: Mapping[str, Any], argument: str) -> None:
        classes = int(said["classes"])
        if argument and not classes:
            raise UserError(f"model '{name}' has no classes, but '{name}:{argument}' is asked for")
        if argument and not (argument.isdecimal() and int(argument) < classes):
            raise UserError(f"model '{name}:{argument}': its classes are 0 to {classes - 1}, as in {name}:0")
        self._label = int(argument) if argument else None
        said = {**said, "details": {**said["details"], "preset": str(_preset_of(name))}}
        self.info = _info(f"{name}:{argument}" if argument else name, said)

    def cached(self) -> Path | None:
        file = _weights(self.info.sha256)
        return file if file.is_file() else None

    def fetch(self, from_file: Path | None = None) -> Path:
        if from_file is not None or (file := self.cached()) is None:
            name = self.info.name.partition(":")[0]
            raise UserError(f"model '{name}' came from a file: draggan models remove {name}, then add the file again")
        return file

    def load(self, device: str) -> StyleGAN2:
        file = self.fetch()
        key = file, device, self.info.name
        with _loading:
            if key not in _loaded:
                name = self.info.name.partition(":")[0]
                read = converted.read(file, self.info.sha256, f"draggan models remove {name}, then add the file again")
                _loaded[key] = read.network(self.info.name, self._label).to(device)
            return _loaded[key]


def _folder() -> Path:
    return cache_dir() / "models" / "added"


def _preset_of(name: str) -> Path:
    return _folder() / f"{name}.yaml"


def _weights(sha256: str) -> Path:
    """Where weights lie, by the hash of the file that they came from. Raises UserError if it is none."""
    if not SHA256.fullmatch(sha256):
        raise UserError(f"'{shown(sha256)}' is no SHA-256 of an added file")
    return _folder() / f"{sha256[:16]}.safetensors"


def _load(file: Path) -> Converted:
    return converted.load(file, sha256_of(file))


def _said(name: str) -> dict[str, Any]:
    file = _folder() / f"{name}.json"
    try:
        said: dict[str, Any] = json.loads(file.read_text())
        if not isinstance(said, dict) or _KEPT - said.keys():
            raise ValueError("it does not say what a model is")
        _weights(said["sha256"])
        return said
    except (OSError, TypeError, ValueError, UserError) as error:
        raise UserError(f"cannot read {file} ({error}); draggan models remove {name}, then add it again") from error


def _facts(network: Converted, file: Path, licence: str) -> dict[str, Any]:
    """What is kept of a model, as JSON holds it."""
    shape = network.architecture
    levels = [4 << i for i in range(len(shape.channels))]
    learned = [t for name, t in network.state.items() if name.endswith(("weight", "bias", "b4.const"))]
    return {
        "sha256": network.sha256,
        "made_of": network.made_of,
        "source": file.name,
        "licence": licence,
        "size": shape.size,
        "classes": shape.c_dim,
        "details": {
            "format": network.made_of,
            "classes": f"{shape.c_dim}, 0 to {shape.c_dim - 1}: NAME:LABEL chooses one" if shape.c_dim else "none",
            "z, w": f"{shape.z_dim}, {shape.w_dim}, by {len(shape.mapping)} layers",
            "slots of w_plus": str(2 * len(shape.channels)),
            "channels": ", ".join(f"{rows}: {c}" for rows, c in zip(levels, shape.channels, strict=True)),
            "parameters": f"{sum(map(torch.numel, learned)) / 1e6:.1f} million",
            "clamps at": "nothing" if network.conv_clamp is None else f"{network.conv_clamp:g}",
            **({"says it was converted from": f"a file of SHA-256 {network.claimed}"} if network.claimed else {}),
        },
    }


def _info(name: str, said: Mapping[str, Any]) -> ModelInfo:
    width, height = said["size"]
    return ModelInfo(
        name=name,
        title="StyleGAN2",
        size=(width, height),
        download_bytes=0,
        licence=said["licence"],
        source=said["source"],
        sha256=said["sha256"],
        details=said["details"],
    )


def _preset(name: str, network: Converted) -> str:
    """The shipped preset of StyleGAN2, for this network."""
    preset = source.read(shipped("configs")["stylegan2"]).data
    rows = 2 << len(network.architecture.channels)
    preset["name"] = name
    for node in ("source", "generator", "renderer"):
        preset["params"][node]["model"] = name
    for node in ("tracker", "texture", "motion"):
        preset["params"][node]["level"] = str(min(_LEVEL, rows))
    preset["params"]["generator"]["slots"] = min(
        preset["params"]["generator"]["slots"], 2 * len(network.architecture.channels)
    )
    preset["params"]["source"]["z_dim"] = network.architecture.z_dim
    header = f"# Of the preset stylegan2, for {network.made_of}; yours to change.\n"
    return header + yaml.safe_dump(preset, sort_keys=False)
