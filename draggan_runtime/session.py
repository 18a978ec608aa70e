"""What a session is: everything needed to show, continue, save and reopen an edit exactly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from draggan_runtime.errors import UserError, WireError
from draggan_runtime.files import write_atomically
from draggan_runtime.latents import read_latent
from draggan_runtime.messages import Goal, Latent, LatentRequest, Mask, PointPair, Progress, TunedWeights
from draggan_runtime.pictures import embedded_session
from draggan_runtime.placed_photo import PlacedPhoto
from draggan_runtime.wire import pack, to_host, unpack

_MAGIC = b"DRAGGAN\x01"
_DIGEST = hashlib.sha256
#: Drags that can be undone.
UNDOABLE = 100


@dataclass
class DragRecord:
    """One drag: what was asked and what came of it.

    ``before``: the points when it began; ``points``: those it was asked for last. ``start``, ``end`` float32
    ``[num_ws, w_dim]``, at steps ``start_step`` and ``end_step`` of the session.
    """

    before: tuple[PointPair, ...]
    points: tuple[PointPair, ...]
    start: Any
    end: Any
    start_step: int = 0
    end_step: int = 0
    handles: dict[int, tuple[float, float]] = field(default_factory=dict)
    distances: dict[int, float] = field(default_factory=dict)
    steps: int = 0
    seconds: float = 0.0
    stopped: str = ""

    @property
    def after(self) -> tuple[PointPair, ...]:
        """The points with their handles where the drag left them."""
        return tuple(replace(p, handle=self.handles.get(p.id, p.handle)) for p in self.points)


@dataclass
class SessionRecord:
    """The durable state of one session.

    ``w_plus`` float32 ``[num_ws, w_dim]``: the current latent, None before the first; ``anchor``: that of the picture
    before the first edit. ``mask`` uint8 ``[H, W]`` or None. ``params``: by node id, the ``impl`` and parameters of the
    nodes that make the result. ``history``: the last drags, at most ``UNDOABLE``, oldest first; ``undone``: those taken
    back, the one to redo next last. ``photo``: the one that the picture came of, None without one. ``tuning``: of the
    weights that the picture is drawn with; None: the model's own.
    """

    id: str = "main"
    model: str = ""
    seed: int | None = None
    truncation_psi: float = 0.7
    step: int = 0
    w_plus: Any = None
    anchor: Any = None
    points: tuple[PointPair, ...] = ()
    mask: Any = None
    params: dict[str, dict[str, Any]] = field(default_factory=dict)
    history: list[DragRecord] = field(default_factory=list)
    undone: list[DragRecord] = field(default_factory=list)
    photo: PlacedPhoto | None = None
    tuning: TunedWeights | None = None

    def overrides(self) -> list[str]:
        """The parameters as ``node.param=value``, to run the same graph again."""
        return [
            f"{node}.{name}={value if name == 'impl' else json.dumps(value)}"
            for node, params in self.params.items()
            for name, value in params.items()
        ]

    def keep(self, message: Any) -> None:
        """Take over what a message says about the session."""
        if isinstance(message, LatentRequest):
            self.request(message)
        elif isinstance(message, Goal):
            self.points = message.points
        elif isinstance(message, TunedWeights):
            self.tuning = to_host(message)
        elif isinstance(message, Mask):
            self.mask = to_host(message.movable)
        elif isinstance(message, Latent):
            self.w_plus = to_host(message.values)
            self.step = message.step
            if self.anchor is None:
                self.anchor = self.w_plus

    def request(self, message: LatentRequest) -> None:
        """A new picture is asked for: what belonged to the old one goes."""
        self.seed, self.truncation_psi, self.anchor = message.seed, message.truncation_psi, message.anchor
        self.tuning = message.tuning
        self.history, self.undone = [], []
        if message.placement is None:
            self.photo = None

    def begin(self) -> None:
        """A drag begins at the current latent. Of the earlier ones those of long ago are forgotten."""
        self.history.append(DragRecord(self.points, self.points, self.w_plus, self.w_plus, self.step, self.step))
        del self.history[:-UNDOABLE]
        self.undone = []

    def commit(self, progress: Progress) -> None:
        """A step of the drag under way is done."""
        drag = self.history[-1]
        if len(progress.w_plus):
            self.w_plus = drag.end = to_host(progress.w_plus)
            self.step = drag.end_step = progress.step
        drag.points = self.points
        drag.handles, drag.distances = progress.handles, progress.distances
        drag.steps, drag.seconds = progress.drag_steps, progress.seconds
        drag.stopped = progress.stopped or ""

    def undo(self) -> None:
        """Go back to before the last drag, exactly. Raises UserError if there is none."""
        if not self.history:
            raise UserError("nothing to undo: nothing has been dragged since this picture came")
        drag = self.history.pop()
        self.undone.append(drag)
        self.w_plus, self.step, self.points = drag.start, drag.start_step, drag.before

    def redo(self) -> None:
        """Go forward to after the drag undone last, exactly. Raises UserError if there is none."""
        if not self.undone:
            raise UserError("nothing to redo: no drag has been undone since the last one")
        drag = self.undone.pop()
        self.history.append(drag)
        self.w_plus, self.step, self.points = drag.end, drag.end_step, drag.after


def pairs(points: Iterable[tuple[tuple[float, float], tuple[float, float]]]) -> tuple[PointPair, ...]:
    """(handle, target) pairs as messages have them, with ids from 1."""
    return tuple(
        PointPair(i, (float(h[0]), float(h[1])), (float(t[0]), float(t[1]))) for i, (h, t) in enumerate(points, start=1)
    )


def dump_session(record: SessionRecord) -> bytes:
    """A session as bytes: a mark, a SHA-256, and msgpack."""
    body = pack({f.name: _plain(getattr(record, f.name)) for f in fields(record)})
    return _MAGIC + _DIGEST(body).digest() + body


def save_session(record: SessionRecord, path: Path, *, sync: bool = True) -> None:
    """Write a session file. The old file stays whole until the new one is; ``sync``: until it is on the disk.

    Raises UserError if the folder cannot be written.
    """
    write_atomically(path, dump_session(record), sync=sync)


def load_session(path: Path) -> SessionRecord:
    """Read a session file, a PNG that carries a session, or a latent that another tool saved.

    Of the latter, .npy, .npz or .pt, a session is made that has nothing but this latent. Raises UserError if the file
    is missing, damaged, or of another kind.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a .draggan file") from None
    if path.suffix.lower() == ".png":
        data = embedded_session(path)
    elif path.suffix.lower() != ".draggan" and not data.startswith(_MAGIC):
        return SessionRecord(w_plus=read_latent(data, path))
    return parse_session(data, path)


