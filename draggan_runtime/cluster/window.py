"""The window on a session of a cluster: what its launch has at the user's end runs here, everything else there."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from draggan_runtime.cluster.client import Attached, ask, attach, token_holder
from draggan_runtime.cluster.protocol import NO_PHOTOS
from draggan_runtime.errors import UserError
from draggan_runtime.execution.container import Container
from draggan_runtime.execution.delivery import Delivery, along
from draggan_runtime.execution.router import Router
from draggan_runtime.files import writable_folder, write_atomically
from draggan_runtime.graph.load import load_launch
from draggan_runtime.graph.model import DRAG, SESSION, ContainerSpec, Edge, ResolvedGraph
from draggan_runtime.live import LOOK, Say, fresh_path, how_it_ended
from draggan_runtime.messages import Command, Goal, LatentRequest, Mask, Message, Notice, Progress
from draggan_runtime.pictures import save_png
from draggan_runtime.session import SessionRecord, load_session, parse_session

#: What a user asks of a session.
ASKED = (Goal, Mask, LatentRequest, Command)
_AGAIN = 2.0  # s in which the same refusal is said once
_LOOK_FOR_PICTURE = 0.5


def show(
    session: str,
    *,
    at: str = "",
    token: str = "",
    pen: bool = False,
    codec: str = "jpeg",
    out: Path = Path("out"),
    launch: str = "",
    say: Say = print,
) -> None:
    """Show a session until its window is closed. ``launch``: one that has the window; "" = what the cluster runs.

    ``pen``: take the pen from whoever has it. ``out``: folder for what is saved. Raises UserError if the session is not
    to be had, if no window can open, and if the connection is lost for good.
    """
    holder = token_holder(session, at, token)
    graph = _launch(launch or ask(holder, "info", session=session)["graph"], launch)
    spec = user_end(graph)
    for node in spec.nodes:  # before anybody loses the pen
        cls, params = graph.nodes[node].load()
        cls.prepare(params)
    writable_folder(out)
    with attach(session, at=at, token=token, pen=pen, codec=codec) as attached:
        data, _ = attached.saved()
        record = parse_session(data, Path(session))
        Window(attached, taking_up(graph, record, attached.pen, out), spec, out, say).run()


def _launch(name: str, said: str) -> ResolvedGraph:
    try:
        return load_launch(name)
    except UserError as error:
        if said:
            raise
        raise UserError(f"the cluster runs a launch '{name}' that is not here ({error}); give --launch") from None


def user_end(graph: ResolvedGraph) -> ContainerSpec:
    """The container that runs where the user is. Raises UserError if there is none."""
    for spec in graph.containers.values():
        nodes = tuple(node for node in spec.nodes if not graph.nodes[node].impl.name.startswith("runtime/"))
        if spec.place == "driver" and nodes:
            return replace(spec, nodes=nodes)
    raise UserError(f"launch '{graph.name}' has nothing that shows a session: no container with place: driver")


def taking_up(graph: ResolvedGraph, record: SessionRecord, pen: bool, out: Path) -> ResolvedGraph:
    """``graph`` with its user's end as the session is: it asks for a first picture only if there is none."""
    changes: dict[str, dict[str, Any]] = {}

    def change(node: str, **params: Any) -> None:
        changes.setdefault(node, {}).update(params)

    def given(node: str) -> Any:
        return graph.nodes[node].load()[1]

    if record.w_plus is not None or record.seed is not None or not pen:
        for node in graph.taking("seed", "points"):
            change(node, seed=None, points=[])
            if node in graph.taking("mask"):
                change(node, mask="")
    for node in graph.taking("step", "step_param"):
        of, _, param = str(given(node).step_param).partition(".")
        if (step := record.params.get(of, {}).get(param)) is not None:
            change(node, step=step)
    for node in graph.taking("window"):
        change(node, window=f"{given(node).window} {record.id}")
    for node in graph.taking("out"):
        change(node, out=str(out.resolve()))
    nodes = {
        id: replace(node, params={**node.params, **changes[id]}) if id in changes else node
        for id, node in graph.nodes.items()
    }
    return replace(graph, nodes=nodes)


