"""Carries messages between the container here, its peers, and the runtime's own nodes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from draggan_runtime.execution.changes import NodeChange
from draggan_runtime.execution.container import Container
from draggan_runtime.execution.delivery import Delivery, Outcome, Waiting, along
from draggan_runtime.execution.parts import Delta
from draggan_runtime.execution.share import Share
from draggan_runtime.graph.model import ResolvedGraph
from draggan_runtime.messages import Message, NodeFailure


class Ticket(Protocol):
    """Work under way in a peer."""

    def ready(self) -> bool:
        """True once :meth:`result` does not block."""
        ...

    def result(self) -> Outcome:
        """Waits for the outcome. Raises if the peer died."""
        ...


class Peer(Protocol):
    """A container in another process."""

    def deliver(self, deliveries: list[Delivery]) -> Ticket:
        """Hand over messages; the ticket gives what comes of them."""
        ...

    def catch_up(self, deliveries: list[Delivery]) -> Ticket:
        """Hand over ``latest`` messages, and let the container do all that waits for idle time."""
        ...

    def change(self, change: NodeChange) -> None:
        """See :meth:`Container.change`."""
        ...

    def restore(self, session: str, snapshot: Mapping[str, Any]) -> None:
        """See :meth:`Container.restore`."""
        ...

    def tell_all(self, session: str) -> None:
        """See :meth:`Container.tell_all`."""
        ...

    def forget(self, session: str) -> None:
        """See :meth:`Container.forget`."""
        ...


class Lane:
    """The ``latest`` messages to one peer: one call in flight, older messages give way to newer."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.waiting = Waiting()
        self.pending = False
        self.ticket: Ticket | None = None
        self._share = Share(None)
        self._started = 0.0

    def add(self, delivery: Delivery) -> None:
        self.waiting.add(delivery)
        if self._share.share != delivery.share:
            self._share = Share(delivery.share)

    def pump(self, busy: bool) -> Outcome | None:
        """Start a call if one is due; the outcome of a finished one."""
        outcome = None
        if self.ticket is not None and self.ticket.ready():
            outcome = self.ticket.result()
            self.ticket = None
            self._share.used(time.monotonic() - self._started)
        if self.ticket is None and (self.waiting or self.pending) and self._share.allows(busy):
            self._started = time.monotonic()
            self.ticket = self.peer.catch_up(self.waiting.take_all())
            self.pending = False
        return outcome

    @property
    def quiet(self) -> bool:
        return self.ticket is None and not self.waiting and not self.pending


