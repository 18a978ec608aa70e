"""A tiny graph with the loop of a drag, in numpy: for tests of the runtime alone.

The "latent" is the handle's position itself; the generator moves it against the gradient. Exact arithmetic, no torch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from draggan_runtime.errors import UserError
from draggan_runtime.graph.model import ContainerSpec, Edge, Qos, ResolvedGraph, ResolvedNode, Restart
from draggan_runtime.messages import (
    Begin,
    Box,
    Command,
    FeatureGradient,
    Features,
    Frame,
    Goal,
    Handles,
    Latent,
    LatentRequest,
    Mask,
    Progress,
)
from draggan_runtime.node import Node, NodeParams, event, latched, sync
from draggan_runtime.registry import ImplRef, resolve

SIZE = (512, 512)


class Capture(Node):
    outputs = {"request": LatentRequest, "goal": Goal, "mask": Mask, "command": Command}


class Source(Node):
    inputs = {"request": event(LatentRequest)}
    outputs = {"latent": Latent}

    def step(self, turns):
        for turn in turns:
            request = turn["request"]
            values = request.w_plus
            if values is None:
                values = np.full((1, 2), float(request.seed), dtype=np.float32)
            latent = Latent(session=turn.session, step=turn.step, space="w_plus", values=values)
            turn.emit("latent", latent)


class Generator(Node):
    class Params(NodeParams):
        rate: float = 1.0
        wall: float = float("inf")  # px: whoever comes so far to the right is thrown back by 7
        slow: float = 0.0
        broken_configure: str = ""
        hang: float = 0.0

    @dataclass
    class State:
        values: object = None
        step: int = 0

    inputs = {
        "latent": event(Latent),
        "begin": event(Begin),
        "gradient": event(FeatureGradient),
        "goal": latched(Goal, optional=True),
    }
    outputs = {"latent": Latent, "features": Features}

    def configure(self):
        time.sleep(self.params.hang)
        if self.params.broken_configure:
            raise RuntimeError(self.params.broken_configure)

    def change(self, params):
        if params.rate < 0:
            raise UserError("the rate is below 0")
        super().change(params)

    def step(self, turns):
        for turn in turns:
            state = turn.state
            if turn.get("latent"):
                state.values, state.step = np.array(turn["latent"].values), turn.step
                self._latent(turn)
            elif turn.get("begin"):
                self._latent(turn)
                self._features(turn, reference=not turn["begin"].resume)
            else:
                time.sleep(self.params.slow)
                gradient = turn["gradient"].levels["toy"][0]
                state.values = state.values - self.params.rate * gradient.reshape(1, 2).astype(np.float32)
                if state.values[0, 0] >= self.params.wall:
                    state.values[0, 0] -= 7.0
                state.step += 1
                self._latent(turn)
                self._features(turn)

    def _latent(self, turn):
        state = turn.state
        turn.emit("latent", Latent(session=turn.session, step=state.step, space="w_plus", values=state.values))

    def _features(self, turn, reference=False):
        box = Box(turn.state.values.reshape(2, 1, 1), (0, 0), 512.0, (1, 1))
        turn.emit(
            "features",
            Features(
                session=turn.session,
                step=turn.state.step,
                size=SIZE,
                levels={"toy": (box,)},
                reference=reference,
            ),
        )


class Tracker(Node):
    class Params(NodeParams):
        fail_at: int = -1
        offset: float = 0.0

    inputs = {"features": sync(Features), "goal": latched(Goal)}
    outputs = {"handles": Handles}

    def step(self, turns):
        for turn in turns:
            if turn.step == self.params.fail_at:
                raise ValueError("the toy tracker broke")
            x, y = turn["features"].levels["toy"][0].values.reshape(2)
            positions = {p.id: (float(x) + self.params.offset, float(y)) for p in turn["goal"].points}
            turn.emit(
                "handles",
                Handles(
                    session=turn.session,
                    step=turn.step,
                    positions=positions,
                    confidence={id: self.confidence(i) for i, id in enumerate(positions)},
                    size=SIZE,
                ),
            )

    def confidence(self, i):
        return 1.0


class Unsure(Tracker):
    """Sure of all points but the first ``unsure``."""

    class Params(Tracker.Params):
        unsure: int = 0

    def confidence(self, i):
        return float(i >= self.params.unsure)


class Shifted(Tracker):
    """Another tracker: without ``offset``, and always by 50 px."""

    class Params(NodeParams):
        fail_at: int = -1

        @property
        def offset(self):
            return 50.0


class Stuck(Shifted):
    def configure(self):
        raise RuntimeError("no weights")


class Deaf(Tracker):
    """Has no use for a goal."""

    inputs = {"features": sync(Features)}


class Remembering(Tracker):
    """Keeps a state that no other tracker knows."""

    @dataclass
    class State:
        seen: int = 0


class Motion(Node):
    inputs = {"features": sync(Features), "handles": sync(Handles), "goal": latched(Goal)}
    outputs = {"gradient": FeatureGradient}

    def step(self, turns):
        for turn in turns:
            goal = turn["goal"].points[0]
            delta = np.subtract(turn["handles"].positions[goal.id], goal.target)
            unit = delta / max(1.0, float(np.hypot(*delta)))
            turn.emit(
                "gradient",
                FeatureGradient(
                    session=turn.session,
                    step=turn.step,
                    levels={"toy": (unit.reshape(2, 1, 1),)},
                    loss=float(np.hypot(*delta)),
                ),
            )


class Renderer(Node):
    class Params(NodeParams):
        seconds: float = 0.0

    inputs = {"latent": event(Latent)}
    outputs = {"frame": Frame}

    def step(self, turns):
        for turn in turns:
            time.sleep(self.params.seconds)
            image = np.zeros((4, 4, 3), np.uint8)
            image[0, 0, 0] = int(turn["latent"].values[0, 0]) % 256
            turn.emit("frame", Frame(session=turn.session, step=turn.step, image=image))


class Display(Node):
    class Params(NodeParams):
        log: str = ""

    inputs = {"frame": event(Frame), "progress": event(Progress)}

    def step(self, turns):
        for turn in turns:
            if self.params.log:
                with open(self.params.log, "a") as file:
                    file.write(f"{'frame' if turn.get('frame') else 'progress'} {turn.step}\n")


IMPL = {
    "capture": "Capture",
    "source": "Source",
    "generator": "Generator",
    "tracker": "Tracker",
    "motion": "Motion",
    "renderer": "Renderer",
    "display": "Display",
}
NODES = ("capture", "source", "generator", "tracker", "motion", "drag", "renderer", "session", "display")
LATEST = Qos("latest", 1, 0.25)
EDGES = (
    Edge("capture", "request", "source", "request"),
    Edge("source", "latent", "generator", "latent"),
    Edge("capture", "goal", "tracker", "goal"),
    Edge("capture", "goal", "motion", "goal"),
    Edge("capture", "goal", "generator", "goal"),
    Edge("capture", "goal", "drag", "goal"),
    Edge("capture", "goal", "session", "goal"),
    Edge("drag", "begin", "generator", "begin"),
    Edge("drag", "gradient", "generator", "gradient"),
    Edge("drag", "latent", "generator", "latent"),
    Edge("generator", "features", "tracker", "features"),
    Edge("generator", "features", "motion", "features"),
    Edge("generator", "latent", "drag", "latent"),
    Edge("generator", "latent", "session", "latent"),
    Edge("capture", "request", "session", "request"),
    Edge("generator", "latent", "renderer", "latent", LATEST),
    Edge("tracker", "handles", "motion", "handles"),
    Edge("tracker", "handles", "drag", "handles"),
    Edge("motion", "gradient", "drag", "gradient"),
    Edge("renderer", "frame", "display", "frame"),
    Edge("renderer", "frame", "session", "frame"),
    Edge("drag", "progress", "display", "progress"),
)
HOME = ("source", "generator", "tracker", "motion", "drag", "renderer")
UI = ("capture", "display", "session")
LAYOUTS = {
    "local": {"main": NODES},
    "live": {"ui": UI, "engine": HOME},
    "split": {
        "ui": UI,
        "engine": ("source", "generator", "drag", "renderer"),
        "follow": ("tracker", "motion"),
    },
    "spread": {
        "ui": UI,
        "generator": ("generator", "drag"),
        "source": ("source",),
        "tracker": ("tracker",),
        "motion": ("motion",),
        "renderer": ("renderer",),
    },
}


def unsure_of(graph: ResolvedGraph, points: int) -> ResolvedGraph:
    """The graph with a tracker that is unsure of so many points."""
    tracker = ResolvedNode("tracker", ImplRef("toy:Unsure", f"{Path(__file__).resolve()}:Unsure"), {"unsure": points})
    return replace(graph, nodes={**graph.nodes, "tracker": tracker})


def toy_graph(
    layout: str = "local", restart: Restart | None = None, labels: dict[str, dict] | None = None, **params: dict
) -> ResolvedGraph:
    """The toy drag in a layout of LAYOUTS; ``labels`` by container, ``params`` by node id."""
    path = Path(__file__).resolve()
    nodes = {}
    for node in NODES:
        ours = IMPL.get(node)
        ref = ImplRef(f"toy:{ours}", f"{path}:{ours}") if ours else resolve(f"runtime/{node}").ref
        nodes[node] = ResolvedNode(node, ref, params.get(node, {}))
    containers = {
        name: ContainerSpec(
            name,
            "driver" if "display" in members else "actor",
            members,
            restart=restart or Restart(),
            labels=(labels or {}).get(name, {}),
            device="cpu",
        )
        for name, members in LAYOUTS[layout].items()
    }
    return ResolvedGraph("toy", nodes, EDGES, containers)