def holds_session(path: Path) -> bool:
    """True for a file that :func:`load_session` is for: by its name, or a PNG that carries a session."""
    kind = path.suffix.lower()
    if kind != ".png":
        return kind in (".draggan", ".npy", ".npz", ".pt")
    try:
        embedded_session(path)
    except UserError:
        return False
    return True


def parse_session(data: bytes, path: Path) -> SessionRecord:
    """What :func:`dump_session` gave; ``path``: what to call it. Raises UserError if it is damaged, or another kind."""
    head = len(_MAGIC) + _DIGEST().digest_size
    if not data.startswith(_MAGIC):
        raise UserError(f"{path}: not a draggan session; give a .draggan file that this program saved")
    body = data[head:]
    if _DIGEST(body).digest() != data[len(_MAGIC) : head]:
        raise UserError(f"{path}: damaged or cut off ({len(data)} bytes); use another copy of the file")
    try:
        values = unpack(body)
        for name in ("history", "undone"):
            values[name] = [DragRecord(**drag) for drag in values[name]]
        if values.get("photo") is not None:  # older files say nothing of photos
            values["photo"] = PlacedPhoto.from_plain(values["photo"], path)
        return SessionRecord(**values)
    except (WireError, TypeError, KeyError) as error:
        raise UserError(f"{path}: from another version of the program ({error})") from None


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [{f.name: getattr(drag, f.name) for f in fields(drag)} for drag in value]
    return value.plain() if isinstance(value, PlacedPhoto) else value
