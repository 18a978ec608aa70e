"""Running a node as a container would, and checking every message it emits."""

from __future__ import annotations

import copy
import inspect
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

from draggan_runtime import wire
from draggan_runtime.checking.session import ONCE, ORDER, SyntheticSession
from draggan_runtime.checking.values import difference
from draggan_runtime.errors import DragganError
from draggan_runtime.messages import FeatureGradient, Features, Message, NeedBoxes
from draggan_runtime.node import Input, Node, Turn

Emitted = list[tuple[str, Message]]


class BrokenError(Exception):
    """The node broke the contract; the text says how."""


class Run:
    """One session of a node: delivers a step's messages as a container would, and checks what comes out."""

    def __init__(
        self,
        node: Node,
        session: SyntheticSession,
        state: Any = None,
        convert: Callable[[Any], Any] = lambda message: message,
    ) -> None:
        self.node = node
        self.session = session
        self.state = node.new_state() if state is None else state
        self.convert = convert
        self.asked = 0
        self.times: list[float] = []
        self._rewinds = any(port.type is FeatureGradient for port in node.inputs.values())

    def beat(self, step: int, watch_inputs: bool = False) -> Emitted:
        """All turns of ``step``; what they emitted."""
        emitted: Emitted = []
        for turn in self.turns(step):
            before = copy.deepcopy(dict(turn.inputs)) if watch_inputs else None
            self._call(turn)
            if before is not None:
                changed = difference(before, dict(turn.inputs), 0.0)
                if changed:
                    raise BrokenError(f"changes its inputs: {changed}")
            emitted += self.finish(turn)
        if self.node.polls:
            turn = self.latched_turn(step)
            self.poll(turn)
            emitted += self.finish(turn)
        return emitted

    def poll(self, turn: Turn) -> None:
        """Let the node look at its devices."""
        started = time.perf_counter()
        try:
            self.node.poll(turn)
        except Exception as error:
            raise BrokenError(f"poll raised {said(error, type(self.node))}") from error
        self.times.append(time.perf_counter() - started)

    def turns(self, step: int) -> Iterator[Turn]:
        """The turns of a step, one after another; the second is made after the first was run."""
        inputs, latched = self.node.inputs, self._latched(step)
        waits = {name: port for name, port in inputs.items() if port.role == "sync"}
        if waits:
            yield self._turn(step, {**latched, **{n: self._make(n, p, step) for n, p in waits.items()}})
        events = [(name, port) for name, port in inputs.items() if port.role == "event"]
        for name, port in sorted(events, key=lambda item: _place(item[1].type)):
            if step and (port.type in ONCE or (self._rewinds and port.type.__name__ == "Latent")):
                continue  # sent when the drag begins
            if not step and port.type.__name__ in ("FeatureGradient", "NeedBoxes", "Progress"):
                continue  # answers to what the node has yet to say
            message = self._make(name, port, step)
            yield self._turn(message.step, {**latched, name: message})

    def finish(self, turn: Turn) -> Emitted:
        """Check what a turn emitted, answer requests for boxes, and give all of it, arrays in numpy."""
        for port, message in turn.emitted:
            self._check(turn, port, message)
            self.session.saw(message)
        emitted = [(port, wire.to_host(message)) for port, message in turn.emitted]
        emitted = copy.deepcopy(emitted)
        asks = {message.level for _, message in turn.emitted if isinstance(message, NeedBoxes)}
        ports = [name for name, port in self.node.inputs.items() if port.type is Features]
        if asks and ports:
            self.asked += 1
            answer = self.session.make_features(turn.step, whole_maps=True, more=asks)
            again = self._turn(turn.step, {**turn.inputs, ports[0]: self.convert(answer)})
            self._call(again)
            if any(isinstance(message, NeedBoxes) for _, message in again.emitted):
                raise BrokenError("asks for boxes although it has the whole map")
            emitted += self.finish(again)
        return emitted

    def _call(self, turn: Turn) -> None:
        started = time.perf_counter()
        _call(self.node, [turn])
        self.times.append(time.perf_counter() - started)

    def latched_turn(self, step: int) -> Turn:
        """A turn with the latched inputs only, as poll gets it."""
        return self._turn(step, self._latched(step))

    def _turn(self, step: int, inputs: Mapping[str, Message]) -> Turn:
        return Turn(self.session.name, step, inputs, self.state)

    def _latched(self, step: int) -> dict[str, Message]:
        ports = {name: port for name, port in self.node.inputs.items() if port.role == "latched"}
        return {name: self._make(name, port, step) for name, port in ports.items()}

    def _make(self, name: str, port: Input, step: int) -> Message:
        message = self.session.message(port.type, step)
        if message is None:
            raise BrokenError(f"no {port.type.__name__} can be made up for '{name}', only messages of draggan_runtime")
        converted: Message = self.convert(message)
        return converted

    def _check(self, turn: Turn, port: str, message: Message) -> None:
        declared = self.node.outputs.get(port)
        if declared is None:
            outputs = ", ".join(self.node.outputs) or "none"
            raise BrokenError(f"emitted on '{port}', which it does not declare; its outputs: {outputs}")
        if not isinstance(message, declared):
            raise BrokenError(f"output '{port}' gives {declared.__name__}, but {type(message).__name__} was emitted")
        if message.session != turn.session:
            raise BrokenError(f"'{port}': session is '{message.session}', but the turn's is '{turn.session}'")
        allowed = (turn.step, turn.step + 1) if self._rewinds else (turn.step,)
        if message.step not in allowed:
            raise BrokenError(f"'{port}': step is {message.step}, but the turn's is {turn.step}")
        given = next((m for m in turn.inputs.values() if isinstance(m, Features)), None)
        if isinstance(message, FeatureGradient) and given is not None:
            _check_gradient(port, message, given)


