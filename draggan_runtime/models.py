"""Models: installed ones, by the entry-point group ``draggan.models``, and those that the user added from files."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from draggan_runtime.errors import UserError

GROUP, LIBRARIES = "draggan.models", "draggan.model_libraries"


@dataclass(frozen=True)
class ModelInfo:
    """What a listing says of a model.

    ``size`` (W, H) px of its pictures; ``download_bytes`` what a fetch loads, 0 for a model that is made on the
    spot; ``sha256`` of that file, or what else tells two models of this name apart. ``details``: what else a person
    may want to know, each a few words by a name of a few words.
    """

    name: str
    title: str
    size: tuple[int, int]
    download_bytes: int
    licence: str
    source: str
    sha256: str
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Published:
    """A model that somebody published as a file: what it draws, its ``resolution`` (W, H) px, and where it is
    to be had.

    ``url`` of the file, or, where people must fetch it themselves, None and the ``page`` that leads to it. ``sha256``
    "": it is not known.
    """

    name: str
    title: str
    resolution: tuple[int, int]
    licence: str
    url: str | None = None
    page: str = ""
    sha256: str = ""


@runtime_checkable
class ModelSource(Protocol):
    """A model one can fetch and load. Other packages name such a class in ``draggan.models``.

    A class whose constructor takes a string gets what follows the colon in ``NAME:ARGUMENT``; it must have a
    default, for listings.
    """

    info: ModelInfo

    def cached(self) -> Path | None:
        """Where the converted weights lie, or None if there is no such file (yet)."""

    def fetch(self, from_file: Path | None = None) -> Path | None:
        """Make sure the converted weights are in the cache, and say where; None if the model needs no file.

        Downloads, or takes ``from_file``; says the licence and the progress on stderr. Raises UserError: no
        network, wrong hash, folder that cannot be written.
        """

    def load(self, device: str) -> Any:
        """The generator on a torch device; loaded once a process, fetched if missing."""


@runtime_checkable
class ModelLibrary(Protocol):
    """Models that a user adds from files. Packages name such a class, which takes no arguments, in
    ``draggan.model_libraries``.

    Each method that is given a file raises UserError, one line that names it, if it holds no model of this kind.
    """

    def names(self) -> list[str]:
        """Names of the models that were added."""

    def published(self) -> Sequence[Published]:
        """Models of this kind that are known to be published."""

    def find(self, name: str, argument: str) -> ModelSource:
        """The model of one of these names; ``argument`` is what follows the colon in ``NAME:ARGUMENT``, "" if none."""

    def preset(self, name: str) -> Path:
        """The file of parameters that suit the model, laid over a graph as those in ``configs/`` are."""

    def about(self, file: Path) -> ModelInfo:
        """What ``file`` holds; it is not added."""

    def add(self, file: Path, name: str, licence: str) -> ModelSource:
        """Convert ``file`` once, keep what came of it under ``name``, and forget about ``file``."""

    def convert(self, file: Path, out: Path) -> None:
        """Write ``file`` as safetensors, which can be added again."""

    def remove(self, name: str) -> None:
        """Forget the model, and delete what was kept of it unless another name needs it."""

    def samples(self) -> Sequence[bytes]:
        """Small whole files of each kind that it reads, for ``draggan fuzz`` to damage."""


def names() -> list[str]:
    """Names of all installed models, and of those that were added."""
    return sorted({*entry_points(group=GROUP).names, *(name for library in libraries() for name in library.names())})


def libraries() -> list[ModelLibrary]:
    """The installed libraries of added models."""
    return [entry.load()() for entry in sorted(entry_points(group=LIBRARIES))]


def library_of(name: str) -> ModelLibrary | None:
    """Where the model of this name was added, None if nowhere."""
    return next((library for library in libraries() if name in library.names()), None)


def find(name: str) -> ModelSource:
    """The model of this name, ``NAME`` or ``NAME:ARGUMENT``.

    Raises UserError if there is none, if it cannot be imported, or if it does not take the argument.
    """
    base, colon, argument = name.partition(":")
    found = list(entry_points(group=GROUP, name=base))
    if not found and (library := library_of(base)) is not None:
        return library.find(base, argument)
    if not found:
        raise UserError(f"unknown model '{name}'; installed: {', '.join(names()) or 'none'}")
    try:
        make = found[0].load()
        if colon and not inspect.signature(make).parameters:
            raise UserError(f"model '{base}' takes nothing after its name, but '{name}' is asked for")
        source = make(argument) if colon else make()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"model '{name}' ({found[0].value}) cannot be loaded: {error}") from error
    if not isinstance(source, ModelSource):
        raise UserError(f"model '{name}' ({found[0].value}) does not implement draggan_runtime.models.ModelSource")
    return source
