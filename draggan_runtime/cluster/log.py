"""What the cluster's processes log: a JSON object a line, with the ids of session, engine and node."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import time
from pathlib import Path
from typing import Any

_LOG = logging.getLogger("draggan.cluster")


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        about = getattr(record, "about", {})
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"
        return json.dumps({"at": at, "what": record.getMessage(), "pid": record.process, **about}, default=str)


def log_to(folder: Path, name: str) -> None:
    """Write this process's log to ``<name>.jsonl`` in a folder; 3 files of 5 MB at most."""
    folder.mkdir(parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(folder / f"{name}.jsonl", maxBytes=5_000_000, backupCount=2)
    handler.setFormatter(_Lines())
    _LOG.handlers = [handler]
    _LOG.setLevel(os.environ.get("DRAGGAN_LOG", "INFO").upper())
    _LOG.propagate = False


def log(what: str, **about: Any) -> None:
    """One line."""
    _LOG.info(what, extra={"about": about})
