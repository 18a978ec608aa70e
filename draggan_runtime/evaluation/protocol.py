"""What a protocol is: cases, and what is measured on one of them after a method has edited it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from draggan_runtime.evaluation.cases import Case
from draggan_runtime.evaluation.methods import Kind, Method
from draggan_runtime.evaluation.sessions import Sessions
from draggan_runtime.pictures import Pixels

Figure = float | int | str
Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Column:
    """A figure that tables show as a mean: its ``key``, its ``title`` with the unit; ``interval``: with that too.

    ``median``: the median instead, which the title should say.
    """

    key: str
    title: str
    digits: int = 1
    interval: bool = False
    median: bool = False


@dataclass(frozen=True)
class Outcome:
    """What was measured of one case under one method.

    ``figures``: numbers, which are averaged, and words, which are counted; ``failed`` is the word for why a number is
    missing. ``pictures``: uint8 RGB, by name, for the report. ``arrays``: what :meth:`Evaluated.of_set` needs.
    """

    figures: dict[str, Figure]
    pictures: dict[str, Pixels] = field(default_factory=dict)
    arrays: Arrays = field(default_factory=dict)


class Evaluated(ABC):
    """A protocol. Its constructor takes its :attr:`options` and loads nothing."""

    #: As the command line names it.
    name: str
    #: What its cases are, as the command line's option for their number is named.
    counted: str = "pairs"
    #: What, besides case and method, an outcome depends on; plain values.
    options: Mapping[str, Any]
    #: In the order of the table; the first is the one by which best, median and worst are chosen: less is better.
    columns: Sequence[Column]
    #: One line for the report: what is measured, by whom.
    about: str
    #: Names of the pictures that are the same for all methods; the others are shown after them.
    shared: Sequence[str]
    #: What its methods differ in.
    kind: Kind = "edits"
    #: False: trackers alone are measured, so methods without one have no row.
    edits: bool = True

    @abstractmethod
    def cases(self, count: int) -> list[Case]:
        """The first ``count`` cases."""

    @abstractmethod
    def prepare(self) -> None:
        """Fetch and load the judges. Raises UserError if one cannot be had."""

    @abstractmethod
    def run(self, case: Case, method: Method, sessions: Sessions) -> Outcome:
        """Edit, if the method does, and measure; the same whatever ran before."""

    def of_set(self, arrays: Sequence[Arrays]) -> dict[str, float]:
        """By title, figures of a method's whole set of cases; none for sets that are too small."""
        return {}
