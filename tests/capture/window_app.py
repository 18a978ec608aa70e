"""The window's capture and display nodes in one loop, with a stand-in engine; run by test_hand_in_window.py in a
subprocess.

Says each message they emit as a line of JSON. The engine moves every handle a tenth of its way per step. A line of
JSON on stdin is a message of the session: {"port": "points" | "movable" | "inverting" | "notice", ...}.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from typing import Any

import numpy as np
from draggan_nodes.capture.window import WindowCapture
from draggan_nodes.display.window import WindowDisplay

from draggan_runtime.messages import Frame, Goal, Inverting, Mask, Notice, PointPair, Progress
from draggan_runtime.node import Context, Turn

SIZE = 1024
STEPS = 10


def picture() -> np.ndarray:
    """Grey, brighter downwards."""
    rows = np.linspace(60, 200, SIZE).astype(np.uint8)
    return np.broadcast_to(rows[:, None, None], (SIZE, SIZE, 3)).copy()


def progress_of(goal: Any, step: int, stopped: Any) -> Progress:
    t = step / STEPS
    handles = {
        p.id: (p.handle[0] + t * (p.target[0] - p.handle[0]), p.handle[1] + t * (p.target[1] - p.handle[1]))
        for p in goal.points
    }
    distances = {p.id: float(np.hypot(*np.subtract(handles[p.id], p.target))) for p in goal.points}
    return Progress(
        session="s", step=step, drag_steps=step, handles=handles, distances=distances, confidence={}, loss=0.5,
        w_plus=np.zeros((1, 1)), seconds=step / 10, stopped=stopped,
    )  # fmt: skip


def plain(message: Any) -> dict[str, Any]:
    fields = {k: v for k, v in vars(message).items() if k not in ("session", "step", "w_plus", "movable")}
    if "points" in fields:
        fields["points"] = [[p.id, *p.handle, *p.target] for p in fields["points"]]
    if hasattr(fields.get("photo"), "shape"):
        fields["photo"] = list(message.photo.shape)
    if isinstance(message, Mask):
        fields["none"] = message.movable is None
        if message.movable is not None:
            rows, columns = np.nonzero(message.movable)
            fields["shape"], fields["count"] = list(message.movable.shape), int(message.movable.sum())
            fields["box"] = [int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())]
    return fields


def said_by_session(line: dict[str, Any]) -> Any:
    if line["port"] == "points":
        return Goal(session="s", points=tuple(PointPair(i, (a, b), (c, d)) for i, a, b, c, d in line["points"]))
    if line["port"] == "movable":
        movable = np.zeros((SIZE, SIZE), np.uint8)
        x0, y0, x1, y1 = line["box"]
        movable[y0 : y1 + 1, x0 : x1 + 1] = 1
        return Mask(session="s", movable=movable)
    if line["port"] == "inverting":
        of_search = {"of": 80, "distance": 0.5, "by": "pixels", **line}
        return Inverting(session="s", **{k: v for k, v in of_search.items() if k != "port"})
    return Notice(session="s", text=line["text"], problem=line.get("problem", False))


class App:
    """Capture and display tied together as in launch/live.yaml."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.pace = params.get("pace", 0.05)
        self.capture = WindowCapture(WindowCapture.Params(**params.get("capture", {})), Context("capture"))
        self.display = WindowDisplay(WindowDisplay.Params(**params.get("display", {})), Context("display"))
        self.nodes = {"capture": self.capture, "display": self.display}
        self.states = {name: node.new_state() for name, node in self.nodes.items()}
        self.latched: dict[str, Any] = {}
        self.lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self.image, self.steps, self.running, self.quitting, self.polls = picture(), 0, False, False, 0
        for node in self.nodes.values():
            node.configure()
            node.activate()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            self.lines.put(json.loads(line))

    def run(self) -> None:
        last_step = time.monotonic()
        while not self.quitting:
            self.polls += 1
            while not self.lines.empty():
                self.session(said_by_session(line := self.lines.get()), line["port"])
            for name in self.nodes:
                self.poll(name)
            if self.running and time.monotonic() - last_step > self.pace:
                last_step = time.monotonic()
                self.step()
            time.sleep(0.005)

    def poll(self, name: str) -> None:
        node = self.nodes[name]
        turn = Turn("s", 0, {k: v for k, v in self.latched.items() if k in node.inputs}, self.states[name])
        node.poll(turn)
        for port, message in turn.emitted:
            print(json.dumps({"port": port, **plain(message)}), flush=True)
            self.latched[port] = message
            if port == "command":
                self.obey(message.verb)
            elif port == "notice":
                self.session(message, port)
            elif port == "request":
                self.steps = 0
                self.frame()

    def session(self, message: Any, port: str) -> None:
        if port == "notice":
            self.display.step([Turn("s", 0, {"notice": message}, self.states["display"])])
            return
        self.latched[port] = self.latched[{"points": "goal", "movable": "mask"}.get(port, port)] = message

    def obey(self, verb: str) -> None:
        if verb == "start":
            self.steps, self.running = 0, True
        elif verb == "stop" and self.running:
            self.running = False
            self.latched["progress"] = progress_of(self.latched["goal"], self.steps, "cancelled")
        elif verb == "quit":
            self.quitting = True

    def step(self) -> None:
        self.steps += 1
        self.running = self.steps < STEPS
        self.latched["progress"] = progress_of(self.latched["goal"], self.steps, None if self.running else "reached")
        self.frame()

    def frame(self) -> None:
        frame = Frame(session="s", step=self.steps, image=self.image)
        self.display.step([Turn("s", self.steps, {"frame": frame}, self.states["display"])])

    def close(self) -> None:
        for node in reversed(self.nodes.values()):
            node.deactivate()
            node.cleanup()


def main(params: dict[str, Any]) -> None:
    app = App(params)
    started = time.monotonic()
    app.run()
    app.close()
    print(json.dumps({"port": "end", "polls_per_second": app.polls / (time.monotonic() - started)}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
