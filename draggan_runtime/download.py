"""Files from the web: fetched in part or whole, gone on with where it broke off, kept only if the hash is right."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from draggan_runtime.errors import UserError
from draggan_runtime.files import sha256_of
from draggan_runtime.inert.limits import Limits, shown

#: Bytes; a larger file of weights would not be read.
MOST = Limits().file
_PIECE = 1 << 20
_SECONDS = 30
_NOTHING_LEFT = 416


def download(url: str, file: Path, sha256: str, tell: Callable[[int, int], bool], most: int = MOST) -> None:
    """Fetch ``url`` to ``file``, unless it is there already. What an earlier try left in ``file`` with ``.part`` behind
    its name is gone on with.

    ``tell`` is called with the bytes that are there and all that will be, 0 if unknown; where it returns False the
    fetching ends and what is there stays. Raises UserError, one line: no connection, more than ``most`` bytes, or not
    the file of this hash; what came of such a file is deleted.
    """
    if not url.startswith(("https://", "http://")):
        raise UserError(f"{url} is no address of the web")
    if file.is_file() and sha256_of(file) == sha256.lower():
        return
    part = file.with_name(f"{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not _fetch(url, part, tell, most):
            raise UserError(f"{url} was not fetched to its end; the same command goes on from there")
        found = sha256_of(part)
        if found != sha256.lower():
            part.unlink()
            raise UserError(f"{url} is not the expected file: sha256 is {found}, expected {sha256}; it was deleted")
        part.replace(file)
    except (OSError, http.client.HTTPException) as error:
        raise UserError(
            f"cannot fetch {url} ({_reason(error)}); the same command goes on from where it ended"
        ) from error


def _reason(error: Exception) -> str:
    """In a few words; some of them are the server's."""
    if isinstance(error, http.client.IncompleteRead):
        return "the connection ended before the file did"
    return shown(str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error))


def _fetch(url: str, part: Path, tell: Callable[[int, int], bool], most: int) -> bool:
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
        whole = there + answer.length if answer.length is not None else 0
        while tell(there, whole):
            if max(there, whole) > most:
                part.unlink()
                raise UserError(f"{url} has more than {most:,} bytes: it is not the expected file; it was deleted")
            # What has come, not a full piece: none of it is lost if the connection breaks.
            piece = answer.read1(_PIECE)
            if not piece:
                if there < whole:
                    raise OSError(f"the connection ended after {there:,} of {whole:,} bytes")
                return True
            there += stream.write(piece)
    return False