class Window:
    """Shows one session and sends it what the user asks.

    What a capture asks of the session reaches the other nodes here only once it may be asked: without the pen nothing
    moves, and the capture takes up again what the session has.
    """

    def __init__(self, attached: Attached, graph: ResolvedGraph, spec: ContainerSpec, out: Path, say: Say) -> None:
        self.attached = attached
        self._graph = graph
        self._session = graph.find(SESSION) or ""
        self._drag = graph.find(DRAG) or ""
        self._sources: dict[type[Message], tuple[str, str]] = {
            kind: source for kind in ASKED if (source := graph.source_of(kind)) is not None
        }
        self._captures = {node for node, _ in self._sources.values()} & set(spec.nodes)
        asks = {(e.source_node, e.source_port) for e in graph.edges if e.target_node == self._session}
        kept = [e for e in graph.edges if e.target_node == self._session or not self._asked_along(e, asks)]
        self._container = Container(replace(graph, edges=tuple(kept)), spec)
        self._router = Router(graph, self._container, {})
        self._out = out
        self._say_line = say
        self._goal = Goal(session=attached.session)
        self._mask = Mask(session=attached.session)
        self._progress: Progress | None = None
        self._step = 0
        self._open = True
        self._refused = ("", 0.0)
        self._failed: set[tuple[str, str]] = set()
        self._after_poll: list[Delivery] = []
        self._last: Path | None = None
        self._picture: Path | None = None
        self._looked = 0.0
        self._own: dict[str, Callable[[str], None]] = {"save": self._save, "open": self._reopen, "quit": self._quit}

    def _asked_along(self, edge: Edge, asks: set[tuple[str, str]]) -> bool:
        source = edge.source_node, edge.source_port
        return source[0] in self._captures and source in asks

    def run(self) -> None:
        """Until the user quits. Raises UserError when the connection is lost for good, or the session has ended."""
        self._container.configure()
        try:
            if not self.attached.pen:
                self._notice("somebody else has the pen: look on")
            while self._open:
                for message, ports in self.attached.take(LOOK):
                    self._hear(message, ports)
                self._router.absorb(self._container.poll(self.attached.session, self._step))
                self._router.idle(busy=False)
                after, self._after_poll = self._after_poll, []
                self._router.send(after)
                for delivery in self._router.take_outside():
                    if delivery.node == self._session and isinstance(delivery.message, ASKED):
                        self._asked(delivery.message)
                self._report_failures()
                self._look_for_picture()
            if self._picture is not None:
                self._say_line(f"{self._picture} was not saved: the picture was not drawn yet")
        finally:
            self._container.close()

    # -- what the session says ---------------------------------------------------------------------------------

    def _hear(self, message: Message, ports: list[tuple[str, str]]) -> None:
        if isinstance(message, Notice):
            self._say_line(message.text)
            if not ports:  # of the connection
                self._router.emit(self._session, "notice", message)
            if message.problem:
                self._settle()
        else:
            self._step = message.step
        if isinstance(message, Goal):
            self._goal = message
        elif isinstance(message, Mask):
            self._mask = message
        elif isinstance(message, Progress):
            self._progress = message
            if message.stopped:
                self._say_line(how_it_ended(message))
        self._router.send(Delivery(node, port, message) for node, port in ports if self._fits(node, port, message))

    def _fits(self, node: str, port: str, message: Message) -> bool:
        hosted = self._container.hosted.get(node)
        return hosted is not None and port in hosted.node.inputs and isinstance(message, hosted.node.inputs[port].type)

    @property
    def _dragging(self) -> bool:
        return self._progress is not None and self._progress.stopped is None

    # -- what the user asks ------------------------------------------------------------------------------------

    def _asked(self, message: Message) -> None:
        try:
            if isinstance(message, Command) and message.verb in self._own:
                self._own[message.verb](message.argument)
            elif isinstance(message, Command) and message.verb == "record":
                self._here(message)
            elif isinstance(message, LatentRequest) and message.photo is not None:
                raise UserError(NO_PHOTOS)
            elif self._may_edit(message):
                self._here(message)
                self._send(message)
        except UserError as error:
            self._notice(str(error), problem=True)

    def _send(self, message: Message) -> None:
        if isinstance(message, Goal):
            self._goal = message
        elif isinstance(message, Mask):
            self._mask = message
        self.attached.post(message)
        if isinstance(message, Command) and message.verb == "stop" and not self._dragging:
            self._settle()  # of what has not begun nobody says that it has stopped

    def _may_edit(self, message: Message) -> bool:
        """False if not; then that is said, and the captures take up what the session has."""
        if self.attached.pen and self.attached.connected:
            return True
        if isinstance(message, Goal) and message.points in (self._goal.points, self._where_left()):
            return False  # no edit: points follow a drag that has ended
        if self.attached.pen:
            self._refuse("not connected just now: nothing can be changed")
        else:
            self._refuse("somebody else has the pen; draggan session attach --pen takes it")
        return False

    def _where_left(self) -> tuple[Any, ...]:
        """The points with their handles where the drag left them."""
        handles = self._progress.handles if self._progress is not None else {}
        return tuple(replace(p, handle=handles.get(p.id, p.handle)) for p in self._goal.points)

    def _refuse(self, why: str) -> None:
        now = time.monotonic()
        if self._refused[0] != why or now - self._refused[1] > _AGAIN:
            self._refused = why, now
            self._notice(why, problem=True)
        self._goal, self._mask = replace(self._goal), replace(self._mask)  # new ones, so that they are taken up
        self._router.emit(self._session, "goal", self._goal)
        self._router.emit(self._session, "mask", self._mask)
        self._settle()

    def _settle(self) -> None:
        """Tell the captures whether a drag runs; what they asked of it and is not answered, never will be."""
        nothing = np.empty((0, 0), np.float32)
        known = self._progress or Progress(
            session=self.attached.session, step=self._step, drag_steps=0, handles={}, distances={}, confidence={},
            loss=math.nan, w_plus=nothing, seconds=0.0,
        )  # fmt: skip
        self._router.send(self._to_captures(replace(known, handles={}, stopped="cancelled")))
        if self._dragging:
            self._after_poll = self._to_captures(replace(known, handles={}))

    def _to_captures(self, progress: Progress) -> list[Delivery]:
        ties = self._graph.edges_from(self._drag, "progress")
        return [d for d in along(ties, progress) if d.node in self._captures]

    def _here(self, message: Message) -> None:
        """To the other nodes here that hear the captures."""
        source = self._sources[type(message)]
        ties = self._graph.edges_from(*source)
        self._router.send(d for d in along(ties, message) if d.node in self._container.hosted)

    # -- what is done here -------------------------------------------------------------------------------------

    def _quit(self, _: str) -> None:
        self._open = False

    def _save(self, argument: str) -> None:
        data, picture = self.attached.saved()
        path = Path(argument) if argument else fresh_path(self._out, parse_session(data, Path(self.attached.session)))
        write_atomically(path, data)
        self._last = path
        self._notice(f"saved {path}")
        self._picture = path.with_suffix(".png")
        self._save_picture(data, picture)

    def _look_for_picture(self) -> None:
        """The picture that was to be saved: it may not have been drawn yet."""
        if self._picture is None or time.monotonic() - self._looked < _LOOK_FOR_PICTURE or not self.attached.connected:
            return
        try:
            self._save_picture(*self.attached.saved())
        except UserError as error:
            self._picture = None
            self._notice(str(error), problem=True)

    def _save_picture(self, data: bytes, picture: Any) -> None:
        self._looked = time.monotonic()
        if picture is not None and self._picture is not None:
            path, self._picture = self._picture, None
            save_png(path, picture, session=data)
            self._notice(f"saved {path}")

    def _reopen(self, argument: str) -> None:
        path = Path(argument) if argument else self._last
        if path is None:
            raise UserError("nothing has been saved from this window yet")
        if not self.attached.pen:
            self._refuse("somebody else has the pen; draggan session attach --pen takes it")
            return
        self.attached.adopt(load_session(path))
        self._notice(f"opened {path}")

    # -- words -------------------------------------------------------------------------------------------------

    def _notice(self, text: str, problem: bool = False) -> None:
        """To the terminal and to the window."""
        self._say_line(text)
        notice = Notice(session=self.attached.session, step=self._step, text=text, problem=problem)
        self._router.emit(self._session, "notice", notice)

    def _report_failures(self) -> None:
        for failure in self._router.take_failures():
            if (failure.node, failure.exception) not in self._failed:
                self._failed.add((failure.node, failure.exception))
                self._notice(str(failure), problem=True)
