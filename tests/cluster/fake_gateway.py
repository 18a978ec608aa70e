"""A gateway that says what a test tells it to, to see what a client does when connections are lost."""

from __future__ import annotations

import queue
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from draggan_runtime.cluster.protocol import frame_bytes
from draggan_runtime.wire import unpack

ATTACHED = {"ok": {"pen": True, "graph": "cluster", "session": "s"}}


class FakeGateway:
    """``requests``: how clients said that they come, ``heard``: what they said then; None for one that has gone.

    ``answer``: what a request gets.
    """

    def __init__(self) -> None:
        self.answer: Callable[[Any], Any] = lambda _: ATTACHED
        self.requests: queue.Queue[Any] = queue.Queue()
        self.heard: queue.Queue[Any] = queue.Queue()
        self.connections: list[socket.socket] = []
        self.port = 0
        self._server: socket.socket | None = None

    def open(self) -> None:
        """Listen, where it did before."""
        self._server = socket.create_server(("127.0.0.1", self.port))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def close(self) -> None:
        """Listen no more, and drop everybody."""
        if self._server is not None:
            with suppress(OSError):
                self._server.shutdown(socket.SHUT_RDWR)
            self._server.close()
        self.drop()

    def drop(self) -> None:
        """Everybody's connection breaks."""
        connections, self.connections = self.connections, []
        for connection in connections:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # no farewell
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def say(self, value: Any) -> None:
        """To everybody."""
        for connection in self.connections:
            connection.sendall(frame_bytes(value))

    def _accept(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            request = next(_values(connection))
            answer = self.answer(request)
            connection.sendall(frame_bytes(answer))
            if "ok" in answer:
                self.connections.append(connection)
            self.requests.put(request)
            if "ok" not in answer:
                connection.close()
                return
            for value in _values(connection):
                self.heard.put(value)
        self.heard.put(None)


def _values(connection: socket.socket) -> Iterator[Any]:
    with connection.makefile("rb") as file:
        while head := file.read(4):
            yield unpack(file.read(int.from_bytes(head, "big")))


@contextmanager
def fake_gateway() -> Iterator[FakeGateway]:
    gateway = FakeGateway()
    gateway.open()
    try:
        yield gateway
    finally:
        gateway.close()
