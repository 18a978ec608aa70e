"""The contract test: sound nodes pass, and each way of breaking the contract is caught and named."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from graph_helpers import Files

from draggan_runtime.boxes import sample
from draggan_runtime.checking.session import SPEED, SyntheticSession
from draggan_runtime.errors import UserError
from draggan_runtime.messages import Features
from draggan_runtime.node import Need
from draggan_runtime.node_check import Check, check_node

TRACKER = '''
"""A tracker in a file of its own: the best match of the handle's features on a grid of half pixels."""
from dataclasses import dataclass, field

import numpy as np
import torch

from draggan_runtime.boxes import sample
from draggan_runtime.messages import Features, Goal, Handles
from draggan_runtime.node import Need, Node, NodeParams, latched, sync


class Params(NodeParams):
    reach: float = 4.0


@dataclass
class State:
    templates: dict = field(default_factory=dict)
    positions: dict = field(default_factory=dict)


class Mine(Node):
    """Follows each handle to its best match."""

    Params = Params
    State = State
    inputs = {"features": sync(Features), "goal": latched(Goal)}
    outputs = {"handles": Handles}

    @classmethod
    def needs(cls, params):
        return {"features": Need("64", params.reach)}

    def step(self, turns):
        for turn in turns:
            features, state = turn["features"], turn.state
            for point in turn["goal"].points:
                if features.reference or point.id not in state.templates:
                    state.positions[point.id] = point.handle
                    state.templates[point.id] = self.look(features, np.array([point.handle]))[0]
                else:
                    state.positions[point.id] = self.find(features, state, point.id)
            self.send(turn, features, state)

    def find(self, features, state, id):
        offsets = np.mgrid[-4:4.5:0.5, -4:4.5:0.5].reshape(2, -1).T
        places = np.array(state.positions[id]) + offsets * (self.params.reach - 1) / 4
        far = (self.look(features, places) - torch.as_tensor(state.templates[id])).abs().sum(1)
        return tuple(places[int(far.argmin())].tolist())

    def look(self, features, places):
        for box in features.levels["64"]:
            try:
                return sample(box, places)
            except ValueError:
                pass
        raise ValueError("no box covers the places")

    def send(self, turn, features, state):
        turn.emit("handles", Handles(session=turn.session, step=turn.step, size=features.size,
                                     positions=dict(state.positions), confidence={i: 1.0 for i in state.positions}))
