"""What this user knows of clusters and sessions: where they are, and the tokens. Files that only the user may read."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from draggan_runtime.errors import UserError
from draggan_runtime.files import state_dir, writable_folder

_HINT = "start one with draggan cluster up"


@dataclass(frozen=True)
class KnownCluster:
    """A running cluster.

    ``host`` and ``port`` of its gateway; ``token``: for who manages it; ``ray``: the address of the Ray cluster;
    ``pid``: of the process that holds a local one, 0 if it was there before; ``store``: the sessions' folder.
    """

    host: str
    port: int
    token: str
    ray: str
    store: str
    pid: int = 0


def remember(cluster: KnownCluster) -> None:
    """This is the cluster that commands mean from now on."""
    _write(_file(), json.dumps(asdict(cluster)))


def forget(cluster: KnownCluster) -> None:
    """There is this cluster no more; if another is remembered, it stays so."""
    with contextlib.suppress(UserError):
        if known_cluster() == cluster:
            _file().unlink(missing_ok=True)


def known_cluster(address: str = "", token: str = "") -> KnownCluster:
    """The cluster remembered; or the one at ``address`` (host:port of its gateway). Raises UserError."""
    if address:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise UserError(f"--at {address}: write host:port, as `draggan cluster up` printed it")
        return KnownCluster(host, int(port), token, "", "")
    try:
        return KnownCluster(**json.loads(_file().read_bytes()))
    except FileNotFoundError:
        raise UserError(f"no cluster is known here; {_HINT}, or give --at host:port") from None
    except (OSError, ValueError, TypeError):
        raise UserError(f"{_file()}: cannot be read; {_HINT}") from None


def remember_token(session: str, token: str) -> None:
    """This user started the session."""
    _write(_token_file(session), token)


def known_token(session: str) -> str:
    """The session's token, "" if it is not known here."""
    try:
        return _token_file(session).read_text().strip()
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    writable_folder(path.parent)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _file() -> Path:
    return state_dir() / "cluster.json"


def _token_file(session: str) -> Path:
    if not session or "/" in session or session.startswith("."):
        raise UserError(f"there is no session '{session}'; see draggan session list")
    return state_dir() / "tokens" / session
