"""Where clients connect: commands, and windows that attach to a session. Listens on loopback unless told otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import TYPE_CHECKING, Any

from ray.exceptions import RayActorError, RayTaskError

from draggan_runtime.cluster.log import log
from draggan_runtime.cluster.protocol import MOST, STRANGER, ConnectionLostError, frame_bytes, notice_death, receive
from draggan_runtime.cluster.session_actor import checked
from draggan_runtime.cluster.store import digest
from draggan_runtime.errors import DragganError, UserError
from draggan_runtime.execution.container import one_line
from draggan_runtime.messages import Command, Message
from draggan_runtime.wire import encode

if TYPE_CHECKING:
    from draggan_runtime.cluster.manager import ManagerActor

_HELLO = 10.0  # s that a client may take to say what it wants
_RETRY = 0.1
_RESTORE = 20.0  # s that somebody who comes waits for a session that is being restored


class Gateway:
    """Answers clients for the manager."""

    def __init__(self, manager: ManagerActor) -> None:
        self._manager = manager
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def open(self, host: str, port: int) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, host, port)

    async def close(self) -> None:
        """Listen no more; what is being answered is answered."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await asyncio.wait_for(receive(reader, STRANGER), _HELLO)
            if not isinstance(request, dict):
                raise UserError("say what to do")
            if request.get("do") == "attach":
                await self._attach(request, reader, writer)
                return
            data = await receive(reader, MOST) if self._with_data(request) else None
            await _send(writer, {"ok": await self._answer(request, data)})
        except (ConnectionLostError, ConnectionError, TimeoutError):
            return
        except Exception as error:
            if not isinstance(error, DragganError):
                log("request failed", error=one_line(error))
            with contextlib.suppress(ConnectionError):
                await _send(writer, {"error": _said(error)})
        finally:
            writer.close()

    def _with_data(self, request: dict[str, Any]) -> bool:
        """True if something long follows, from somebody who may send it."""
        if request.get("with_data"):
            self._check(request, manage=request.get("do") == "start", own=request.get("do") != "start")
            return True
        return False

    # -- who may -----------------------------------------------------------------------------------------------

    def _check(self, request: dict[str, Any], *, manage: bool, own: bool) -> None:
        """Raises UserError unless the token is the cluster's (``manage``), or the session's (``own``)."""
        token = str(request.get("token", ""))
        if manage and secrets.compare_digest(digest(token), self._manager.token_sha256):
            return
        if own and self._manager.store.about(str(request.get("session", ""))).fits(token):
            return
        raise UserError("this token is not the right one" if own else "this needs the cluster's token")

    async def _answer(self, request: dict[str, Any], data: Any) -> Any:
        do, id = request.get("do"), str(request.get("session", ""))
        manager = self._manager
        if do in ("status", "start", "resume", "down"):
            self._check(request, manage=True, own=False)
        elif do in ("info", "cancel", "move", "stop"):
            self._check(request, manage=True, own=True)
        elif do in ("adopt", "saved"):
            self._check(request, manage=False, own=True)
        else:
            raise UserError(f"'{do}' is nothing that the cluster does; is the program of the same version?")
        if do == "status":
            return await manager.status()
        if do == "start":
            messages = [m for m in request.get("messages", ()) if isinstance(m, Message)]
            if isinstance(data, dict):
                messages = [m for m in data.get("messages", ()) if isinstance(m, Message)] or messages
            file = data.get("file") if isinstance(data, dict) else None
            return await manager.new_session(id, messages, file)
        if do == "resume":
            return await self._resume(id)
        if do == "down":
            await manager.close()
            return {}
        if do == "info":
            return {**await manager.info(id), "graph": manager.graph.name}
        if do == "stop":
            await manager.stop_session(id, bool(request.get("delete")))
            return {}
        actor = manager.actor(id)
        if do == "cancel":
            checked(await actor.order.remote([encode(Command(session=id, verb="stop"))]))
        elif do == "move":
            await actor.relocate.remote()
        elif do == "adopt":
            checked(await actor.adopt.remote(data))
        elif do == "saved":
            return await actor.saved.remote()
        return {}

    async def _resume(self, id: str) -> Any:
        ids = [id] if id else [i for i in self._manager.store.ids() if i not in self._manager.sessions]
        for one in ids:
            self._manager.resume(one)
        return {"resumed": ids}

    # -- windows -----------------------------------------------------------------------------------------------

    async def _attach(
        self, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._check(request, manage=False, own=True)
        id, watcher = str(request["session"]), secrets.token_hex(8)
        codec = "raw" if request.get("codec") == "raw" else "jpeg"
        last_step = str(request.get("last_step", ""))
        pen = await self._attach_to(id, watcher, codec, bool(request.get("pen")), last_step)
        await _send(writer, {"ok": {"pen": pen, "graph": self._manager.graph.name, "session": id}})
        log("attached", session=id, watcher=watcher)
        notice_death(writer.get_extra_info("socket"))
        showing = asyncio.get_running_loop().create_task(self._show(id, watcher, codec, pen, last_step, writer))
        try:
            while True:
                message = await receive(reader, MOST)
                problem = await self._hear(id, watcher, message)
                if problem:
                    await _send(writer, {"problem": problem})
        finally:
            showing.cancel()
            log("detached", session=id, watcher=watcher)
            with contextlib.suppress(UserError, RayActorError):
                await self._manager.actor(id).detach.remote(watcher)

    async def _attach_to(self, id: str, watcher: str, codec: str, pen: bool, last_step: str) -> bool:
        """True if the pen is theirs. Waits while the session's process is being restored."""
        until = time.monotonic() + _RESTORE
        while True:
            try:
                return bool(await self._manager.actor(id).attach.remote(watcher, codec, pen, last_step))
            except RayActorError:
                if time.monotonic() > until:
                    raise UserError(f"session '{id}' is being restored; attach again later") from None
                await asyncio.sleep(_RETRY)

    async def _hear(self, id: str, watcher: str, message: Any) -> str:
        if not isinstance(message, Message):
            return "that is no message"
        try:
            return str(await self._manager.actor(id).post.remote(watcher, encode(message)))
        except RayActorError:
            return "the session is being restored; say it again"
        except UserError as error:
            return str(error)

    async def _show(
        self, id: str, watcher: str, codec: str, pen: bool, last_step: str, writer: asyncio.StreamWriter
    ) -> None:
        """Send what is new. If the session's process dies, attach again once it is back, with the ``pen`` as before.

        ``last_step``: the mark of the newest step sent, which is not sent again.
        """
        restored = True
        while True:
            try:
                actor = self._manager.actor(id)
                if not restored:
                    await actor.attach.remote(watcher, codec, pen, last_step)
                    await _send(writer, {"say": "the session is back"})
                    restored = True
                seen = await actor.look.remote(watcher)
                if seen is None:
                    restored = False
                    continue
                data, has_pen, newest = seen
                last_step = newest or last_step
                if has_pen != pen:
                    pen = has_pen
                    writer.write(frame_bytes({"pen": pen}))
                writer.write(data)
                await writer.drain()
            except RayActorError:
                if restored:
                    await _send(writer, {"say": "the session's process died; it is being restored"})
                restored = False
                await asyncio.sleep(_RETRY)
            except UserError as error:
                await _send(writer, {"end": str(error)})
                writer.close()
                return
            except ConnectionError:
                return


async def _send(writer: asyncio.StreamWriter, value: Any) -> None:
    writer.write(frame_bytes(value))
    await writer.drain()


def _said(error: Exception) -> str:
    if isinstance(error, RayTaskError):
        return one_line(error.cause if isinstance(error.cause, Exception) else error)
    return one_line(error)
