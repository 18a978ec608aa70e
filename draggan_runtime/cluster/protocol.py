"""How clients and the gateway talk: msgpack messages with their length before them, over one TCP connection.

A client's first message says what it wants (``do``) and with which token. Nothing of what arrives is ever executed:
it is read by :mod:`draggan_runtime.wire`, which makes plain values, arrays and messages only.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from draggan_runtime.errors import UserError, WireError
from draggan_runtime.execution.delivery import Delivery
from draggan_runtime.messages import Frame, Message, Progress
from draggan_runtime.wire import pack, unpack

LOOPBACK = "127.0.0.1"
#: Bytes of the longest message: of a client that has not said who it is, and of others.
STRANGER, MOST = 64 * 1024, 256 * 1024 * 1024
NO_PHOTOS = "photos are not for sessions of a cluster yet: draggan invert PHOTO, and open the edit.draggan it gives"
WITHOUT_PHOTO = "the session's photo stays behind: on a cluster its picture is edited alone"
_LENGTH = struct.Struct(">I")
_QUALITY = 92
_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}


class ConnectionLostError(UserError):
    """The other side has gone."""


def frame_bytes(value: Any) -> bytes:
    """A value as it goes over the wire."""
    body = pack(value)
    return _LENGTH.pack(len(body)) + body


def notice_death(sock: socket.socket) -> None:
    """Let a connection whose other side is gone without a word fail within 20 s, where the system can do that."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def receive(reader: asyncio.StreamReader, most: int) -> Any:
    """The next value. Raises ConnectionLostError at the end, WireError for what is none or longer than ``most``."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > most:
            raise WireError(f"a message of {length} bytes is longer than the {most} allowed")
        return unpack(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise ConnectionLostError("the connection was closed") from error


def mark(progress: Progress) -> str:
    """Tells a step from all others of its session: who attaches again says which they heard last."""
    latent = zlib.crc32(np.asarray(progress.w_plus).tobytes())
    return f"{progress.step} {progress.drag_steps} {progress.stopped or ''} {latent:08x}"


def told(deliveries: Iterable[Delivery], codec: str) -> list[dict[str, Any]]:
    """Deliveries for a client: each message once, with the ports it goes to; pictures as ``codec``, jpeg or raw."""
    by_message: dict[int, dict[str, Any]] = {}
    for delivery in deliveries:
        message = delivery.message
        entry = by_message.get(id(message))
        if entry is None:
            entry = by_message[id(message)] = {"to": [], "message": message}
            if codec == "jpeg" and isinstance(message, Frame):
                del entry["message"]
                entry["picture"] = {
                    "session": message.session,
                    "step": message.step,
                    "preview": message.preview,
                    "jpeg": jpeg(message.image),
                }
        entry["to"].append([delivery.node, delivery.port])
    return list(by_message.values())


def heard(entry: Any) -> tuple[Message, list[tuple[str, str]]]:
    """A message and where it goes, from what :func:`told` gave. Raises WireError."""
    try:
        ports = [(str(node), str(port)) for node, port in entry["to"]]
        if "picture" not in entry:
            message = entry["message"]
            if not isinstance(message, Message):
                raise WireError(f"not a message but {type(message).__name__}")
            return message, ports
        about = entry["picture"]
        image = from_jpeg(about["jpeg"])
        return Frame(session=about["session"], step=about["step"], image=image, preview=about["preview"]), ports
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"damaged message: {error!r}") from None


def jpeg(image: Any) -> bytes:
    """uint8 RGB ``[H, W, 3]`` as JPEG."""
    import cv2

    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    return bytes(data)


def from_jpeg(data: bytes) -> Any:
    """uint8 RGB ``[H, W, 3]``. Raises WireError."""
    import cv2

    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise WireError("damaged picture")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
