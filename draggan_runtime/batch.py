"""Edits by the hundred: one started graph makes them all, and goes on where it was interrupted.

import draggan_runtime as draggan

results = draggan.batch("edits.jsonl", "out")
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from draggan_runtime import models
from draggan_runtime.api import Session, checked_pairs
from draggan_runtime.app import App
from draggan_runtime.edit_files import FILES, RESULT, drag_to_files
from draggan_runtime.edit_lines import Edit, as_lines, parse_line, read_lines
from draggan_runtime.errors import StartError, UserError
from draggan_runtime.execution.container import one_line
from draggan_runtime.files import writable_folder, write_atomically
from draggan_runtime.graph import load_launch
from draggan_runtime.graph.lasting import lasting_params, model_of
from draggan_runtime.graph.model import DRAG
from draggan_runtime.messages import Progress
from draggan_runtime.pictures import load_mask

RESULTS = "results.jsonl"
DISPLAY = "display"

Result = dict[str, Any]


@dataclass(frozen=True)
class BatchProgress:
    """Where a batch is: ``done`` of ``total`` edits, and the edit under way, that of ``line``.

    ``drag``: its newest step, None before the first. ``result``: its line in ``results.jsonl``, once it is done.
    """

    line: int
    seed: int
    done: int
    total: int
    drag: Progress | None = None
    result: Result | None = None


BatchCallback = Callable[[BatchProgress], bool | None]


@dataclass(frozen=True)
class Job:
    """An edit that is to be made.

    ``changes``: by node, the parameters that are its own. ``digest``: SHA-256 of everything its result depends on.
    """

    line: int
    edit: Edit
    folder: str
    mask: Path | None
    changes: dict[str, dict[str, Any]]
    digest: str


class Batch:
    """A batch, read and checked; :meth:`run` makes what is not yet made.

    ``broken``: by line, what is wrong with it. ``todo``: what :meth:`run` will make. ``results``: by line, what
    ``results.jsonl`` holds of it.

    ``edits``: a file with a line an edit (see :mod:`draggan_runtime.edit_lines`), or such edits as mappings. Each gets
    a folder in ``out``. ``launch``: a launch file or its name; as a rule "local", or "record" if an edit wants a
    film. ``truncation_psi``, ``max_steps``: of edits that have none of their own. The rest as
    :func:`draggan_runtime.open`. Raises UserError if there is no edit, or none of them could be made.
    """

    def __init__(
        self,
        edits: str | Path | Iterable[Mapping[str, Any]],
        out: str | Path,
        *,
        launch: str = "",
        config: str | None = None,
        set: Iterable[str] = (),
        model: str | None = None,
        truncation_psi: float = 0.7,
        max_steps: int | None = None,
    ) -> None:
        if isinstance(edits, str | os.PathLike):
            self._where, self._masks, lines = f"{edits}:", Path(edits).parent, read_lines(Path(edits))
        else:
            self._where, self._masks, lines = "edit ", Path(), as_lines(edits)
        if not lines:
            raise UserError(f"{self._where.rstrip(': ')}: nothing to do; write an edit a line")
        self.out = writable_folder(Path(out).resolve())
        self.broken: dict[int, str] = {}
        self._psi = truncation_psi
        parsed = dict(self._sound(lines, lambda _, line: parse_line(line)))
        self.layout = launch or ("record" if any(edit.video for edit in parsed.values()) else "local")
        self._graph = load_launch(self.layout, [*set], config=config, model=model)
        self._drag = self._graph.find(DRAG) or "drag"
        if max_steps is not None:
            self._graph = self._graph.with_params(self._drag, {"max_steps": max_steps})
        self._graph.with_params(DISPLAY, {"out": str(self.out)})
        self._size = models.find(model_of(self._graph)).info.size
        self._taken: dict[str, int] = {RESULTS: 0}
        self._jobs = [job for _, job in self._sound(parsed, self._job)]
        self.results: dict[int, Result] = {n: {"line": n, "error": why} for n, why in self.broken.items()}
        self.results |= self._made_before()
        self.todo = [job for job in self._jobs if job.line not in self.results]

    @property
    def total(self) -> int:
        """How many edits there are, without the broken lines."""
        return len(self._jobs)

    @property
    def done(self) -> int:
        """How many of them are made and did not fail."""
        return sum("error" not in result for result in self.results.values())

    def named(self, line: int) -> str:
        """A line as errors name it, for example ``edits.jsonl:3``."""
        return f"{self._where}{line}"

    def run(self, progress: BatchCallback | None = None) -> list[Result]:
        """Make what is to do; what ``results.jsonl`` holds then, in the order of the lines.

        ``progress`` is called before and after each edit and at each step; if it returns False, the batch stops and
        the edit under way is not counted. An edit that fails has its ``error`` in the results, the others go on.
        """
        self._write()
        if self.todo:
            with Session(App(self._graph)) as session:
                self._make_all(session, progress or (lambda _: None))
        return [self.results[line] for line in sorted(self.results)]

    # -- what is to do -----------------------------------------------------------------------------------------

    def _sound(self, lines: Mapping[int, Any], check: Callable[[int, Any], Any]) -> Iterator[tuple[int, Any]]:
        """What ``check`` makes of each line; those that it refuses become broken."""
        for number, line in lines.items():
            try:
                yield number, check(number, line)
            except UserError as error:
                self.broken[number] = one_line(error)

    def _job(self, line: int, edit: Edit) -> Job:
        folder = edit.id or f"{line:04d}"
        if (other := self._taken.setdefault(folder.casefold(), line)) != line:
            raise UserError(f"id: the folder '{folder}' is taken{f' by line {other}' if other else ''}; choose another")
        checked_pairs([(p.handle, p.target) for p in edit.points], self._size)
        mask = self._masks / edit.mask if edit.mask is not None else None
        movable = None if mask is None else load_mask(mask, self._size)
        changes = self._changes(edit)
        basis = [
            edit.model_dump(mode="json", exclude={"mask"}),
            None if movable is None else hashlib.sha256(movable.tobytes()).hexdigest(),
            self._psi if edit.truncation_psi is None else None,
            lasting_params(self._graph),
            getattr(self._graph.nodes[DISPLAY].load()[1], "watermark", False),
        ]
        digest = hashlib.sha256(json.dumps(basis, sort_keys=True, default=str).encode()).hexdigest()
        files = {"out": str(self.out / folder)} | ({"video": str(self.out / folder / edit.film)} if edit.film else {})
        changes[DISPLAY] = {**changes.get(DISPLAY, {}), **files}
        return Job(line, edit, folder, mask, changes, digest)

    def _changes(self, edit: Edit) -> dict[str, dict[str, Any]]:
        """An edit's own parameters by node. Raises UserError if they do not fit, or cannot change now."""
        changes: dict[str, dict[str, Any]] = {}
        for key, value in edit.params.items():
            node, _, name = (f"{self._drag}.max_steps" if key == "max_steps" else key).rpartition(".")
            if not node:
                raise UserError(f"params: '{key}' is of no node; write node.parameter as tracker.radius, or max_steps")
            if name == "impl":
                raise UserError(f"params: '{key}' is the same for all edits of a batch; choose it with --set")
            if node == DISPLAY and name in ("out", "video"):
                raise UserError(f"params: '{key}' is the batch's to say; use id and video")
            changes.setdefault(node, {})[name] = value
        for node, params in changes.items():
            try:
                self._graph.with_params(node, params)
            except UserError as error:
                raise UserError(f"params: {error}") from error
        return changes

    # -- what is done ------------------------------------------------------------------------------------------

    def _made_before(self) -> dict[int, Result]:
        """By line, the results of earlier runs that still hold."""
        known: dict[str, Result] = {}
        path = self.out / RESULTS
        for line in path.read_bytes().split(b"\n") if path.exists() else []:
            try:
                result = json.loads(line)
                known[result["folder"]] = result
            except (ValueError, TypeError, KeyError):
                continue
        return {
            job.line: {**result, "line": job.line}
            for job in self._jobs
            if (result := known.get(job.folder, {})).get("hash") == job.digest
            and "error" not in result
            and (self.out / job.folder / RESULT).exists()
        }

    def _write(self) -> None:
        lines = [json.dumps(self.results[line]) for line in sorted(self.results)]
        write_atomically(self.out / RESULTS, "".join(f"{line}\n" for line in lines).encode())

    # -- making ------------------------------------------------------------------------------------------------

    def _make_all(self, session: Session, progress: BatchCallback) -> None:
        for job in self.todo:
            now = BatchProgress(job.line, job.edit.seed, self.done, self.total)
            if progress(now) is False:
                return
            made = self._make(session, job, partial(_step, progress, now))
            if made.get("stopped") == "cancelled":
                return
            self.results[job.line] = {"line": job.line, "folder": job.folder, "hash": job.digest, **made}
            self._write()
            if progress(replace(now, done=self.done, result=self.results[job.line])) is False:
                return

    def _make(self, session: Session, job: Job, progress: Callable[[Progress], bool | None]) -> Result:
        """Make one edit; what came of it, if only an ``error``. Raises StartError if no other can be made either."""
        folder, psi = self.out / job.folder, job.edit.truncation_psi
        session.app.failures.clear()
        try:
            _clear(folder)
            with self._changed(session.app, job.changes):
                session.seed(job.edit.seed, self._psi if psi is None else psi)
                session.mask(job.mask)
                points = [(p.handle, p.target) for p in job.edit.points]
                return drag_to_files(session, points, folder, self.layout, progress)
        except StartError:
            raise
        except Exception as error:
            return {"error": one_line(error)}

    @contextmanager
    def _changed(self, app: App, changes: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
        """Parameters of one edit; afterwards they are the batch's again."""
        try:
            for node, params in changes.items():
                app.change(node, dict(params))
            yield
        finally:
            for node, params in changes.items():
                _, own = self._graph.nodes[node].load()
                app.change(node, {name: getattr(own, name) for name in params})


def _step(progress: BatchCallback, now: BatchProgress, drag: Progress) -> bool | None:
    return progress(replace(now, drag=drag))


def _clear(folder: Path) -> None:
    """Remove what an edit that was not finished, or has changed since, left."""
    for name in (*FILES, "edit.mp4", "edit.gif"):
        for path in (folder / name, *folder.glob(f".{name}.*.part")):
            path.unlink(missing_ok=True)


def batch(
    edits: str | Path | Iterable[Mapping[str, Any]],
    out: str | Path,
    launch: str = "",
    *,
    config: str | None = None,
    set: Iterable[str] = (),
    truncation_psi: float = 0.7,
    max_steps: int | None = None,
    progress: BatchCallback | None = None,
) -> list[Result]:
    """Make all edits of a file, or of an iterable, that are not yet made; see :class:`Batch`.

    Gives what ``out/results.jsonl`` holds: per edit its ``line``, ``folder`` and what came of it, or an ``error``.
    """
    options: dict[str, Any] = {"config": config, "set": set, "truncation_psi": truncation_psi, "max_steps": max_steps}
    return Batch(edits, out, launch=launch, **options).run(progress)
