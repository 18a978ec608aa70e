"""The contract test for anybody's node: what `draggan nodes check` runs.

A node passes if the runtime can rely on it: it declares what it does, keeps no session in ``self``, leaves its
inputs alone, and continues exactly from a snapshot. It is run in :mod:`draggan_runtime.checking.session`'s sessions.
"""

from __future__ import annotations

import copy
import math
import statistics
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from draggan_runtime import wire
from draggan_runtime.builtin import BUILTIN
from draggan_runtime.checking.run import BrokenError, Emitted, Run, said, together
from draggan_runtime.checking.session import SPEED, SyntheticSession
from draggan_runtime.checking.values import as_read_only, difference
from draggan_runtime.errors import UserError, WireError
from draggan_runtime.graph.params import ParamError, validated
from draggan_runtime.messages import FeatureGradient, Features, Handles, Message, NeedBoxes
from draggan_runtime.node import Context, Input, Need, Node, NodeParams
from draggan_runtime.registry import resolve, summary

STEPS = 6
#: Two sessions in one step may go through one batched computation, which rounds differently.
_ROUNDING = 2e-3


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    message: str


def check_node(impl: str | type[Node], params: Mapping[str, Any] | None = None) -> list[Check]:
    """Test a node against the contract, with ``params`` or the defaults.

    ``impl``: the class, or what a graph's ``impl`` may say. What cannot be run because of an earlier failure is
    left out. Raises UserError for the runtime's own nodes.
    """
    if impl in BUILTIN or impl in BUILTIN.values():
        raise UserError(f"'{impl}' is the runtime's own; the executor does its work")
    if isinstance(impl, str):
        try:
            cls = resolve(impl).cls
        except UserError as error:
            return [Check("is a node", False, str(error))]
    else:
        cls = impl
    return _Examination(cls, params or {}).run()