def together(node: Node, first: Run, second: Run, step: int) -> tuple[Emitted, Emitted]:
    """A step of two sessions in the same calls."""
    both: tuple[Emitted, Emitted] = [], []
    for pair in zip_longest(first.turns(step), second.turns(step)):
        turns = [turn for turn in pair if turn is not None]
        _call(node, turns)
        for run, turn, emitted in zip((first, second), pair, both, strict=True):
            if turn is not None:
                emitted += run.finish(turn)
    if node.polls:
        for run, emitted in zip((first, second), both, strict=True):
            turn = run.latched_turn(step)
            run.poll(turn)
            emitted += run.finish(turn)
    return both


def _call(node: Node, turns: list[Turn]) -> None:
    try:
        node.step(turns)
    except Exception as error:
        raise BrokenError(f"step raised {said(error, type(node))}") from error
    for turn in turns:
        if turn.failure is not None:
            raise BrokenError(f"a turn failed: {said(turn.failure, type(node))}")


def _check_gradient(port: str, gradient: FeatureGradient, features: Features) -> None:
    for level, parts in gradient.levels.items():
        shapes = [tuple(box.values.shape) for box in features.levels.get(level, ())]
        given = [None if part is None else tuple(part.shape) for part in parts]
        if len(shapes) != len(given) or any(g not in (None, s) for s, g in zip(shapes, given, strict=True)):
            raise BrokenError(f"'{port}': gradient of level {level} has shapes {given}, but the boxes have {shapes}")


def _place(kind: type[Message]) -> int:
    return ORDER.index(kind) if kind in ORDER else len(ORDER)


def said(error: BaseException, cls: type[Node]) -> str:
    """An exception in one line, with the line of the node's own file where it arose."""
    text = " ".join(str(error).split())
    if isinstance(error, DragganError):
        return f"{type(error).__name__}: {text}"
    try:
        own = inspect.getfile(cls)
    except (OSError, TypeError):
        own = ""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if frame.filename == own] or frames[-1:]
    place = f" ({inside[-1].filename}:{inside[-1].lineno})" if inside else ""
    return f"{type(error).__name__}: {text}{place}"
