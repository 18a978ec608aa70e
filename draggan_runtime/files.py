"""Writing files so that a reader, or a crash, sees the old file or the new one, never half of one."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from draggan_runtime.errors import UserError


def part_path(path: Path) -> Path:
    """Where this process writes what shall become ``path``: a hidden name beside it."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """:func:`part_path`, which takes the place of ``path`` if the block succeeds, and is removed if it does not.

    Raises UserError if the folder cannot be written.
    """
    part = part_path(path)
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """The hash of a file, hexadecimal. Raises UserError if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def unused(folder: Path, stem: str, suffix: str) -> Path:
    """The first of ``stem-1.suffix``, ``stem-2.suffix``, ... in ``folder`` that is not taken yet."""
    return next(path for n in itertools.count(1) if not (path := folder / f"{stem}-{n}.{suffix}").exists())


def write_atomically(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write ``data`` to ``path``; with ``sync`` it is on the disk before it has the name.

    Raises UserError if the folder cannot be written.
    """
    with replacing(path) as part, part.open("wb") as file:
        file.write(data)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def writable_folder(path: Path) -> Path:
    """``path``, made if it did not exist. Raises UserError if files cannot be written there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def cache_dir() -> Path:
    """The user's cache folder: ``$DRAGGAN_CACHE``, else the platform's (``$XDG_CACHE_HOME/draggan``)."""
    if override := os.environ.get("DRAGGAN_CACHE"):
        return Path(override).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "draggan"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "draggan" / "Cache"
    # The XDG specification says that a relative path is to be ignored.
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(xdg) if os.path.isabs(xdg) else Path.home() / ".cache") / "draggan"


def state_dir() -> Path:
    """Where a user's clusters are noted: ``$DRAGGAN_STATE``, else the platform's (``$XDG_STATE_HOME/draggan``)."""
    if own := os.environ.get("DRAGGAN_STATE"):
        return Path(own)
    xdg = os.environ.get("XDG_STATE_HOME", "")
    return (Path(xdg) if os.path.isabs(xdg) else Path.home() / ".local" / "state") / "draggan"


def unwritable(path: Path, error: OSError) -> UserError:
    """The error a user sees when ``path`` cannot be written."""
    cached = path.is_relative_to(cache_dir())
    remedy = "set DRAGGAN_CACHE to a folder you own" if cached else "choose a folder you can write to"
    return UserError(f"cannot write {path}: {error.strerror or error}; {remedy}")