'''


STEP = "    def step(self, turns):"


def failures(checks: list[Check]) -> dict[str, str]:
    assert all("\n" not in check.message for check in checks)
    return {check.name: check.message for check in checks if not check.ok}


def broken(files: Files, *changes: tuple[str, str]) -> dict[str, str]:
    text = TRACKER
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    files.write("mine.py", text)
    return failures(check_node("mine.py:Mine"))


def test_a_tracker_in_a_file_of_one_s_own_passes(files: Files) -> None:
    files.write("mine.py", TRACKER)
    checks = check_node("mine.py:Mine")
    assert failures(checks) == {}
    names = [check.name for check in checks]
    assert names == [
        "is a node", "documented", "ports", "parameters", "lifecycle", "step", "repeatable", "sessions apart",
        "snapshot", "arrays", "boxes", "tracking", "time",
    ]  # fmt: skip


def test_the_picture_moves_as_said() -> None:
    """The features at a moved handle are those at the handle, to the error of bilinear sampling."""
    session = SyntheticSession("a", 3, [Need("256", 8.0)])

    def look(step: int) -> torch.Tensor:
        features = session.message(Features, step)
        assert isinstance(features, Features)
        return sample(features.levels["256"][0], np.array(list(session.positions(step).values())))

    first, fifth = look(0), look(5)
    assert float((first - fifth).abs().max()) < 0.01
    moved = np.subtract(session.positions(5)[1], session.positions(0)[1])
    assert float(np.hypot(*moved)) == pytest.approx(5 * SPEED)


def test_an_undeclared_port(files: Files) -> None:
    assert broken(files, ('turn.emit("handles"', 'turn.emit("handels"')) == {
        "step": "emitted on 'handels', which it does not declare; its outputs: handles"
    }


def test_a_message_of_another_type(files: Files) -> None:
    assert broken(files, ('outputs = {"handles": Handles}', 'outputs = {"handles": Goal}')) == {
        "step": "output 'handles' gives Goal, but Handles was emitted"
    }


def test_a_wrong_session_or_step(files: Files) -> None:
    assert broken(files, ("session=turn.session", "session='mine'")) == {
        "step": "'handles': session is 'mine', but the turn's is 'a'"
    }
    assert broken(files, ("step=turn.step", "step=turn.step + 1")) == {
        "step": "'handles': step is 1, but the turn's is 0"
    }


def test_state_kept_in_self(files: Files) -> None:
    found = broken(
        files,
        ('features, state = turn["features"], turn.state', 'features, state = turn["features"], self.kept'),
        (
            "    def step(self, turns):",
            "    def configure(self):\n        self.kept = State()\n\n    def step(self, turns):",
        ),
    )
    assert "another session at the same time changed this one's outputs" in found["sessions apart"]
    assert "after snapshot and restore the outputs differ" in found["snapshot"]


def test_state_kept_in_self_by_session_is_not_in_the_snapshot(files: Files) -> None:
    found = broken(
        files,
        ('turn["features"], turn.state', 'turn["features"], self.kept.setdefault(turn.session, State())'),
        (STEP, "    def configure(self):\n        self.kept = {}\n\n" + STEP),
    )
    assert list(found) == ["snapshot"]


def test_a_state_that_all_sessions_share(files: Files) -> None:
    found = broken(
        files,
        ("field(default_factory=dict)\n    positions", "field(default_factory=lambda: SHARED)\n    positions"),
        ("@dataclass\n", "SHARED = {}\n\n\n@dataclass\n"),
    )
    assert "sessions apart" in found


def test_changed_inputs(files: Files) -> None:
    found = broken(
        files, ("            self.send(", "            features.levels['64'][0].values.add_(1)\n            self.send(")
    )
    assert found["step"].startswith("changes its inputs: [features].levels[64][0].values is off by 1")


def test_a_step_that_raises(files: Files) -> None:
    found = broken(files, ('features.levels["64"]', 'features.levels["32"]'))
    line = next(i for i, text in enumerate(TRACKER.strip().splitlines(), 1) if 'levels["64"]' in text)
    assert found == {"step": f"step raised KeyError: '32' ({files.folder.resolve()}/mine.py:{line})"}


def test_reading_beyond_what_it_says_it_needs(files: Files) -> None:
    found = broken(
        files, ('Need("64", params.reach)', 'Need("64", 1.0)'), ("reach: float = 4.0", "reach: float = 40.0")
    )
    assert list(found) == ["boxes"]
    assert found["boxes"].startswith("with only the boxes that needs() asks for: step raised ValueError: no box covers")


def test_handles_in_the_wrong_coordinates(files: Files) -> None:
    found = broken(
        files,
        ("positions=dict(state.positions)", "positions={i: (x / 8, y / 8) for i, (x, y) in state.positions.items()}"),
    )
    assert list(found) == ["tracking"]
    assert "worse than unmoved" in found["tracking"]


def test_handles_of_other_points(files: Files) -> None:
    found = broken(files, ("positions=dict(state.positions)", "positions={1: (0.0, 0.0)}"))
    assert found == {"tracking": "gives points [1] where the goal has [1, 2]"}


def test_chance(files: Files) -> None:
    found = broken(files, ("offsets * (self.params.reach - 1) / 4", "offsets * np.random.rand()"))
    assert "the same inputs gave different outputs: [1][0][1].positions[1]" in found["repeatable"]


def test_torch_only(files: Files) -> None:
    found = broken(
        files,
        (
            "                return sample(box, places)",
            "                box.values.numpy()\n                return sample(box, places)",
        ),
    )
    assert list(found) == ["arrays"]
    assert "'numpy.ndarray' object has no attribute 'numpy'" in found["arrays"]


def test_a_snapshot_that_cannot_be_saved(files: Files) -> None:
    found = broken(
        files,
        (
            "positions: dict = field(default_factory=dict)",
            "positions: dict = field(default_factory=dict)\n    lock: object = field(default_factory=object)",
        ),
    )
    assert list(found) == ["snapshot"]
    assert found["snapshot"].startswith("snapshot cannot be saved: TypeError: object cannot be saved or sent")


def test_a_configure_that_fails(files: Files) -> None:
    found = broken(
        files,
        (
            "    def step(self, turns):",
            "    def configure(self):\n        raise OSError('no device')\n\n    def step(self, turns):",
        ),
    )
    assert list(found) == ["lifecycle"]
    assert found["lifecycle"].startswith("configure raised OSError: no device (")


DECLARED = [
    ('    """Follows each handle to its best match."""\n', "", "documented", "has no docstring"),
    ("sync(Features)", "Features", "ports", "input 'features' must be sync(...), latched(...) or event(...)"),
    ("sync(Features)", "sync(int)", "ports", "input 'features' takes <class 'int'>, which is not a message type"),
    ("sync(Features)", "latched(Features)", "ports", "nothing makes it step"),
    ('{"handles": Handles}', '{"handles": "Handles"}', "ports", "output 'handles' gives 'Handles', which is not"),
    ("def step(", "def stop(", "ports", "has sync or event inputs but no step method"),
    (
        "reach: float = 4.0",
        "reach: float",
        "parameters",
        "'reach' of Mine is required; it is float; give one with --set reach=...",
    ),
    ("reach: float = 4.0", "reach: float = 4.0\n    impl: str = ''", "parameters", "no parameter may be called impl"),
    (
        "reach: float = 4.0",
        "reach: float = 4.0\n    model_config = {'extra': 'allow'}",
        "parameters",
        "accepts unknown parameters",
    ),
    ("class Params(NodeParams)", "class Params", "parameters", "Params must be a subclass of NodeParams"),
    ('{"features": Need(', '{"feature": Need(', "parameters", "needs() names 'feature', which is not an input"),
    ("    State = State\n", "    State = State\n    fixed = frozenset({'size'})\n", "parameters", "fixed names 'size'"),
]


@pytest.mark.parametrize(("old", "new", "name", "message"), DECLARED)
def test_declarations_are_looked_at_before_anything_runs(
    files: Files, old: str, new: str, name: str, message: str
) -> None:
    found = broken(files, (old, new))
    assert list(found) == [name]
    assert found[name].startswith(message)


def test_what_is_no_node_is_said_in_a_line(files: Files) -> None:
    files.write("mine.py", "class Mine: pass\n")
    assert failures(check_node("mine.py:Mine")) == {
        "is a node": "mine.py:Mine: Mine is not a node; make it a subclass of draggan_runtime.node.Node"
    }
    assert "is a node" in failures(check_node("tracking/nearst"))
    with pytest.raises(UserError, match="the runtime's own"):
        check_node("runtime/drag")


@pytest.mark.parametrize(
    "impl",
    [
        "tracking/nearest",
        "tracking/none",
        "motion/supervision",
        "inversion/latent",
        "inversion/optimise",
        "inversion/paste",
        "capture/script",
        "display/files",
    ],
)
def test_the_project_s_nodes_pass(impl: str) -> None:
    assert failures(check_node(impl)) == {}


def test_the_trackers_find_what_moved() -> None:
    def off(impl: str) -> float:
        message = next(check.message for check in check_node(impl) if check.name == "tracking")
        return float(message.split(" are ")[1].split(" px ")[0])

    assert off("tracking/nearest") < 0.2
    assert off("tracking/none") == pytest.approx(5 * (SPEED - 1), abs=1e-2)


POLLER = '''
from draggan_runtime.messages import Command, View
from draggan_runtime.node import Node


class Mine(Node):
    """Tells how its window lies, and that it was closed."""

    outputs = {"view": View, "command": Command}
    polls = True

    def configure(self):
        self.told = set()

    def poll(self, turn):
        if turn.session not in self.told:
            self.told.add(turn.session)
            turn.emit("view", View(session=turn.session, step=turn.step, scale=1.0, size=(512, 512)))
        if turn.step == 4:
            turn.emit("command", Command(session=turn.session, step=turn.step, verb="quit"))
'''


def test_a_new_window_may_tell_its_size_again(files: Files) -> None:
    files.write("mine.py", POLLER)
    assert failures(check_node("mine.py:Mine")) == {}


def test_but_not_say_something_else(files: Files) -> None:
    files.write("mine.py", POLLER.replace("scale=1.0", "scale=1.0 + turn.step"))
    assert list(failures(check_node("mine.py:Mine"))) == ["snapshot"]
