"""The Python API: open a session, drag, look, save.

import draggan_runtime as draggan

with draggan.open(seed=7) as session:
    result = session.drag([((512, 590), (560, 590))])
    picture = session.image()          # uint8 RGB [H, W, 3]
    session.save("edit.draggan")

with draggan.open(photo="me.jpg") as session:
    session.drag([((512, 590), (560, 590))])
    photo = session.photo()            # of the photo's size
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from draggan_runtime import models
from draggan_runtime.app import App
from draggan_runtime.errors import DragganError, UserError
from draggan_runtime.graph import load_launch
from draggan_runtime.graph.lasting import model_to_load
from draggan_runtime.messages import Goal, Inverting, LatentRequest, Mask, PointPair, Progress, Stopped
from draggan_runtime.photos import load_photo
from draggan_runtime.pictures import load_mask, save_png
from draggan_runtime.session import SessionRecord, dump_session, load_session, pairs, save_session

Pair = tuple[tuple[float, float], tuple[float, float]]
Box = tuple[float, float, float, float]
ProgressCallback = Callable[[Progress], bool | None]
InvertingCallback = Callable[[Inverting], bool | None]


@dataclass(frozen=True)
class DragResult:
    """What came of a drag.

    ``points``: per pair its handle, target, final handle and distance, px of the output, and how sure the tracker was
    at last, in [0, 1]. ``warnings``: what nodes said of it, for example which points may drift.
    """

    stopped: Stopped
    steps: int
    seconds: float
    points: list[dict[str, Any]]
    error: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def steps_per_second(self) -> float:
        """Latent updates per second."""
        return self.steps / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Inversion:
    """What came of looking for a photo's latent.

    ``w_plus`` float32 ``[num_ws, w_dim]``. ``matrix`` float64 ``[2, 3]``: a similarity from px ``(x, y)`` of the photo
    to px of the picture. ``piece``, ``picture`` uint8 RGB ``[H, W, 3]``: what the photo has there, and what the latent
    gives. ``distance`` is of the loss that ``by`` names. ``warnings``: what its user should know.
    """

    w_plus: np.ndarray
    matrix: np.ndarray
    piece: np.ndarray
    picture: np.ndarray
    steps: int
    seconds: float
    distance: float
    by: str
    warnings: tuple[str, ...] = ()

    def to_picture(self, point: tuple[float, float]) -> tuple[float, float]:
        """Where a point of the photo, px, is in the picture, px."""
        x, y = self.matrix[:, :2] @ point + self.matrix[:, 2]
        return float(x), float(y)


class Session:
    """One edit session on a running graph. Use :func:`open`; close it, or use it in a ``with`` block."""

    def __init__(self, app: App, lazy: bool = False) -> None:
        self.app = app
        app.watched = not lazy

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop what runs and end the graph."""
        self.app.close()

    @property
    def record(self) -> SessionRecord:
        """What a session file would hold now."""
        return self.app.record

    @property
    def w_plus(self) -> np.ndarray:
        """The current latent, float32 ``[num_ws, w_dim]``."""
        return np.asarray(self.record.w_plus)

    def seed(self, seed: int, truncation_psi: float = 0.7) -> None:
        """Show the picture of a seed; the session starts anew."""
        self._post(LatentRequest(session=self.record.id, seed=seed, truncation_psi=truncation_psi))

    def set_latent(self, w_plus: np.ndarray) -> None:
        """Show the picture of a latent, float32 ``[num_ws, w_dim]``; the session starts anew."""
        self._post(LatentRequest(session=self.record.id, w_plus=np.asarray(w_plus, dtype=np.float32)))

    def invert(
        self,
        photo: np.ndarray | str | Path,
        *,
        face: int | None = None,
        box: Box | None = None,
        progress: InvertingCallback | None = None,
    ) -> Inversion:
        """Look for the latent of a photo, and show its picture; the session starts anew.

        ``photo``: a file, or uint8 RGB ``[H, W, 3]`` of any size. ``face``: which face, from 1, the largest first;
        ``box`` (left, top, right, bottom) px of the photo: cut this out, and look for no face. ``progress`` is called
        each step; if it returns False, the best latent so far is taken. Raises UserError for a file that is no photo,
        or a photo without a face where the model needs one.
        """
        image = load_photo(photo) if isinstance(photo, str | Path) else np.asarray(photo)
        started = time.monotonic()
        self.app.notices.clear()

        def report(now: Inverting) -> None:
            if progress is not None and progress(now) is False:
                self.app.cancel()

        self.app.on_inverting = report
        try:
            self._post(LatentRequest(session=self.record.id, photo=image, face=face, box=box))
        finally:
            self.app.on_inverting = None
        inverting, placed = self.app.inverting, self.app.placed
        if inverting is None or placed is None:
            raise DragganError("the graph gave no latent for the photo; is its source an inversion?")
        return Inversion(
            w_plus=self.w_plus,
            matrix=np.asarray(placed.matrix),
            piece=np.asarray(placed.piece),
            picture=np.asarray(placed.picture),
            steps=inverting.done,
            seconds=time.monotonic() - started,
            distance=inverting.distance,
            by=inverting.by,
            warnings=tuple(notice.text for notice in self.app.notices),
        )

    def photo(self) -> np.ndarray:
        """The photo that was inverted, uint8 RGB ``[H, W, 3]``, with what was edited since in its place."""
        self.image()
        if self.app.pasted is None:
            raise UserError("there is no photo in this session; invert one first")
        return np.asarray(self.app.pasted.image)

    def mask(self, movable: np.ndarray | str | Path | None) -> None:
        """What may move: ``[H, W]``, nonzero = may move; or a picture file (> 127 = may move); None = everything."""
        mask = None
        if isinstance(movable, str | Path):
            mask = load_mask(Path(movable), self._size())
        elif movable is not None:
            width, height = self._size()
            mask = (np.asarray(movable) != 0).astype(np.uint8)
            if mask.shape != (height, width):
                raise UserError(
                    f"mask is {' x '.join(map(str, mask.shape[::-1]))}, "
                    f"the picture {width} x {height}; give one of the picture's size"
                )
        self._post(Mask(session=self.record.id, movable=mask))

    def drag(
        self, points: Iterable[Pair], max_steps: int | None = None, progress: ProgressCallback | None = None
    ) -> DragResult:
        """Drag each (handle, target) pair, px of the full output, and wait for the end.

        ``progress`` is called each step; if it returns False, the drag stops within a step. Raises UserError for
        points outside the picture.
        """
        goal = checked_pairs(points, self._size())
        if max_steps is not None:
            self.app.change(self.app.drag_node or "drag", {"max_steps": max_steps})
        self.app.notices.clear()
        self._post(Goal(session=self.record.id, points=goal))

        def report(item: Progress) -> None:
            if progress is not None and progress(item) is False:
                self.app.cancel()

        self.app.on_progress = report
        try:
            self.app.start_drag()
            self.app.run_until_settled()
        finally:
            self.app.on_progress = None
        return self.result()

    def undo(self) -> None:
        """Take the last drag back: latent and points as before it, bit for bit. Raises UserError if there is none."""
        self.app.undo()
        self.app.run_until_settled()

    def redo(self) -> None:
        """Put the drag undone last back, bit for bit. Raises UserError if there is none."""
        self.app.redo()
        self.app.run_until_settled()

    def result(self) -> DragResult:
        """What came of the last drag."""
        if not self.record.history or self.app.progress is None:
            raise UserError("nothing has been dragged yet")
        drag = self.record.history[-1]
        return DragResult(
            stopped=self.app.progress.stopped or "cancelled",
            steps=drag.steps,
            seconds=drag.seconds,
            points=[
                {
                    "handle": list(p.handle),
                    "target": list(p.target),
                    "final": list(drag.handles.get(p.id, p.handle)),
                    "distance": drag.distances.get(p.id),
                    "confidence": self.app.progress.confidence.get(p.id),
                }
                for p in drag.points
            ],
            error=str(self.app.progress.failure or ""),
            warnings=tuple(notice.text for notice in self.app.notices),
        )

    def image(self) -> np.ndarray:
        """The current picture, uint8 RGB ``[H, W, 3]``."""
        watched, self.app.watched = self.app.watched, True
        try:
            self.app.run_until_settled()
        finally:
            self.app.watched = watched
        self._raise_failures()
        if self.app.frame is None:
            raise UserError("there is no picture yet; choose a seed or open a session first")
        return np.asarray(self.app.frame.image)

    def save(self, path: str | Path) -> None:
        """Write the session to a ``.draggan`` file, or to a ``.png`` of its picture; both reopen exactly."""
        path = Path(path)
        if path.suffix.lower() == ".png":
            save_png(path, self.image(), session=dump_session(self.record))
        else:
            save_session(self.record, path)

    def set(self, **params: Mapping[str, Any]) -> None:
        """Change nodes' parameters while running: ``session.set(tracker={"radius": 8})``.

        Or what they run: ``session.set(tracker={"impl": "tracking/flow"})``; in a drag from its next step on.
        """
        for node, values in params.items():
            self.app.change(node, dict(values))

    def _size(self) -> tuple[int, int]:
        return models.find(self.record.model).info.size

    def _post(self, message: Any) -> None:
        self.app.post(message)
        self.app.run_until_settled()
        self._raise_failures()

    def _raise_failures(self) -> None:
        failures, self.app.failures = self.app.failures, []
        refused, self.app.refused = self.app.refused, []
        if refused:
            raise UserError(refused[0])
        if failures:
            raise DragganError(str(failures[0]))


