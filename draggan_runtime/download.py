"""Files from the web: fetched in part or whole, gone on with where it broke off, kept only if the hash is right."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from draggan_runtime.errors import UserError
from draggan_runtime.files import sha256_of

_PIECE = 1 << 20
_SECONDS = 30
_NOTHING_LEFT = 416


def download(url: str, file: Path, sha256: str, tell: Callable[[int, int], bool]) -> None:
    """Fetch ``url`` to ``file``. What an earlier try left in ``file`` with ``.part`` behind its name is gone on with.

    ``tell`` is called with the bytes that are there and all that will be, 0 if unknown; where it returns False the
    fetching ends and what is there stays. Raises UserError, one line: no connection, or not the file of this hash,
    which is then deleted.
    """
    if not url.startswith(("https://", "http://")):
        raise UserError(f"{url} is no address of the web")
    part = file.with_name(f"{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not _fetch(url, part, tell):
            raise UserError(f"{url} was not fetched to its end; the same command goes on from there")
        found = sha256_of(part)
        if found != sha256.lower():
            part.unlink()
            raise UserError(f"{url} is not the expected file: sha256 is {found}, expected {sha256}; it was deleted")
        part.replace(file)
    except (OSError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise UserError(f"cannot fetch {url} ({reason}); the same command goes on from where it ended") from error


def _fetch(url: str, part: Path, tell: Callable[[int, int], bool]) -> bool:
    """True once all is there."""
    there = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={there}-"} if there else {})  # noqa: S310 - checked
    try:
        answer = urllib.request.urlopen(request, timeout=_SECONDS)  # noqa: S310 - checked
    except urllib.error.HTTPError as error:
        if error.code == _NOTHING_LEFT and there:
            return True
        raise
    with answer, part.open("ab" if answer.status == 206 else "wb") as stream:
        there = stream.tell()
        left = answer.headers.get("Content-Length")
        whole = there + int(left) if left else 0
        while tell(there, whole):
            piece = answer.read(_PIECE)
            if not piece:
                if there < whole:
                    raise OSError(f"the connection ended after {there:,} of {whole:,} bytes")
                return True
            there += stream.write(piece)
    return False
