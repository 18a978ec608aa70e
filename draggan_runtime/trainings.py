"""Trainings of networks from a model's own pictures, by the entry-point group ``draggan.trainings``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, cast

from draggan_runtime.errors import UserError
from draggan_runtime.registry import close_matches

GROUP = "draggan.trainings"


class Sampled(Protocol):
    """A training from samples, as many as ``samples`` says: go through :meth:`sample`, then :meth:`learn`.

    Either can be left at any step; another one of the same settings goes on, and ends in the same file.
    """

    samples: int
    steps: int

    def sample(self) -> Iterator[int]:
        """Make the samples that are missing; yields how many there are."""

    def learn(self) -> Iterator[tuple[int, float]]:
        """Train; yields how many steps are made, and what part is unexplained. Ends by writing the file."""


class Training(Sampled, Protocol):
    """One that ``draggan train`` finds: made of a model's name, how many samples and how many steps."""

    #: Of the file, for the user to be told.
    licence: str
    file: Path
    #: By step, what part of what is to be learned is unexplained in samples that were held out.
    curve: list[tuple[int, float]]

    @property
    def finished(self) -> bool:
        """True if the file is there already, of these settings; then ``curve`` is that of its training."""


def names() -> list[str]:
    """What can be trained."""
    return sorted(entry_points(group=GROUP).names)


def digest(name: str, model: str) -> str:
    """SHA-256 of what was trained of this name for a model. Raises UserError if nothing was."""
    file = find(name, model, None, None).file
    if not file.is_file():
        raise UserError(
            f"no {name} has been trained for model '{model}'; to train it: draggan train {name} --model {model}"
        )
    return hashlib.sha256(file.read_bytes()).hexdigest()


def find(name: str, model: str, samples: int | None, steps: int | None) -> Training:
    """The training of this name; ``samples`` and ``steps`` None: as many as it needs. Raises UserError."""
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        raise UserError(f"nothing called '{name}' can be trained{close_matches(name, names())}")
    make: Any = found[0].load()
    given = {"samples": samples, "steps": steps}
    return cast(Training, make(model, **{key: value for key, value in given.items() if value is not None}))
