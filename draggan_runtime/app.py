"""A running graph as its driver holds it: containers started, messages routed, the session kept, drags consumed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from draggan_runtime.errors import DragganError, StartError, UserError
from draggan_runtime.execution.action import Arrival, DragAction
from draggan_runtime.execution.changes import NodeChange, Refusal, Revision
from draggan_runtime.execution.container import Container
from draggan_runtime.execution.costs import EdgeCosts, total
from draggan_runtime.execution.deadline import deadline as time_limit
from draggan_runtime.execution.delivery import Delivery, along
from draggan_runtime.execution.router import Router
from draggan_runtime.execution.stream import DragStream, LocalDrag
from draggan_runtime.graph.lasting import lasting_params, model_of
from draggan_runtime.graph.model import DRAG, SESSION, ResolvedGraph
from draggan_runtime.graph.revise import revised
from draggan_runtime.messages import (
    Command,
    Frame,
    Goal,
    Inverting,
    LatentRequest,
    Mask,
    Message,
    NodeFailure,
    Notice,
    Placed,
    Progress,
)
from draggan_runtime.node import Turn
from draggan_runtime.photo_search import PhotoSearch
from draggan_runtime.placed_photo import PlacedPhoto
from draggan_runtime.session import SessionRecord

START_DEADLINE = 300.0


class App:
    """Starts a graph in its layout and drives one session of it.

    Call :meth:`pump` repeatedly; nothing happens in between except in the actors. Raises StartError if a node cannot
    be configured within ``deadline`` s, UserError if a node refuses what the user gave.
    """

    def __init__(
        self, graph: ResolvedGraph, record: SessionRecord | None = None, deadline: float = START_DEADLINE
    ) -> None:
        self.graph = graph
        self.record = record or SessionRecord()
        self.record.params = lasting_params(graph)
        self.record.model = model_of(graph)
        self.frame: Frame | None = None
        self.progress: Progress | None = None
        self.failures: list[NodeFailure] = []
        self.commands: list[Command] = []
        self.notices: list[Notice] = []  # what nodes have told the session for its user
        self.refused: list[str] = []  # why changes did not take that were made while a drag ran
        self.restarts: dict[str, int] = {}
        self.revision = 0  # changes whenever the record does
        self.on_progress: Callable[[Progress], None] | None = None
        self.pasted: Frame | None = None  # the photo that the picture came of, with what was edited in its place
        self.placed: Placed | None = None  # where in it that is; None while the picture came of none
        self.on_inverting: Callable[[Inverting], None] | None = None
        self._search = PhotoSearch(graph, self._emit)
        self._drag: DragStream | None = None
        self._dragging = False
        self._busy = False
        self._after_drag: list[Delivery] = []
        self._changes_after_drag: list[Revision] = []
        self._remote: Any = None
        for node in graph.nodes.values():
            cls, params = node.load()
            cls.prepare(params)
        driver = next((s for s in graph.containers.values() if s.place == "driver"), None)
        self._here = Container(graph, driver)
        if any(s.place == "actor" for s in graph.containers.values()):
            from draggan_runtime.execution.ray_host import RayContainers

            self._remote = RayContainers(graph, deadline, self._here.costs)
        try:
            with time_limit(deadline):
                self._here.configure()
        except TimeoutError:
            self.close()
            raise StartError(f"{self._here.starting} did not start within {deadline:g} s") from None
        except BaseException:
            self.close()
            raise
        self._router = Router(graph, self._here, self._peers())
        self._action: DragAction | None = None
        drag_node = graph.find(DRAG)
        self.drag_node = drag_node
        if drag_node is not None and driver is not None and graph.home == driver.name:
            self._action = DragAction(graph, drag_node, self._router)
        session_node = graph.find(SESSION)
        if session_node is not None:
            self._router.sinks[session_node] = self._keep

    def _peers(self) -> dict[str, Any]:
        return {name: self._remote.peer(name) for name in self._remote.handles} if self._remote is not None else {}

    def __enter__(self) -> App:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the drag, clean the nodes up, end the actors."""
        with contextlib.suppress(Exception):  # its container may be what died
            self.cancel()
        self._drag = None
        if self._remote is not None:
            self._remote.close()
            self._remote = None
        self._here.close()

    # -- what the user does ------------------------------------------------------------------------------------

    def post(self, message: Message) -> None:
        """Send a message into the graph as if from the output that the session hears its type from (capture's).

        Raises UserError if there is none.
        """
        source = self.graph.source_of(type(message))
        if source is None:
            raise UserError(
                f"graph '{self.graph.name}' has no edge to {SESSION} for a {type(message).__name__}; tie one"
            )
        edges = self.graph.edges_from(*source)
        self._forward(list(along(edges, message)))

    @property
    def dragging(self) -> bool:
        """True from the start of a drag until its last progress."""
        return self._dragging

    @property
    def settled(self) -> bool:
        """True if neither drag nor inversion runs, every message has arrived, and the last picture has been drawn."""
        return self._drag is None and not self._search.due and not self._busy and self._router.quiet

    @property
    def looking(self) -> bool:
        """True while the latent of a photo is being looked for."""
        return self._search.going

    @property
    def inverting(self) -> Inverting | None:
        """How the search for the photo's latent goes, or went; None if there is none, or it has not begun yet."""
        return self._search.said

    @property
    def watched(self) -> bool:
        """Whether pictures are drawn; else the newest latent waits. Of no effect on nodes in other processes."""
        return self.record.id not in self._here.unwatched

    @watched.setter
    def watched(self, watched: bool) -> None:
        self._here.unwatched = set() if watched else {self.record.id}
        self._busy = True  # until it is seen what waits

    def node_seconds(self) -> dict[str, float]:
        """By node id, the s spent so far in the own steps of the nodes in this process."""
        return {node: hosted.seconds for node, hosted in self._here.hosted.items()}

    def costs(self) -> EdgeCosts:
        """By edge, what it has cost so far, in all containers; see :class:`EdgeCost`."""
        return total([self._here.costs.take(), *(self._remote.costs() if self._remote is not None else ())])

    def watch(self, watcher: Callable[[str, Turn], None] | None) -> None:
        """Call ``watcher`` with node id and turn before each step of a node in this process; None ends that."""
        self._here.watcher = watcher

    def start_drag(self) -> None:
        """Begin a drag toward the session's goal. Raises UserError if there is nothing to drag."""
        if self._dragging:
            return
        if self.looking:
            raise UserError("the photo's latent is still being looked for; wait, or stop it to take the best so far")
        while self._drag is not None:  # the picture of the drag before is still under way
            self.pump(0.05)
        self._router.settle()
        if not self.record.points:
            raise UserError("there is no point to drag; set a handle and a target first")
        if self.record.w_plus is None:
            raise UserError("there is no picture yet; choose a seed or open a session first")
        self.record.begin()
        self.progress = None
        session = self.record.id
        if self._action is not None:
            self._drag = LocalDrag(self._action, session)
        else:
            self._drag = self._remote.drag(session)
        self._dragging = True

    def cancel(self) -> None:
        """End the running drag at its next step boundary, and the running inversion with the best latent so far."""
        self._search.stop()
        self._cancel_drag()

    def _cancel_drag(self) -> None:
        if self._dragging and self._drag is not None:
            self._drag.cancel()

    def undo(self) -> None:
        """Take the last drag back, the running one too. Raises UserError if there is none."""
        self._stop()
        self.record.undo()
        self._show_record()

    def redo(self) -> None:
        """Put the drag undone last back. Raises UserError if there is none."""
        self._stop()
        self.record.redo()
        self._show_record()

    def _stop(self) -> None:
        """Cancel the running drag and wait for its end."""
        self._cancel_drag()
        while self._drag is not None:
            self.pump(0.05)

    def _show_record(self) -> None:
        self.progress = None
        self.restore()

    def adopt(self, record: SessionRecord) -> None:
        """Go on with another session on this graph. Raises UserError if it was edited on another model."""
        if record.model != self.record.model:
            raise UserError(
                f"the session was edited on model '{record.model}', this is '{self.record.model}'; "
                "start anew with --open"
            )
        self._stop()
        self.pasted = self.placed = None
        record.params = self.record.params
        self.record = record
        self._show_record()

    def notice(self, text: str, problem: bool = False) -> None:
        """Say something to the user through the graph."""
        self._emit("notice", Notice(session=self.record.id, step=self.record.step, text=text, problem=problem))

    def change(self, node: str, params: dict[str, Any]) -> None:
        """Change a node's parameters, or by ``impl`` what it runs, while the graph runs; a drag's next step has it.

        Raises UserError if they do not fit. What a node itself refuses in a drag comes later, in ``refused``.
        """
        after = revised(self.graph, node, params)
        if "impl" in params:
            cls, made = after.nodes[node].load()
            cls.prepare(made)
        revision = Revision.of(self.graph, after, node, params)
        here = self._action is None and all(part.node in self._here.hosted for part, _ in revision.parts)
        if self._drag is None or here:
            revision.carry_out(self._change)
        elif not (self._dragging and self._drag.post([revision])):
            # It has ended, but until its stream is read its container answers nothing else.
            self._changes_after_drag.append(revision)
        self._run_on(after)

    def _run_on(self, graph: ResolvedGraph) -> None:
        self.graph = graph
        self.record.params = lasting_params(graph)
        if self._remote is not None:
            self._remote.graph = graph  # what a container starts with that must be started anew

    def _change(self, change: NodeChange) -> None:
        """Tell the node; no drag runs."""
        (self._action or self._router).change(change)

    def _take_back(self, refusal: Refusal) -> None:
        """A node has refused a change in a drag: all is as before."""
        self._run_on(refusal.revision.taken_back(self.graph))
        self.refused.append(refusal.why)

    # -- what happens ------------------------------------------------------------------------------------------

    def pump(self, wait: float = 0.0) -> bool:
        """Let things happen once: poll windows, move messages, make or receive a step. True if anything did.

        ``wait``: s to wait at most for something to come from the actors.
        """
        moved = self._guard(self._router.advance)
        moved |= self._guard(self._search.go_on)
        if self._here.polls:
            outcome = self._here.poll(self.record.id, self.record.step)
            self._collect(outcome.failures)
            moved |= bool(outcome.deliveries)
            self._forward(outcome.deliveries)
        if self._drag is not None:
            moved |= self._pump_drag(wait)
        self._busy = self._guard(lambda: self._router.idle(busy=self._drag is not None))
        if wait and self._remote is not None and self._drag is None and not (moved or self.settled):
            time.sleep(min(wait, 0.002))
        self._collect(self._router.take_failures())
        return moved

    def run_until_settled(self) -> None:
        """Pump until no drag runs and nothing waits."""
        # Never wait for the router alone: messages may queue behind a drag whose stream waits to be read.
        self.pump(0.05)
        while not self.settled:
            self.pump(0.05)

    def _guard(self, work: Callable[[], bool]) -> bool:
        """Do work that talks to actors; if one died, revive it."""
        try:
            return work()
        except Exception as error:
            if not self._revive(error):
                raise
            return True

    def _pump_drag(self, wait: float) -> bool:
        assert self._drag is not None
        try:
            feedback = self._drag.next(wait)
        except StopIteration:
            self._drag = None
            if self._dragging:
                self._take(self._failed("the drag ended without a result"))
            self._flush_after_drag()
            return True
        except Exception as error:
            self._drag = None
            if not self._revive(error):
                raise
            self._flush_after_drag()
            return True
        if feedback is None:
            return False
        self._router.send(feedback.deliveries)
        for refusal in feedback.refused:
            self._take_back(refusal)
        if feedback.progress is not None:
            self._take(feedback.progress)
        return True

    def _take(self, progress: Progress) -> None:
        self.record.commit(progress)
        self.revision += 1
        self.progress = progress
        if progress.failure is not None:
            self.failures.append(progress.failure)
        if progress.stopped:
            self._dragging = False
        self._announce(progress)

    def _announce(self, progress: Progress) -> None:
        if self.drag_node is not None:
            self._router.emit(self.drag_node, "progress", progress)
        if self.on_progress is not None:
            self.on_progress(progress)

    def refuse(self, why: str) -> None:
        """Tell the graph that a drag does not start, and why."""
        self._announce(self._failed(why))

    def _failed(self, why: str) -> Progress:
        """The drag's last progress, as failed."""
        empty = Progress(
            session=self.record.id,
            step=self.record.step,
            drag_steps=0,
            handles={},
            distances={},
            confidence={},
            loss=float("nan"),
            w_plus=np.empty((0, 0), np.float32),
            seconds=0.0,
        )
        failure = NodeFailure("drag", "runtime/drag", self.record.id, why)
        return replace(self.progress or empty, stopped="failed", failure=failure)

    def _flush_after_drag(self) -> None:
        changes, self._changes_after_drag = self._changes_after_drag, []
        for revision in changes:
            try:
                revision.carry_out(self._change)
            except DragganError as error:
                self._take_back(Refusal(revision, str(error)))
        waiting, self._after_drag = self._after_drag, []
        self._forward(waiting)

    def _forward(self, deliveries: Iterable[Delivery]) -> None:
        """Route messages; while a drag runs elsewhere, those for elsewhere wait for its step boundary."""
        deliveries = list(deliveries)
        requests = {id(d.message): d.message for d in deliveries if isinstance(d.message, LatentRequest)}
        if requests and self._dragging:
            self._cancel_drag()
            self._after_drag = deliveries
            return
        for request in requests.values():
            if request.placement is None or request.photo is not None:  # no picture of the photo that is there
                self.pasted = self.placed = None
            self._search.expect(request)
        if self._dragging and self._action is None and self._drag is not None:
            away: list[Arrival] = []
            for delivery in deliveries:
                if delivery.node in self._here.hosted or delivery.node in self._router.sinks:
                    self._router.send([delivery])
                else:
                    away.append(delivery)
            if not away or self._drag.post(away):
                return
            deliveries = [d for d in away if isinstance(d, Delivery)]
        self._router.send(deliveries)

    def _keep(self, delivery: Delivery) -> None:
        message = delivery.message
        if isinstance(message, Command):
            self.commands.append(message)
        elif isinstance(message, Notice):
            self.notices.append(message)
        elif isinstance(message, Frame) and delivery.port == "pasted":
            self.pasted = message if self.placed is not None else None
        elif isinstance(message, Frame):
            self.frame = message
        elif isinstance(message, Placed):
            self._take_place(message)
        elif isinstance(message, Inverting):
            self._look_on(message)
        elif not (isinstance(message, LatentRequest) and self._search.is_for(message)):
            self.record.keep(message)
            self.revision += 1

    def _look_on(self, word: Inverting) -> None:
        """A step of a search is made."""
        begins = self._search.waiting
        if not self._search.hear(word):
            return
        if begins is not None:  # until now it could fail, and all stay as it was
            self.record.request(begins)
        self.record.anchor = None  # which latent edits shall stay near is known only at the end
        if self.on_inverting is not None:
            self.on_inverting(word)

    def _take_place(self, placed: Placed) -> None:
        """Where the picture belongs: of the photo that was searched for, or of the one that the record keeps."""
        request, kept = self._search.request, self.record.photo
        if self._search.found and request is not None:
            try:
                self.record.photo = PlacedPhoto.packed(request.photo, placed.matrix)
            except UserError as error:
                self.notices.append(Notice(session=self.record.id, step=self.record.step, text=str(error)))
            self.revision += 1
        elif kept is None or not np.array_equal(kept.matrix, placed.matrix):
            return  # of a search that nobody waits for any more
        self.placed = placed

    def _failed_to_look(self) -> None:
        waiting = self._search.waiting
        if not self._search.fail():
            return
        if waiting is not None:
            self.restore()
        elif self.record.anchor is None:  # what a search showed last is the picture
            self.record.anchor = self.record.w_plus

    def _collect(self, failures: list[NodeFailure]) -> None:
        for failure in failures:
            again = any((f.node, f.exception) == (failure.node, failure.exception) for f in self.failures)
            if not again or failure.node == self._search.node:  # which answers once
                self.failures.append(failure)
            if failure.node == self._search.node:
                self._failed_to_look()

    def _report(self, node: str, why: str) -> None:
        self._collect([NodeFailure(node, "", self.record.id, why)])

    # -- containers that die -----------------------------------------------------------------------------------

    def _revive(self, error: Exception) -> bool:
        """After ``error``: start dead containers anew and give them the session back. False if none had died."""
        if self._remote is None:
            return False
        from draggan_runtime.execution.ray_host import ContainerDied

        if not isinstance(error, ContainerDied):
            return False
        for name in self._remote.dead():
            spec = self.graph.containers[name]
            count = self.restarts.get(name, 0) + 1
            if self._search.node in spec.nodes:
                self._search.lose()
            self._report(name, f"container '{name}' died")
            if spec.restart.policy == "never" or count > spec.restart.max:
                raise StartError(
                    f"container '{name}' died and may not be restarted again; "
                    "save the session, and see restart in the launch file"
                )
            self.restarts[name] = count
            self._router.replace_peer(name, self._remote.restart(name))
        if self._dragging:
            self._take(self._failed("its container died and was started anew; start the drag again to go on"))
        if self.record.photo is not None:
            self.placed = None  # whoever has it may have been what died
        self.restore()
        return True

    def restore(self) -> None:
        """Send the whole record into the graph: latent, photo, mask, points; the captures take them up as theirs."""
        record = self.record
        if record.w_plus is not None:
            kept = dict(vars(record))
            self.post(self._again())
            # What the request makes forget; but latents of other tools become whole on the way through the generator.
            vars(record).update({name: value for name, value in kept.items() if name not in ("w_plus", "anchor")})
        if self.graph.source_of(Mask) is not None:
            self._tell("mask", Mask(session=record.id, step=record.step, movable=record.mask))
        self._tell("goal", Goal(session=record.id, step=record.step, points=record.points))

    def _again(self) -> LatentRequest:
        """Asks for the record's picture; a photo that it came of goes along if the graph has it not."""
        record, photo, placement = self.record, None, None
        if self.placed is not None:
            placement = self.placed.matrix
        elif record.photo is not None and self.graph.source_of(Placed) is not None:
            photo, placement = record.photo.pixels, record.photo.matrix
        return LatentRequest(
            session=record.id,
            step=record.step,
            w_plus=record.w_plus,
            anchor=record.anchor,
            photo=photo,
            placement=placement,
            tuning=record.tuning,
        )

    def _tell(self, port: str, message: Message) -> None:
        self.post(message)
        self._emit(port, message)

    def _emit(self, port: str, message: Message) -> None:
        """Send from an output of the session itself."""
        session = self.graph.find(SESSION)
        if session is not None:
            self._router.emit(session, port, message)
