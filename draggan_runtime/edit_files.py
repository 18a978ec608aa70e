"""What an edit leaves in its folder: pictures, which the graph's display writes, the session, and result.json."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from draggan_runtime.api import Pair, ProgressCallback, Session
from draggan_runtime.files import write_atomically

SESSION, RESULT = "edit.draggan", "result.json"
#: Of an edit of a photo: the photo, with what was edited in its place.
PHOTO = "photo.png"
FILES = ("before.png", "after.png", "overlay.png", SESSION, RESULT)


def drag_to_files(
    session: Session, points: Iterable[Pair], out: Path, layout: str, progress: ProgressCallback | None = None
) -> dict[str, Any]:
    """Drag, wait for the end, write the session and ``result.json`` to ``out``, and give what the latter holds.

    It has ``warnings`` if there are any, and an ``error`` if a node failed, be it in the drag or at its last picture.
    Raises UserError for points outside the picture and for a folder that cannot be written.
    """
    result = session.drag(points, progress=progress)
    record = session.record
    session.save(out / SESSION)
    written: dict[str, Any] = {
        "model": record.model,
        "seed": record.seed,
        "points": result.points,
        "steps": result.steps,
        "stopped": result.stopped,
        "seconds": round(result.seconds, 3),
        "steps_per_second": round(result.steps_per_second, 3),
        "layout": layout,
    }
    if result.warnings:
        written["warnings"] = list(result.warnings)
    if error := result.error or next(map(str, session.app.failures), ""):
        written["error"] = error
    write_atomically(out / RESULT, (json.dumps(written, indent=2) + "\n").encode())
    return written
