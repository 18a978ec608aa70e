"""A small world of nodes for tests of graph files: a source, a middle that waits, a sink, all without work."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from draggan_runtime.errors import UserError
from draggan_runtime.graph import load_launch
from draggan_runtime.graph.model import ResolvedGraph

PARTS = '''
from pydantic import Field

from draggan_runtime.messages import Features, Frame, Goal, Handles, Message
from draggan_runtime.node import Need, Node, NodeParams, event, latched, sync


class Camera(Node):
    """Gives goals and features."""
    outputs = {"goal": Goal, "features": Features}
    polls = True


class Follow(Node):
    """Follows features."""
    class Params(NodeParams):
        radius: float = Field(12.0, gt=0, le=128)
        count: int = 3
        name: str | None = None
        options: dict[str, float] = {}
    inputs = {"features": sync(Features), "goal": latched(Goal)}
    outputs = {"handles": Handles, "extra": Handles}
    fixed = frozenset({"count"})

    @classmethod
    def needs(cls, params):
        return {"features": Need("64", params.radius)}


class Bare(Node):
    """Follows features, and takes no parameters but a strength."""
    class Params(NodeParams):
        strength: float = 1.0
    inputs = {"features": sync(Features)}
    outputs = {"handles": Handles}


class Demanding(Node):
    """Has a parameter without a default."""
    class Params(NodeParams):
        path: str
    inputs = {"goal": event(Goal)}


class Look(Node):
    """Takes whatever there is."""
    inputs = {"any": event(Message, optional=True), "last": latched(Handles, optional=True)}


class Join(Node):
    """Waits for two handles of a step."""
    inputs = {"a": sync(Handles), "b": sync(Handles, optional=True)}
    outputs = {"handles": Handles}


class Paint(Node):
    """Draws handles."""
    inputs = {"handles": event(Handles)}
    outputs = {"frame": Frame}


class Show(Node):
    """Shows frames."""
    inputs = {"frame": event(Frame)}
'''

GRAPH = """
    version: 1
    name: toy
    nodes:
      - {id: camera, impl: "parts.py:Camera"}
      - id: follow
        impl: parts.py:Follow
        params: {radius: 10}
        inputs: {features: camera/features, goal: camera/goal}
      - {id: look, impl: "parts.py:Look", inputs: {any: follow/extra, last: follow/handles}}
    """


class Files:
    """Writes files into the test's folder and loads them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    def load(self, text: str, *overrides: str, name: str = "file.yaml") -> ResolvedGraph:
        self.write(name, text)
        return load_launch(name, overrides)

    def error(self, text: str, *overrides: str, name: str = "file.yaml") -> str:
        """The one line that loading ``text`` ends with."""
        with pytest.raises(UserError) as caught:
            self.load(text, *overrides, name=name)
        assert "\n" not in str(caught.value)
        return str(caught.value)
