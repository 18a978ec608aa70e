"""The clients' end: ask a cluster something, or attach to a session. Needs neither Ray nor torch.

with attach("nose") as session:
    session.post(Goal(session="nose", points=...))
    session.post(Command(session="nose", verb="start"))
    for message, ports in session.take(1.0):
        ...
"""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from draggan_runtime.cluster.known import KnownCluster, known_cluster, known_token
from draggan_runtime.cluster.protocol import MOST, ConnectionLostError, frame_bytes, heard, mark, notice_death
from draggan_runtime.errors import UserError, WireError
from draggan_runtime.files import write_atomically
from draggan_runtime.messages import Message, Notice, Progress
from draggan_runtime.pictures import save_png
from draggan_runtime.session import SessionRecord, dump_session
from draggan_runtime.wire import unpack

#: s for which a lost connection is tried again.
PATIENCE = 30.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 3.0
_CONNECT, _ANSWER = 5.0, 30.0
_LENGTH = struct.Struct(">I")
Told = tuple[Message, list[tuple[str, str]]]


def ask(cluster: KnownCluster, do: str, *, data: Any = None, timeout: float = 60.0, **request: Any) -> Any:
    """One question; its answer. Raises UserError for what the cluster refuses, or if there is none."""
    with _connect(cluster) as sock:
        sock.settimeout(timeout)
        whole = {"do": do, "token": cluster.token, **request}
        try:
            sock.sendall(frame_bytes({**whole, "with_data": True} if data is not None else whole))
            if data is not None:
                sock.sendall(frame_bytes(data))
        except ConnectionError:
            pass  # it may have said why
        return _answer(_receive(sock, cluster))


def attach(
    session: str, *, at: str = "", token: str = "", pen: bool = False, codec: str = "jpeg", last_step: str = ""
) -> Attached:
    """Look at a session, and edit it if nobody else holds the pen, or ``pen``: take it.

    ``token``: the session's; "" = the one known here. ``codec``: how pictures come, "jpeg" or "raw" (exact).
    ``last_step``: of an earlier connection, whose last step is then not told again. Raises UserError if there is no
    such session, or the token is not its.
    """
    if codec not in ("jpeg", "raw"):
        raise UserError(f"pictures come as jpeg or raw, not as '{codec}'")
    holder = token_holder(session, at, token)
    request = {
        "do": "attach",
        "token": holder.token,
        "session": session,
        "pen": pen,
        "codec": codec,
        "last_step": last_step,
    }
    return Attached(holder, request, *_attach(holder, request))


def token_holder(session: str, at: str = "", token: str = "") -> KnownCluster:
    """The cluster as who may edit the session knows it. Raises UserError if its token is not known here."""
    cluster = known_cluster(at)
    own = token or known_token(session)
    if not own:
        raise UserError(f"the token of session '{session}' is not known here; give --token, as its start printed it")
    return replace(cluster, token=own)


