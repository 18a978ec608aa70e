"""Runs a protocol: each case under each method, what is not yet measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from draggan_runtime import trainings
from draggan_runtime.errors import StartError, UserError
from draggan_runtime.evaluation import provenance
from draggan_runtime.evaluation.cases import Case
from draggan_runtime.evaluation.learned_map.files import digest
from draggan_runtime.evaluation.methods import Method
from draggan_runtime.evaluation.protocol import Evaluated, Outcome
from draggan_runtime.evaluation.rows import Row, add_row, read_rows
from draggan_runtime.evaluation.sessions import Interrupted, Sessions
from draggan_runtime.execution.container import one_line
from draggan_runtime.files import replacing, writable_folder
from draggan_runtime.graph import load_launch
from draggan_runtime.graph.lasting import lasting_params, model_of
from draggan_runtime.messages import Inverting, Progress
from draggan_runtime.pictures import save_png


@dataclass(frozen=True)
class Unit:
    """One row to be made, independent of all others. ``settings``: digest of all it depends on besides the case."""

    case: Case
    method: Method
    settings: str


@dataclass(frozen=True)
class Measured:
    """A row, and what belongs to it, not yet written; ``outcome`` None: the row has an ``error``."""

    row: Row
    outcome: Outcome | None = None


@dataclass(frozen=True)
class EvalProgress:
    """Where a run is: ``done`` of ``total`` rows.

    ``under_way``: what is being measured, in each worker one; none while they start. ``step``: its newest step, in this
    process; 0: none yet. ``row``: one just made.
    """

    done: int
    total: int
    under_way: tuple[Unit, ...] = ()
    step: int = 0
    row: Row | None = None


EvalCallback = Callable[[EvalProgress], bool | None]


class Evaluation:
    """A protocol on ``count`` cases under ``methods``; :meth:`run` measures what ``out`` does not hold yet.

    ``todo``: what that is. ``launch``, ``config``, ``set`` as :func:`draggan_runtime.open`, for all methods; ``graph``
    holds them by these names. Raises UserError for overrides that do not fit, and for methods that the protocol cannot
    measure, or not yet.
    """

    def __init__(
        self,
        protocol: Evaluated,
        methods: Sequence[Method],
        count: int,
        out: Path,
        *,
        launch: str = "local",
        config: str | None = None,
        set: Iterable[str] = (),
    ) -> None:
        for method in methods:
            if method.one_shot and not protocol.edits:
                raise UserError(
                    f"'{method.name}' has no tracker, and {protocol.name} measures nothing else; leave it out"
                )
        self.protocol = protocol
        self.out = writable_folder(out)
        self.graph: dict[str, Any] = {"launch": launch, "config": config, "set": tuple(set)}
        settings = {method.name: settings_of(protocol, method, **self.graph) for method in methods}
        units = [Unit(case, method, settings[method.name]) for case in protocol.cases(count) for method in methods]
        made = {(row["group"], row["case"], row["method"], row["settings"]) for row in self.rows if "error" not in row}
        group = group_of(protocol)
        self.todo = [u for u in units if (group, u.case.id, u.method.name, u.settings) not in made]
        self.total = len(units)

    @property
    def rows(self) -> list[Row]:
        """What ``out`` holds now."""
        return read_rows(self.out)

    def run(self, progress: EvalCallback = lambda _: None) -> None:
        """Measure what is to do, a row at a time; each is kept as soon as it is made.

        ``progress`` is called before and after each row and at each step; if it returns False, the run ends and the row
        under way is not kept. What fails is a row with an ``error``, and is tried again by the next run.
        """
        if not self.todo:
            return
        self.protocol.prepare()
        now = EvalProgress(self.total - len(self.todo), self.total)

        def watch(news: Progress | Inverting) -> bool | None:
            return progress(replace(now, step=news.done if isinstance(news, Inverting) else news.drag_steps))

        with Sessions(**self.graph, watch=watch) as sessions:
            for unit in self.todo:
                now = replace(now, under_way=(unit,))
                if progress(now) is False:
                    return
                try:
                    row = self.keep(measure(self.protocol, unit, sessions))
                except Interrupted:
                    return
                now = replace(now, done=now.done + 1)
                if progress(replace(now, row=row)) is False:
                    return

    def keep(self, measured: Measured) -> Row:
        """Write what was measured to ``out``: pictures and arrays, then the row, which is given back."""
        row = {**measured.row, "graph": self.graph}
        if measured.outcome is not None:
            row |= _kept(row, measured.outcome, self.protocol.shared, self.out)
        add_row(self.out, row)
        return row


def measure(protocol: Evaluated, unit: Unit, sessions: Sessions) -> Measured:
    """Edit and judge; what fails is a row too. Raises Interrupted, StartError."""
    row = row_of(protocol, unit)
    try:
        return Measured(row, protocol.run(unit.case, unit.method, sessions))
    except (Interrupted, StartError):
        raise
    except Exception as error:
        return Measured({**row, "error": one_line(error)})


def row_of(protocol: Evaluated, unit: Unit) -> Row:
    """A row as far as it is known before it is measured."""
    return {
        "group": group_of(protocol),
        "protocol": protocol.name,
        "options": dict(protocol.options),
        "case": unit.case.id,
        "seeds": list(unit.case.seeds),
        "method": unit.method.name,
        "edits": unit.method.edits,
        "overrides": list(unit.method.overrides),
        "settings": unit.settings,
        "commit": provenance.commit(),
        "versions": provenance.versions(),
    }


def group_of(protocol: Evaluated) -> str:
    """What a protocol with its options is called, in tables and as a folder: ``landmarks-points1-max_steps300``."""
    return "-".join([protocol.name, *(f"{key}{value}" for key, value in protocol.options.items())])


def settings_of(protocol: Evaluated, method: Method, launch: str, config: str | None, set: tuple[str, ...]) -> str:
    """A digest of all that a method's rows depend on besides the case. Raises UserError as :class:`Evaluation`."""
    graph = load_launch(launch, [*set, *method.overrides], config=config)
    basis = [protocol.name, dict(protocol.options), method.edits, lasting_params(graph)]
    if method.one_shot:
        basis.append(digest(model_of(graph)))
    if method.needs:
        basis.append(trainings.digest(method.needs, model_of(graph)))
    return hashlib.sha256(json.dumps(basis, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _kept(row: Row, outcome: Outcome, shared: Sequence[str], out: Path) -> Row:
    folder = writable_folder(out / row["group"] / row["case"])
    pictures = {}
    for name, picture in outcome.pictures.items():
        path = folder / (f"{name}.png" if name in shared else f"{row['method']}-{name}.png")
        save_png(path, picture)
        pictures[name] = path.relative_to(out).as_posix()
    arrays = None
    if outcome.arrays:
        path = folder / f"{row['method']}.npz"
        named: dict[str, Any] = outcome.arrays
        with replacing(path) as part, part.open("wb") as file:
            np.savez(file, **named)
        arrays = path.relative_to(out).as_posix()
    return {"figures": outcome.figures, "pictures": pictures, "arrays": arrays}
