"""Where graphs, configs and launches are found by name: in the installed package, else in the checkout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import draggan_runtime
from draggan_runtime.errors import UserError
from draggan_runtime.graph.source import shown
from draggan_runtime.models import library_of
from draggan_runtime.registry import close_matches

Kind = Literal["graphs", "configs", "launch"]
_SUFFIXES = (".yaml", ".yml")


def shipped(kind: Kind) -> dict[str, Path]:
    """The files of a kind that come with the program, by name."""
    package = Path(draggan_runtime.__file__).resolve().parent
    checkout = package.parent
    folder = package / kind
    if not folder.is_dir() and (checkout / "pyproject.toml").is_file():
        folder = checkout / kind
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def preset_of(model: str) -> str | None:
    """The preset that suits a model, ``NAME`` or ``NAME:ARGUMENT``: the one of its name, None if there is none."""
    name = model.partition(":")[0]
    return name if name in shipped("configs") or library_of(name) is not None else None


def find(kinds: Sequence[Kind], name: str | Path, folder: Path | None = None) -> Path:
    """The file ``name`` means: a path, from ``folder`` or the current folder, or the name of a shipped one.

    Raises UserError with what there is.
    """
    text = str(name)
    path = Path(text).expanduser()
    if path.suffix in _SUFFIXES or len(path.parts) > 1:
        folders = list(dict.fromkeys([(folder or Path.cwd()).resolve(), Path.cwd()]))
        for base in folders:
            if (base / path).is_file():
                return (base / path).resolve()
        searched = "" if path.is_absolute() else f" in {' or '.join(shown(base) for base in folders)}"
        raise UserError(f"no file {text}{searched}")
    known: dict[str, Path] = {}
    for kind in reversed(kinds):
        known.update(shipped(kind))
    if text in known:
        return known[text]
    if "configs" in kinds and (library := library_of(text)) is not None:
        return library.preset(text)
    noun = " or ".join(kind.removesuffix("s") for kind in kinds)
    raise UserError(f"no {noun} is named '{text}'{close_matches(text, known)}; or give a .yaml file")