class Attached:
    """A connection to a session; when it is lost, it is tried again for :data:`PATIENCE` s, and that is said.

    ``pen``: whether the session is one's to edit now; ``graph``: the launch it runs; ``ended``: why it is over;
    ``last_step``: the mark of the last step told.
    """

    def __init__(
        self, cluster: KnownCluster, request: dict[str, Any], sock: socket.socket, about: dict[str, Any]
    ) -> None:
        self.session = str(request["session"])
        self.pen = bool(about["pen"])
        self.graph = str(about["graph"])
        self.ended = ""
        self.last_step = str(request["last_step"])
        self._cluster = cluster
        self._request = request
        self._sock = sock
        self._came: queue.SimpleQueue[Told | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._connected = threading.Event()
        self._connected.set()
        self._closing = threading.Event()
        threading.Thread(target=self._listen, daemon=True, name="attached").start()

    def __enter__(self) -> Attached:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Detach; the session goes on."""
        self.ended = self.ended or "detached"
        self._closing.set()
        self._connected.set()
        _shut(self._sock)

    @property
    def connected(self) -> bool:
        """False while a lost connection is tried again; :meth:`post` then waits."""
        return self._connected.is_set()

    def post(self, message: Message) -> None:
        """Say something to the session: a Goal, Mask, LatentRequest or Command. Raises UserError if it has ended."""
        data = frame_bytes(message)
        while True:
            self._connected.wait()
            if self.ended:
                raise UserError(self.ended)
            with self._lock:
                try:
                    self._sock.sendall(data)
                    return
                except OSError:
                    self._connected.clear()
                    _shut(self._sock)  # so that who listens notices

    def take(self, wait: float) -> Iterator[Told]:
        """What the session said since the last call, each with the ports it goes to; waits ``wait`` s for the first.

        Raises UserError once the connection is lost for good or the session has ended.
        """
        while True:
            try:
                told = self._came.get(timeout=wait) if wait else self._came.get_nowait()
            except queue.Empty:
                return
            if told is None:
                self._came.put(None)
                raise UserError(self.ended)
            wait = 0.0
            yield told

    def saved(self) -> tuple[bytes, Any]:
        """A session file of it, and its picture uint8 ``[H, W, 3]``, None while that is not drawn in full.

        Raises UserError.
        """
        return _saved(self._cluster, self.session)

    def save(self, path: str | Path) -> None:
        """Write the session to a ``.draggan`` file, or to a ``.png`` of its picture; both reopen exactly.

        Raises UserError, also while the picture is not drawn.
        """
        save_as(Path(path), self._cluster, self.session)

    def adopt(self, record: SessionRecord) -> None:
        """Have the session go on with a saved one. Raises UserError if that does not fit."""
        ask(self._cluster, "adopt", session=self.session, data=dump_session(record))

    def _listen(self) -> None:
        try:
            while not self.ended:
                try:
                    while True:
                        self._hear(_receive(self._sock, self._cluster))
                except ConnectionLostError:
                    self._reconnect()
        except (UserError, WireError) as error:
            self.ended = self.ended or str(error)
        self.ended = self.ended or "detached"
        _shut(self._sock)
        self._connected.set()
        self._came.put(None)

    def _hear(self, entry: Any) -> None:
        if "end" in entry:
            raise UserError(str(entry["end"]))
        if "pen" in entry:
            self._take_pen(bool(entry["pen"]))
        elif "problem" in entry or "say" in entry:
            problem = "problem" in entry
            self._say(str(entry["problem" if problem else "say"]), problem)
        else:
            message, ports = heard(entry)
            if isinstance(message, Progress):
                self.last_step = mark(message)
            self._came.put((message, ports))

    def _take_pen(self, pen: bool) -> None:
        if pen != self.pen:
            self.pen = pen
            self._say("the pen is yours now" if pen else "somebody else has taken the pen")

    def _say(self, text: str, problem: bool = False) -> None:
        self._came.put((Notice(session=self.session, text=text, problem=problem), []))

    def _reconnect(self) -> None:
        """Raises UserError if that is refused, or not possible for too long."""
        if self.ended:
            return
        self._connected.clear()
        self._sock.close()
        self._say("the connection was lost; trying again", problem=True)
        until, pause = time.monotonic() + PATIENCE, _FIRST_PAUSE
        while not self._closing.wait(pause):
            try:
                sock, about = _attach(self._cluster, {**self._request, "pen": self.pen, "last_step": self.last_step})
            except ConnectionLostError as error:
                if time.monotonic() > until:
                    raise UserError(f"the connection was lost: {error}") from None
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            with self._lock:
                self._sock = sock
            self._connected.set()
            self._say("connected again")
            self._take_pen(bool(about["pen"]))
            break
        if self.ended:  # closed meanwhile
            _shut(self._sock)


def save_as(path: Path, holder: KnownCluster, session: str) -> None:
    """What :meth:`Attached.save` does, without being attached."""
    data, picture = _saved(holder, session)
    if path.suffix.lower() != ".png":
        write_atomically(path, data)
    elif picture is None:
        raise UserError(f"the picture of session '{session}' is not drawn yet; save it as a .draggan file")
    else:
        save_png(path, picture, session=data)


def _saved(holder: KnownCluster, session: str) -> tuple[bytes, Any]:
    told = ask(holder, "saved", session=session, timeout=15.0)
    return told["file"], told["picture"]


def _attach(cluster: KnownCluster, request: dict[str, Any]) -> tuple[socket.socket, dict[str, Any]]:
    """A new connection to a session, and what is said of it. Raises UserError; ConnectionLostError if none answers."""
    sock = _connect(cluster)
    try:
        sock.settimeout(_ANSWER)
        sock.sendall(frame_bytes(request))
        about = _answer(_receive(sock, cluster))
        sock.settimeout(None)
        notice_death(sock)
    except OSError as error:
        sock.close()
        raise ConnectionLostError(f"the connection was lost ({error.strerror or error})") from None
    except BaseException:
        sock.close()
        raise
    return sock, about


def _shut(sock: socket.socket) -> None:
    """Close a connection that another thread may be waiting on: closing alone would not tell the other side."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def _connect(cluster: KnownCluster) -> socket.socket:
    try:
        return socket.create_connection((cluster.host, cluster.port), _CONNECT)
    except OSError as error:
        raise ConnectionLostError(
            f"no cluster answers at {cluster.host}:{cluster.port} ({error.strerror or error}); see draggan cluster up"
        ) from None


def _receive(sock: socket.socket, cluster: KnownCluster) -> Any:
    (length,) = _LENGTH.unpack(_exactly(sock, _LENGTH.size, cluster))
    if length > MOST:
        raise WireError(f"a message of {length} bytes is longer than the {MOST} allowed")
    return unpack(_exactly(sock, length, cluster))


def _exactly(sock: socket.socket, count: int, cluster: KnownCluster) -> bytes:
    data = bytearray()
    try:
        while len(data) < count:
            part = sock.recv(min(count - len(data), 1 << 20))
            if not part:
                raise ConnectionLostError(f"the cluster at {cluster.host}:{cluster.port} closed the connection")
            data += part
    except TimeoutError:
        raise ConnectionLostError(f"the cluster at {cluster.host}:{cluster.port} does not answer") from None
    except OSError as error:
        raise ConnectionLostError(f"the connection was lost ({error.strerror or error})") from None
    return bytes(data)


def _answer(answer: Any) -> Any:
    if not isinstance(answer, dict):
        raise WireError("not an answer of a cluster")
    if "error" in answer:
        raise UserError(str(answer["error"]))
    return answer.get("ok")