def checked_pairs(points: Iterable[Pair], size: tuple[int, int]) -> tuple[PointPair, ...]:
    """(handle, target) pairs as messages have them. Raises UserError if one is outside a picture of ``size`` (W, H)."""
    goal = pairs(points)
    width, height = size
    for pair in goal:
        for what, (x, y) in (("handle", pair.handle), ("target", pair.target)):
            if not (0 <= x < width and 0 <= y < height):
                raise UserError(
                    f"point {pair.id}: {what} {x:g},{y:g} is outside the picture; "
                    f"x is 0 to {width - 1}, y 0 to {height - 1}"
                )
    return goal


def open(
    file: str | Path | None = None,
    *,
    seed: int | None = None,
    photo: np.ndarray | str | Path | None = None,
    truncation_psi: float = 0.7,
    launch: str = "local",
    config: str | None = None,
    set: Iterable[str] = (),
    model: str | None = None,
    lazy: bool = False,
) -> Session:
    """Start a graph and open a session on it.

    ``file``: a saved session, reopened with the parameters it was saved with; else ``seed`` chooses the first
    picture, or it is that of ``photo``, see :meth:`Session.invert`. ``launch``: a launch file or its name. ``config``:
    a preset instead of the launch's own. ``set``: overrides as on the command line, ``"tracker.radius=8"``. ``model``:
    another than the preset's; it brings a preset of its own. ``lazy``: draw a picture only when :meth:`Session.image`
    asks for it, if this process draws.
    """
    record = load_session(Path(file)) if file is not None else SessionRecord()
    model = model_to_load(model, record.model, launch, config)
    graph = load_launch(launch, [*record.overrides(), *set], config=config, model=model)
    session = Session(App(graph, record), lazy)
    try:
        if file is not None:
            session.app.restore()
            session.app.run_until_settled()
            session._raise_failures()
        elif seed is not None:
            session.seed(seed, truncation_psi)
        elif photo is not None:
            session.invert(photo)
    except BaseException:
        session.close()
        raise
    return session
