"""What the cluster's processes log: a JSON object a line, with the ids of session, engine and node."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import time
from pathlib import Path
from typing import Any

_BYTES = 5_000_000
_FILES = 200
_LOG = logging.getLogger("draggan.cluster")


class _Lines(logging.Formatter):
    def __init__(self, always: dict[str, Any]) -> None:
        super().__init__()
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        about = getattr(record, "about", {})
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"
        return json.dumps(
            {"at": at, "what": record.getMessage(), "pid": record.process, **self._always, **about}, default=str
        )


def log_to(folder: Path, name: str, **always: Any) -> None:
    """Write this process's log to ``<name>.jsonl`` in a folder, with ``always`` in every line.

    3 files of 5 MB at most, and of the files of processes long gone the newest only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.glob("*.jsonl*"), key=_modified)[:-_FILES]:
        path.unlink(missing_ok=True)
    handler = logging.handlers.RotatingFileHandler(folder / f"{name}.jsonl", maxBytes=_BYTES, backupCount=2)
    handler.setFormatter(_Lines(always))
    _LOG.handlers = [handler]
    _LOG.setLevel(os.environ.get("DRAGGAN_LOG", "INFO").upper())
    _LOG.propagate = False


def log(what: str, **about: Any) -> None:
    """One line."""
    _LOG.info(what, extra={"about": about})


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # gone meanwhile
        return 0.0
