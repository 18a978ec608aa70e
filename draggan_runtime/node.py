"""The node contract: what a stage declares and what the runtime calls.

A node declares its ports and its ``Params``, and implements :meth:`Node.step`. The runtime owns everything else:
it checks the wiring before start, matches messages by session and step, keeps one state object per session, and
catches what a step raises.

    class Tracker(Node):
        inputs = {"features": sync(Features), "goal": latched(Goal)}
        outputs = {"handles": Handles}

        def step(self, turns):
            for turn in turns:
                turn.emit("handles", Handles(session=turn.session, step=turn.step, ...))
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from draggan_runtime.errors import UserError
from draggan_runtime.messages import Message

Role = Literal["sync", "latched", "event"]


@dataclass(frozen=True)
class Input:
    """A typed input port and how its messages make the node step."""

    type: type[Message]
    role: Role
    optional: bool = False


def sync(type: type[Message], *, optional: bool = False) -> Input:
    """The node steps when all its sync inputs hold messages of the same session and step."""
    return Input(type, "sync", optional)


def latched(type: type[Message], *, optional: bool = False) -> Input:
    """The last message is kept and shown to every step; it makes no step by itself."""
    return Input(type, "latched", optional)


def event(type: type[Message], *, optional: bool = False) -> Input:
    """Each message makes the node step by itself, in order of arrival."""
    return Input(type, "event", optional)


class NodeParams(BaseModel):
    """Base of a node's parameters: unknown names are errors, values are checked against their ranges."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


@dataclass(frozen=True)
class Need:
    """What a consumer reads of a feature level: within ``reach`` px (at 512) of each handle.

    ``whole_with_mask``: the whole map when the session has a mask.
    """

    level: str
    reach: float
    whole_with_mask: bool = False


@dataclass(frozen=True)
class Context:
    """What the runtime tells a node when it configures it.

    ``needs``: by output port, what its consumers read. ``device``: a torch device string, chosen by the container.
    """

    node_id: str
    device: str = "cpu"
    needs: Mapping[str, tuple[Need, ...]] = field(default_factory=dict)


class NoState:
    """The state of a node that keeps none."""


@dataclass
class Turn:
    """One session's part in a step: its inputs, its state, and what the node emits for it.

    ``inputs`` holds every sync input (all of this ``step``), the latched inputs seen so far, and of the event inputs
    only the one that fired.
    """

    session: str
    step: int
    inputs: Mapping[str, Message]
    state: Any
    emitted: list[tuple[str, Message]] = field(default_factory=list)
    failure: Exception | None = None

    def __getitem__(self, port: str) -> Any:
        return self.inputs[port]

    def get(self, port: str) -> Any:
        """The port's message, or None."""
        return self.inputs.get(port)

    def emit(self, port: str, message: Message) -> None:
        """Send ``message`` from output ``port``."""
        self.emitted.append((port, message))

    def fail(self, error: Exception) -> None:
        """This session's part has failed: nothing of it is sent, the error is reported, the other turns go on.

        What :meth:`Node.step` raises fails all of its turns.
        """
        self.failure = error

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """What is raised within fails this turn only: ``for turn in turns: with turn.alone(): ...``."""
        try:
            yield
        except Exception as error:
            self.fail(error)


class Node:
    """Base of all nodes. Sessions live in :attr:`State` objects, never in ``self``."""

    Params: ClassVar[type[NodeParams]] = NodeParams
    State: ClassVar[Callable[[], Any]] = NoState
    inputs: ClassVar[Mapping[str, Input]] = {}
    outputs: ClassVar[Mapping[str, type[Message]]] = {}
    #: Parameters that cannot change while the node runs.
    fixed: ClassVar[frozenset[str]] = frozenset()
    #: True if the runtime shall call :meth:`poll` while the graph runs (windows, scripts).
    polls: ClassVar[bool] = False
    #: True if, while a drag runs, steps on ``latest`` inputs may be made in another thread, one at a time, beside the
    #: drag's. They may share nothing with other nodes that either of them changes.
    aside: ClassVar[bool] = False
    #: The most torch threads that its steps gain from; None: all the container has.
    threads: ClassVar[int | None] = None

    def __init__(self, params: NodeParams, context: Context) -> None:
        self.params: Any = params
        self.context = context

    @classmethod
    def needs(cls, params: Any) -> Mapping[str, Need]:
        """By input port, what of its producer's features the node will read; known from the parameters alone."""
        return {}

    @classmethod
    def prepare(cls, params: Any) -> None:
        """Called in the user's process before anything starts: fetch files, show progress, refuse early."""

    def configure(self) -> None:
        """Load weights, open devices. What it raises fails the start, with this node's id."""

    def activate(self) -> None:
        """Messages may arrive from now on."""

    def deactivate(self) -> None:
        """No message arrives any more."""

    def cleanup(self) -> None:
        """Give back what configure took."""

    def change(self, params: Any) -> None:
        """New parameters, already checked, while the node runs. The default takes them from the next step on."""
        self.params = params

    def change_needs(self, needs: Mapping[str, tuple[Need, ...]]) -> None:
        """A consumer's parameters changed, and with them what it reads."""
        self.context = Context(self.context.node_id, self.context.device, needs)

    def new_state(self) -> Any:
        """A fresh state for a session."""
        return type(self).State()

    def take_over(self, other: Node, state: Any) -> Any:
        """A session's state to go on with, where this node replaces ``other``, whose ``state`` it is.

        By default the same, if both keep states of one class. Raises UserError if it does not know how to go on.
        """
        if type(self).State is type(other).State:
            return state
        new, old = type(self).__name__, type(other).__name__
        raise UserError(
            f"node '{self.context.node_id}': {new} cannot go on from the state of {old}; start anew with "
            f"--set {self.context.node_id}.impl=..."
        )

    def snapshot(self, state: Any) -> dict[str, Any]:
        """The state as plain values, arrays, tensors and mappings of them, so that :meth:`restore` continues exactly.

        What did not change should be the same object as before: only what is another one is sent and kept.
        """
        if is_dataclass(state):
            return {f.name: getattr(state, f.name) for f in fields(state)}
        return {}

    def rest(self, state: Any) -> None:
        """The session's drag has ended: drop what is held for its next step, and large."""

    def restore(self, data: Mapping[str, Any]) -> Any:
        """The state a snapshot was taken of."""
        state = self.new_state()
        for name, value in data.items():
            setattr(state, name, value)
        return state

    def step(self, turns: Sequence[Turn]) -> None:
        """Process one turn of each session in ``turns``; emit through the turns, and fail one by :meth:`Turn.fail`."""
        raise NotImplementedError

    def poll(self, turn: Turn) -> None:
        """Called regularly in the container's main thread if :attr:`polls`: look at devices, emit what came."""