class Router:
    """Knows where every node is, and brings messages there.

    ``sinks`` take the messages of the runtime's own nodes. What nobody here can reach is kept in ``outside``.
    """

    def __init__(self, graph: ResolvedGraph, here: Container, peers: Mapping[str, Peer]) -> None:
        self.graph = graph
        self.here = here
        self.peers = dict(peers)
        self.sinks: dict[str, Callable[[Delivery], None]] = {}
        self.outside: list[Delivery] = []
        self.failures: list[NodeFailure] = []
        self._parts: dict[str, Delta] = {}
        self._owner = {node: spec.name for spec in graph.containers.values() for node in spec.nodes}
        self._tickets: dict[str, deque[Ticket]] = {name: deque() for name in peers}
        self._lanes = {name: Lane(peer) for name, peer in peers.items()}

    def emit(self, node: str, port: str, *messages: Message) -> None:
        """Send ``messages`` as if from output ``port`` of ``node``, all at once."""
        edges = self.graph.edges_from(node, port)
        self.send(delivery for message in messages for delivery in along(edges, message))

    def send(self, deliveries: Iterable[Delivery]) -> None:
        """Bring messages to their nodes; the container here works them off before this returns."""
        queue = deque(deliveries)
        while queue:
            local: list[Delivery] = []
            remote: dict[str, list[Delivery]] = {}
            while queue:
                delivery = queue.popleft()
                owner = self._owner.get(delivery.node, "")
                if delivery.node in self.sinks:
                    self.sink(delivery)
                elif delivery.node in self.here.hosted:
                    local.append(delivery)
                elif owner not in self.peers:
                    self.outside.append(delivery)
                elif delivery.latest:
                    self._lanes[owner].add(delivery)
                else:
                    remote.setdefault(owner, []).append(delivery)
            for owner, batch in remote.items():
                self._tickets[owner].append(self.peers[owner].deliver(batch))
            if local:
                queue.extend(self._absorb(self.here.deliver(local)))

    def sink(self, delivery: Delivery) -> None:
        """A message for one of the runtime's own nodes."""
        self.here.costs.arrived(delivery)
        self.sinks[delivery.node](delivery)

    def absorb(self, outcome: Outcome) -> None:
        """Take over what came of work done outside of this router's calls."""
        self.send(self._absorb(outcome))

    def _absorb(self, outcome: Outcome) -> list[Delivery]:
        self.failures.extend(outcome.failures)
        for session, delta in outcome.parts.items():
            self._parts[session] = self._parts.get(session, Delta()).then(delta)
        return outcome.deliveries

    def _collect(self, name: str, ticket: Ticket) -> None:
        outcome = ticket.result()
        self._lanes[name].pending |= outcome.pending
        self.absorb(outcome)

    def advance(self) -> bool:
        """Take in what peers have finished, without waiting. True if anything came."""
        came = False
        for name, tickets in self._tickets.items():
            while tickets and tickets[0].ready():
                self._collect(name, tickets.popleft())
                came = True
        return came

    def settle(self) -> None:
        """Wait until no peer has reliable messages of ours under way."""
        while not self.quiet:
            for name, tickets in self._tickets.items():
                if tickets:
                    self._collect(name, tickets.popleft())

    @property
    def quiet(self) -> bool:
        """True if no peer has reliable messages of ours under way."""
        return not any(self._tickets.values())

    def idle(self, busy: bool) -> bool:
        """Give waiting ``latest`` work its share, here and in the peers. True if some is still to be done."""
        outcome = self.here.idle(busy)
        self.absorb(outcome)
        for lane in self._lanes.values():
            done = lane.pump(busy)
            if done is not None:
                lane.pending |= done.pending
                self.absorb(done)
        return outcome.pending or any(not lane.quiet for lane in self._lanes.values())

    def change(self, change: NodeChange) -> None:
        """See :meth:`Container.change`; wherever the node is."""
        if change.node in self.here.hosted:
            self.here.change(change)
        elif self._owner[change.node] in self.peers:
            self.peers[self._owner[change.node]].change(change)

    def replace_peer(self, name: str, peer: Peer) -> None:
        """A container was started anew: what was under way there is lost."""
        self.peers[name] = peer
        self._tickets[name] = deque()
        self._lanes[name] = Lane(peer)

    def take_outside(self, session: str | None = None) -> list[Delivery]:
        """The messages for containers that cannot be reached from here, once; ``session``: only those of this one."""
        taken = [d for d in self.outside if session in (None, d.message.session)]
        self.outside = [d for d in self.outside if session not in (None, d.message.session)]
        return taken

    def take_failures(self, session: str | None = None) -> list[NodeFailure]:
        """The failures since the last call; ``session``: only those of this one."""
        taken = [f for f in self.failures if session in (None, f.session)]
        self.failures = [f for f in self.failures if session not in (None, f.session)]
        return taken

    def take_parts(self, session: str) -> Delta:
        """What changed in the session's states, here and in the peers, since the last call."""
        return self._parts.pop(session, Delta())

    def tell_all(self, session: str) -> None:
        """See :meth:`Container.tell_all`; here and in the peers."""
        self._parts.pop(session, None)
        self.here.tell_all(session)
        for peer in self.peers.values():
            peer.tell_all(session)

    # -- sessions that move ------------------------------------------------------------------------------------

    def restore(self, session: str, snapshot: Mapping[str, Any]) -> None:
        """See :meth:`Container.restore`; wherever the nodes are."""
        self.here.restore(session, {node: state for node, state in snapshot.items() if node in self.here.hosted})
        for name, peer in self.peers.items():
            own = {node: state for node, state in snapshot.items() if self._owner.get(node) == name}
            if own:
                peer.restore(session, own)

    def forget(self, session: str) -> None:
        """Drop everything kept for a session, here and in the peers."""
        self.here.forget(session)
        for peer in self.peers.values():
            peer.forget(session)
        self._parts.pop(session, None)
        self.take_failures(session)
        self.outside = [d for d in self.outside if d.message.session != session]
        for lane in self._lanes.values():
            lane.waiting.forget(session)