class _Examination:
    def __init__(self, cls: type[Node], params: Mapping[str, Any]) -> None:
        self.cls = cls
        self.given = params
        self.params: NodeParams = NodeParams()
        self.needs: tuple[Need, ...] = ()
        self.times: list[float] = []
        self.alone: list[Emitted] = []

    def run(self) -> list[Check]:
        declared = [
            self._check("is a node", self._is_node),
            self._check("documented", self._documented),
            self._check("ports", self._ports),
            self._check("parameters", self._parameters),
        ]
        if not all(check.ok for check in declared if check.name != "documented"):
            return declared
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of read-only arrays, which are what containers send
            lifecycle = self._check("lifecycle", self._lifecycle)
            if not lifecycle.ok:
                return [*declared, lifecycle]
            step = self._check("step", self._step)
            if not step.ok:
                return [*declared, lifecycle, step]
            rest = [
                self._check("repeatable", self._repeatable),
                self._check("sessions apart", self._sessions_apart),
                self._check("snapshot", self._snapshot),
                self._check("arrays", self._arrays),
            ]
            if self.needs:
                rest.append(self._check("boxes", self._boxes))
            if self._reads(Features) and Handles in self.cls.outputs.values():
                rest.append(self._check("tracking", self._tracking))
        rest.append(Check("time", True, f"{statistics.median(self.times) * 1e3:.2f} ms a turn"))
        return [*declared, lifecycle, step, *rest]

    @staticmethod
    def _check(name: str, look: Callable[[], str]) -> Check:
        try:
            return Check(name, True, look())
        except BrokenError as broken:
            return Check(name, False, str(broken))

    # -- what it declares --------------------------------------------------------------------------------------

    def _is_node(self) -> str:
        if not (isinstance(self.cls, type) and issubclass(self.cls, Node)):
            raise BrokenError("is not a subclass of draggan_runtime.node.Node")
        return f"{self.cls.__module__}:{self.cls.__qualname__}"

    def _documented(self) -> str:
        text = summary(self.cls)
        if not text:
            raise BrokenError("has no docstring; say in its first line what it does")
        return text

    def _ports(self) -> str:
        inputs, outputs = self.cls.inputs, self.cls.outputs
        if not isinstance(inputs, Mapping) or not isinstance(outputs, Mapping):
            raise BrokenError("inputs and outputs must be dictionaries")
        for name, port in inputs.items():
            if not isinstance(port, Input):
                raise BrokenError(f"input '{name}' must be sync(...), latched(...) or event(...) of a message type")
            if not _is_message(port.type):
                raise BrokenError(f"input '{name}' takes {port.type!r}, which is not a message type")
        for name, kind in outputs.items():
            if not _is_message(kind):
                raise BrokenError(f"output '{name}' gives {kind!r}, which is not a message type")
        for name in [*inputs, *outputs]:
            if not isinstance(name, str) or not name.isidentifier():
                raise BrokenError(f"port '{name}' is no plain word")
        steps = any(port.role in ("sync", "event") for port in inputs.values())
        if not steps and not self.cls.polls:
            raise BrokenError("nothing makes it step: give it a sync or event input, or set polls = True")
        if steps and self.cls.step is Node.step:
            raise BrokenError("has sync or event inputs but no step method")
        if self.cls.polls and self.cls.poll is Node.poll:
            raise BrokenError("sets polls = True but has no poll method")
        return f"in: {', '.join(inputs) or 'none'}; out: {', '.join(outputs) or 'none'}"

    def _parameters(self) -> str:
        params = self.cls.Params
        if not (isinstance(params, type) and issubclass(params, NodeParams)):
            raise BrokenError("Params must be a subclass of NodeParams")
        if "impl" in params.model_fields:
            raise BrokenError("no parameter may be called impl: --set node.impl=... chooses the implementation")
        for name in self.cls.fixed:
            if name not in params.model_fields:
                raise BrokenError(f"fixed names '{name}', which is not a parameter")
        try:
            self.params = validated(self.cls, self.given)
        except ParamError as error:
            hint = "" if error.name in self.given else f"; give one with --set {error.name}=..."
            raise BrokenError(error.text(self.cls.__name__) + hint) from error
        try:
            params.model_validate({**self.given, "no_such_parameter_": 0})
        except ValidationError:
            pass
        else:
            raise BrokenError("accepts unknown parameters; keep NodeParams' model_config")
        needs = self.cls.needs(self.params)
        for port, need in needs.items():
            if port not in self.cls.inputs:
                raise BrokenError(f"needs() names '{port}', which is not an input")
            if not isinstance(need, Need) or not need.reach >= 0:
                raise BrokenError(f"needs() gives {need!r} for '{port}', which is not a Need")
        self.needs = tuple(needs.values())
        return f"{', '.join(params.model_fields) or 'none'}; unknown ones are refused"

    # -- what it does ------------------------------------------------------------------------------------------

    def _lifecycle(self) -> str:
        for _ in range(2):
            with self._node():
                pass
        return "configure, activate, deactivate, cleanup, twice"

    @contextmanager
    def _node(self) -> Iterator[Node]:
        makes_features = [name for name, kind in self.cls.outputs.items() if kind is Features]
        context = Context("checked", "cpu", {name: (Need("64", 12.0),) for name in makes_features})
        stage = "prepare"
        try:
            self.cls.prepare(self.params)
            stage = "__init__"
            node = self.cls(self.params, context)
            for stage in ("configure", "activate"):
                getattr(node, stage)()
        except Exception as error:
            raise BrokenError(f"{stage} raised {said(error, self.cls)}") from error
        yield node
        try:
            for stage in ("deactivate", "cleanup"):
                getattr(node, stage)()
        except Exception as error:
            raise BrokenError(f"{stage} raised {said(error, self.cls)}") from error

    def _step(self) -> str:
        with self._node() as node:
            run = Run(node, self._session("a", 1))
            for step in range(STEPS):
                self.alone.append(run.beat(step, watch_inputs=True))
            self.times = run.times
        count = sum(len(emitted) for emitted in self.alone)
        ports = dict.fromkeys(port for emitted in self.alone for port, _ in emitted)
        if not count:
            return f"ran {STEPS} steps, emitted nothing"
        return f"{count} messages in {STEPS} steps, on {', '.join(ports)}"

    def _repeatable(self) -> str:
        with self._node() as node:
            run = Run(node, self._session("a", 1))
            self._same([run.beat(step) for step in range(STEPS)], "the same inputs gave different outputs", 0)
        return "the same inputs give the same outputs"

    def _sessions_apart(self) -> str:
        with self._node() as node:
            a, b = Run(node, self._session("a", 1)), Run(node, self._session("b", 2))
            outputs = []
            for step in range(STEPS):
                if step % 2:
                    b.beat(step)
                    outputs.append(a.beat(step))
                else:  # now one is first, now the other
                    first, second = (a, b) if step % 4 == 0 else (b, a)
                    both = together(node, first, second, step)
                    outputs.append(both[0] if first is a else both[1])
        self._same(
            outputs,
            "another session at the same time changed this one's outputs; keep what belongs to a session in "
            "turn.state, not in self",
            _ROUNDING,
        )
        return "two sessions, alternating and in one step, do not touch each other"

    def _snapshot(self) -> str:
        middle = STEPS // 2
        with self._node() as first:
            run = Run(first, self._session("a", 1))
            outputs = [run.beat(step) for step in range(middle)]
            try:
                data = first.snapshot(run.state)
                packed = wire.pack(data)
                data = wire.unpack(packed)
            except (TypeError, ValueError, WireError, AttributeError) as error:
                raise BrokenError(f"snapshot cannot be saved: {said(error, self.cls)}") from error
            session = copy.deepcopy(run.session)
        with self._node() as second:
            try:
                state = second.restore(data)
            except Exception as error:
                raise BrokenError(f"restore raised {said(error, self.cls)}") from error
            run = Run(second, session, state)
            outputs += [run.beat(step) for step in range(middle, STEPS)]
        alone = self.alone
        if self.cls.polls:
            alone, outputs = _without_repeats(alone), _without_repeats(outputs)
        if found := difference(alone, outputs, 0):
            raise BrokenError(
                "after snapshot and restore the outputs differ; keep everything a session needs in its state, and in "
                f"its snapshot: {found}"
            )
        return f"continues exactly from a snapshot of {len(packed)} bytes"

    def _arrays(self) -> str:
        with self._node() as node:
            run = Run(node, self._session("a", 1), convert=as_read_only)
            outputs = [run.beat(step) for step in range(STEPS)]
        self._same(outputs, "numpy inputs gave other outputs than torch inputs", 0)
        return "takes torch tensors and read-only numpy arrays alike"

    def _boxes(self) -> str:
        """Whole maps and boxes of the declared reach must serve alike; without a mask, which needs whole maps."""
        outputs = []
        for crop_boxes in (False, True):
            with self._node() as node:
                run = Run(node, SyntheticSession("a", 1, self.needs, crop_boxes=crop_boxes, masked=False))
                try:
                    outputs.append([_without_boxes(run.beat(step)) for step in range(STEPS)])
                except BrokenError as broken:
                    raise BrokenError(f"with only the boxes that needs() asks for: {broken}") from broken
        found = difference(outputs[0], outputs[1], _ROUNDING)
        if found:
            raise BrokenError(f"boxes of the declared reach gave other outputs than whole maps: {found}")
        more = f", and asked for more in {run.asked} of {STEPS} steps" if run.asked else ""
        return f"reads within {', '.join(f'{n.reach:g} px of level {n.level}' for n in self.needs)}{more}"

    def _tracking(self) -> str:
        session = self._session("a", 1)
        last = [m for _, m in self.alone[-1] if isinstance(m, Handles)]
        if not last:
            raise BrokenError("emitted no handles for the last step")
        true = session.positions(STEPS - 1)
        if last[-1].positions.keys() != true.keys():
            raise BrokenError(f"gives points {sorted(last[-1].positions)} where the goal has {sorted(true)}")
        far = max(math.dist(last[-1].positions[i], xy) for i, xy in true.items())
        way = SPEED * (STEPS - 1)
        if not far <= 1.01 * way:
            raise BrokenError(
                f"the picture moved {way:.1f} px, and the handles are {far:.1f} px off: worse than unmoved"
            )
        return f"after {STEPS - 1} steps of {SPEED} px the handles are {far:.3f} px off"

    # -- helpers -----------------------------------------------------------------------------------------------

    def _session(self, name: str, seed: int) -> SyntheticSession:
        return SyntheticSession(name, seed, self.needs)

    def _reads(self, kind: type[Message]) -> bool:
        return any(port.type is kind for port in self.cls.inputs.values())

    def _same(self, outputs: list[Emitted], otherwise: str, tolerance: float) -> None:
        found = difference(self.alone, outputs, tolerance)
        if found:
            raise BrokenError(f"{otherwise}: {found}")


def _is_message(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Message)


def _without_boxes(emitted: Emitted) -> Emitted:
    """What must not depend on the boxes: gradients have their shapes, and so only their loss is kept."""
    return [
        (port, replace(message, levels={}) if isinstance(message, FeatureGradient) else message)
        for port, message in emitted
        if not isinstance(message, NeedBoxes)
    ]


def _without_repeats(outputs: list[Emitted]) -> list[Emitted]:
    """Without messages that say what their port said before: a new window may tell its size again."""
    said_last: dict[str, Message] = {}
    kept = []
    for emitted in outputs:
        news: Emitted = []
        for port, message in emitted:
            before = said_last.get(port)
            if before is None or difference(replace(before, step=message.step), message, 0):
                news.append((port, message))
            said_last[port] = message
        kept.append(news)
    return kept
