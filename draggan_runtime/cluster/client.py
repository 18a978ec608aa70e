"""The clients' end: ask a cluster something, or attach to a session. Needs neither Ray nor torch.

with attach("nose") as session:
    session.post(Goal(session="nose", points=...))
    session.post(Command(session="nose", verb="start"))
    for message, ports in session.take(1.0):
        ...
"""

from __future__ import annotations

import queue
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

from draggan_runtime.cluster.known import KnownCluster, known_cluster, known_token
from draggan_runtime.cluster.protocol import MOST, ConnectionLostError, frame_bytes, heard
from draggan_runtime.errors import UserError, WireError
from draggan_runtime.messages import Message, Notice
from draggan_runtime.wire import unpack

_CONNECT = 5.0
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


def attach(session: str, *, at: str = "", token: str = "", pen: bool = False, codec: str = "jpeg") -> Attached:
    """Look at a session, and edit it if nobody else holds the pen, or ``pen``: take it.

    ``token``: the session's; "" = the one known here. ``codec``: how pictures come, "jpeg" or "raw" (exact). Raises
    UserError if there is no such session, or the token is not its.
    """
    cluster = known_cluster(at)
    own = token or known_token(session)
    if not own:
        raise UserError(f"the token of session '{session}' is not known here; give --token, as its start printed it")
    sock = _connect(cluster)
    try:
        sock.sendall(frame_bytes({"do": "attach", "token": own, "session": session, "pen": pen, "codec": codec}))
        about = _answer(_receive(sock, cluster))
    except BaseException:
        sock.close()
        raise
    sock.settimeout(None)
    return Attached(sock, cluster, session, about)


class Attached:
    """A connection to a session. ``pen``: whether it was one's to edit on coming; ``graph``: the launch it runs."""

    def __init__(self, sock: socket.socket, cluster: KnownCluster, session: str, about: dict[str, Any]) -> None:
        self.session = session
        self.pen = bool(about["pen"])
        self.graph = str(about["graph"])
        self.ended = ""
        self._sock = sock
        self._cluster = cluster
        self._came: queue.SimpleQueue[Told | None] = queue.SimpleQueue()
        self._sending = threading.Lock()
        threading.Thread(target=self._listen, daemon=True, name="attached").start()

    def __enter__(self) -> Attached:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Detach; the session goes on."""
        self.ended = self.ended or "detached"
        self._sock.close()

    def post(self, message: Message) -> None:
        """Say something to the session: a Goal, Mask, LatentRequest or Command. Raises UserError if it has ended."""
        with self._sending:
            try:
                self._sock.sendall(frame_bytes(message))
            except OSError:
                raise UserError(self.ended or "the connection to the session was lost; attach again") from None

    def take(self, wait: float) -> Iterator[Told]:
        """What the session said since the last call, each with the ports it goes to; waits ``wait`` s for the first.

        Raises UserError once the connection is lost or the session has ended.
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

    def _listen(self) -> None:
        try:
            while True:
                self._hear(_receive(self._sock, self._cluster))
        except (UserError, WireError, OSError) as error:
            self.ended = self.ended or str(error)
            self._came.put(None)

    def _hear(self, entry: Any) -> None:
        if "end" in entry:
            raise UserError(str(entry["end"]))
        if "problem" in entry or "say" in entry:
            problem = "problem" in entry
            text = str(entry["problem" if problem else "say"])
            self._came.put((Notice(session=self.session, text=text, problem=problem), []))
            return
        self._came.put(heard(entry))


def _connect(cluster: KnownCluster) -> socket.socket:
    try:
        return socket.create_connection((cluster.host, cluster.port), _CONNECT)
    except OSError as error:
        raise UserError(
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
        raise UserError(f"the cluster at {cluster.host}:{cluster.port} does not answer") from None
    except OSError as error:
        raise ConnectionLostError(f"the connection was lost ({error.strerror or error})") from None
    return bytes(data)


def _answer(answer: Any) -> Any:
    if not isinstance(answer, dict):
        raise WireError("not an answer of a cluster")
    if "error" in answer:
        raise UserError(str(answer["error"]))
    return answer.get("ok")
