"""What is kept of a session on disk: a base, written when much changes, and a small file for each step since.

Each is written beside its place and renamed, so a crash leaves the old one or the new one. The step names the base it
belongs to; one that belongs to another is not read.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from draggan_runtime.errors import UserError, WireError
from draggan_runtime.execution.parts import Delta, Parts, apply, size
from draggan_runtime.files import writable_folder, write_atomically
from draggan_runtime.messages import Progress
from draggan_runtime.session import SessionRecord, dump_session, parse_session
from draggan_runtime.wire import pack, unpack

#: Bytes of parts from which on a new base is cheaper than to write them again with each step.
LARGE = 256 * 1024


@dataclass
class Kept:
    """The durable state of a session.

    ``own``: parameters of its own, by node. ``dragging``: a drag is under way, ``wanted``: one has been asked for and
    has not begun. ``drawn``: its picture has been. ``parts``: the engine's states of it. ``epoch``: the newest stay on
    an engine.
    """

    record: SessionRecord
    dragging: bool = False
    wanted: bool = False
    drawn: bool = False
    epoch: int = 0
    own: dict[str, dict[str, Any]] = field(default_factory=dict)
    parts: Parts = field(default_factory=dict)

    def step(self, progress: Progress, delta: Delta) -> None:
        """A step of the drag is done."""
        apply(self.parts, delta)
        self.record.commit(progress)
        if progress.stopped:
            self.dragging = False
            self.parts = {}


@dataclass(frozen=True)
class About:
    """What does not change of a session: its id, who may attach, when it came, and its graph's overrides."""

    id: str
    token_sha256: str
    created: float
    overrides: tuple[str, ...] = ()

    def fits(self, token: str) -> bool:
        """True if ``token`` is the session's."""
        return secrets.compare_digest(digest(token), self.token_sha256)


def digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


class SessionStore:
    """One session's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._revision = 0
        self._since = Delta()

    def write_base(self, kept: Kept, *, sync: bool = True) -> None:
        """Everything. ``sync``: until it is on the disk."""
        self._revision = max(self._revision + 1, time.time_ns())
        self._since = Delta()
        body = {
            "revision": self._revision,
            "record": dump_session(kept.record),
            "dragging": kept.dragging,
            "wanted": kept.wanted,
            "drawn": kept.drawn,
            "epoch": kept.epoch,
            "own": kept.own,
            "parts": _listed(kept.parts),
        }
        write_atomically(self.folder / "base", pack(body), sync=sync)

    def write_step(self, kept: Kept, progress: Progress, delta: Delta) -> None:
        """A step of a drag, already in ``kept``."""
        self._since = self._since.then(delta)
        if progress.stopped or size(self._since.new.values()) > LARGE:
            self.write_base(kept, sync=progress.stopped is not None)
            return
        gone = [list(path) for path in self._since.gone]
        body = {"revision": self._revision, "progress": progress, "new": _listed(self._since.new), "gone": gone}
        write_atomically(self.folder / "step", pack(body), sync=False)

    def read(self) -> Kept | None:
        """The newest state; None if there is none. Raises UserError if it is damaged."""
        try:
            body = unpack((self.folder / "base").read_bytes())
            record = parse_session(body["record"], self.folder / "base")
            flags = {name: body[name] for name in ("dragging", "wanted", "drawn", "epoch", "own")}
            kept = Kept(record, **flags, parts=_parts(body["parts"]))
        except FileNotFoundError:
            return None
        except (OSError, WireError, KeyError, TypeError) as error:
            raise UserError(f"{self.folder / 'base'}: cannot be read ({error}); stop the session") from None
        self._revision = body["revision"]
        self._since = Delta()
        try:
            step = unpack((self.folder / "step").read_bytes())
            if step["revision"] == self._revision and isinstance(step["progress"], Progress):
                self._since = Delta(_parts(step["new"]), tuple(tuple(path) for path in step["gone"]))
                kept.step(step["progress"], self._since)
        except (OSError, WireError, KeyError, TypeError):
            return kept  # no step since
        return kept


class Store:
    """The folder of all sessions of a cluster; on several machines it must be one that all of them see."""

    def __init__(self, folder: Path) -> None:
        self.folder = writable_folder(folder)
        self.logs = folder / "logs"

    def session(self, id: str) -> SessionStore:
        """A session's folder."""
        return SessionStore(self._folder(id))

    def add(self, about: About) -> SessionStore:
        """A new session. Raises UserError if the id is taken, or is none."""
        if not re.fullmatch(r"[\w][\w.-]{0,63}", about.id):
            raise UserError(f"'{about.id}' cannot name a session; use letters, digits, _ . and -, 64 at most")
        folder = self._folder(about.id)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            raise UserError(f"there is a session '{about.id}' already; choose another name") from None
        write_atomically(folder / "about.json", json.dumps(asdict(about)).encode())
        return SessionStore(folder)

    def about(self, id: str) -> About:
        """What does not change of a session. Raises UserError if there is none."""
        try:
            values: dict[str, Any] = json.loads((self._folder(id) / "about.json").read_bytes())
            return About(**{**values, "overrides": tuple(values["overrides"])})
        except (OSError, ValueError, TypeError, KeyError):
            raise UserError(f"there is no session '{id}'; see draggan session list") from None

    def ids(self) -> Iterable[str]:
        """The sessions there are, oldest first."""
        found = [path.parent.name for path in self.folder.glob("sessions/*/about.json")]
        return sorted(found, key=lambda id: self.about(id).created)

    def remove(self, id: str) -> None:
        """Delete a session for good."""
        shutil.rmtree(self._folder(id), ignore_errors=True)

    def _folder(self, id: str) -> Path:
        if "/" in id or id in ("", ".", ".."):
            raise UserError(f"there is no session '{id}'; see draggan session list")
        return self.folder / "sessions" / id


def _listed(parts: Parts) -> list[Any]:
    return [[list(path), part] for path, part in parts.items()]


def _parts(listed: Any) -> Parts:
    return {tuple(path): part for path, part in listed}
