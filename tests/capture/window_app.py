"""The window's capture and display nodes in one loop, with a stand-in engine; run by test_hand_in_window.py in a
subprocess.

Says each message they emit as a line of JSON. The engine moves every handle a tenth of its way per step.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
from draggan_nodes.capture.window import WindowCapture
from draggan_nodes.display.window import WindowDisplay

from draggan_runtime.messages import Frame, Progress
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
    return fields


def main(params: dict[str, Any]) -> None:
    capture = WindowCapture(WindowCapture.Params(**params.get("capture", {})), Context("capture"))
    display = WindowDisplay(WindowDisplay.Params(**params.get("display", {})), Context("display"))
    nodes = {"capture": capture, "display": display}
    states = {name: node.new_state() for name, node in nodes.items()}
    latched: dict[str, Any] = {}
    for node in nodes.values():
        node.configure()
        node.activate()
    image, steps, running, quitting, polls = picture(), 0, False, False, 0
    display.step([Turn("s", 0, {"frame": Frame(session="s", image=image)}, states["display"])])
    started = last_step = time.monotonic()
    while not quitting:
        for name, node in nodes.items():
            polls += 1
            turn = Turn("s", 0, {k: v for k, v in latched.items() if k in node.inputs}, states[name])
            node.poll(turn)
            for port, message in turn.emitted:
                print(json.dumps({"port": port, **plain(message)}), flush=True)
                latched[port] = message
                if port == "command":
                    quitting |= message.verb == "quit"
                    steps = 0 if message.verb == "start" else steps
                    if running and message.verb == "stop":
                        latched["progress"] = progress_of(latched["goal"], steps, "cancelled")
                    running = message.verb == "start" or (running and message.verb == "save")
        if running and time.monotonic() - last_step > params.get("pace", 0.05):
            last_step = time.monotonic()
            steps += 1
            latched["progress"] = progress_of(latched["goal"], steps, "reached" if steps == STEPS else None)
            running = steps < STEPS
            display.step([Turn("s", steps, {"frame": Frame(session="s", step=steps, image=image)}, states["display"])])
        time.sleep(0.005)
    for node in reversed(nodes.values()):
        node.deactivate()
        node.cleanup()
    print(json.dumps({"port": "end", "polls_per_second": polls / 2 / (time.monotonic() - started)}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
