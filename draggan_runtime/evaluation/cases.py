"""What is edited: a pure function of seeds that a committed file lists."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from draggan_runtime.errors import UserError


@dataclass(frozen=True)
class Case:
    """One thing to measure every method on. ``id`` is a file name; ``seeds`` are all that it depends on."""

    id: str
    seeds: tuple[int, ...]


@cache
def _listed() -> tuple[tuple[int, int], ...]:
    lines = (Path(__file__).parent / "seeds.txt").read_text().splitlines()
    return tuple((int(a), int(b)) for a, b in (line.split() for line in lines if not line.startswith("#")))


def pairs_of_seeds(count: int) -> list[Case]:
    """The first ``count`` cases of two seeds. Raises UserError if the file lists fewer."""
    if count > len(_listed()):
        raise UserError(f"only {len(_listed())} cases are listed; ask for no more than those")
    return [Case(f"{a}-{b}", (a, b)) for a, b in _listed()[:count]]


def single_seeds(count: int) -> list[Case]:
    """The first ``count`` cases of one seed, the first of each pair. Raises UserError if the file lists fewer."""
    return [Case(str(case.seeds[0]), case.seeds[:1]) for case in pairs_of_seeds(count)]
