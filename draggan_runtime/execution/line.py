"""A direct connection between two containers, for the round trip that every step of a drag waits for.

An actor call costs 3 ms when both sides have been at other work for 20 ms, whatever it carries; a socket 0.4 ms
(measured on two CPU cores). The key of a line travels by actor call, so only who may call the actor can use the line.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener, answer_challenge, deliver_challenge
from typing import Any

#: s that a connection may take; where a firewall is between, actor calls go on doing the work.
CONNECT = 2.0


class LineServer:
    """Listens on a free port of ``host``; each request of a line goes through ``answer``, in that line's own thread.

    ``begin`` is called first in each such thread.
    """

    def __init__(self, host: str, answer: Callable[[bytes], bytes], begin: Callable[[], object]) -> None:
        self._answer = answer
        self._begin = begin
        self.key = os.urandom(32)
        self._listener = Listener((host, 0))
        threading.Thread(target=self._accept, name="lines", daemon=True).start()

    @property
    def address(self) -> Any:
        """Host and port."""
        return self._listener.address

    def _accept(self) -> None:
        while True:
            line = self._listener.accept()
            threading.Thread(target=self._serve, args=(line,), name="line", daemon=True).start()

    def _serve(self, line: Connection) -> None:
        with line, suppress(EOFError, OSError, AuthenticationError):
            deliver_challenge(line, self.key)
            answer_challenge(line, self.key)
            _at_once(line)
            self._begin()
            while True:
                line.send_bytes(self._answer(line.recv_bytes()))


def connect(address: Any, key: bytes) -> Connection | None:
    """A line to the server at ``address``; None if it cannot be reached."""
    try:
        found = socket.create_connection(address, CONNECT)
        found.settimeout(None)
        line = Connection(found.detach())
        answer_challenge(line, key)
        deliver_challenge(line, key)
        _at_once(line)
    except (OSError, EOFError, AuthenticationError):
        return None
    return line


def _at_once(line: Connection) -> None:
    """Send small packets as they come."""
    with socket.socket(fileno=os.dup(line.fileno())) as handle:
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
