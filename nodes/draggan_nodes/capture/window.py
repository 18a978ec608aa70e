"""The window's capture: mouse and keyboard of the OpenCV window that a display node has opened."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from draggan_nodes.capture.brush import Brush
from draggan_nodes.capture.crop import Crop, Edges
from draggan_nodes.capture.device import Mouse, WindowDevice
from draggan_nodes.capture.edit import point_pairs
from draggan_nodes.capture.hand import Holding, on_picture, on_view
from draggan_nodes.capture.points import Points
from draggan_nodes.capture.ports import INPUTS, OUTPUTS
from draggan_nodes.capture.prompt import Prompt
from draggan_nodes.capture.window_state import WindowCaptureParams, WindowCaptureState
from draggan_runtime.errors import UserError
from draggan_runtime.messages import (
    Command,
    Goal,
    Handles,
    Inverting,
    LatentRequest,
    Mask,
    Notice,
    Progress,
    View,
)
from draggan_runtime.node import Node, Turn
from draggan_runtime.photos import load_photo
from draggan_runtime.pictures import load_mask
from draggan_runtime.session import holds_session

_PATIENCE = 15.0  # s until a missing window is reported
_STEP_SIZES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
_AHEAD = 3  # steps that the engine may be ahead of the progress heard here


class WindowCapture(Node):
    """Turns clicks and keys into goals, masks and commands; :mod:`~draggan_nodes.capture.keys` says which are which.

    ``goal`` holds complete pairs only; what is still in the hand is on ``hand``. A dot is where it is drawn: handles
    at ``shown``. When a drag ends, the goal's handles become those it has tracked, so that the next one goes on
    from there. ``points`` and ``movable`` are what the session itself changes (undo, reopen): taken up, not sent
    again. A mask goes out when a stroke ends. Clicks count once a :class:`View` says where the picture lies.
    When a search for a photo's latent begins, as ``inverting`` says, points on the picture before go.
    """

    Params = WindowCaptureParams
    State = WindowCaptureState
    inputs = INPUTS
    outputs = OUTPUTS
    fixed = frozenset({"window", "seed", "photo", "truncation_psi", "mask", "points", "size"})
    polls = True

    @classmethod
    def prepare(cls, params: Any) -> None:
        """Reads mask and photo, and checks the points. Raises UserError before anything starts."""
        point_pairs(params.points, 0, params.size)
        if params.mask:
            load_mask(params.mask, params.size)
        if params.photo:
            load_photo(params.photo)

    def configure(self) -> None:
        self.prepare(self.params)
        self._device = WindowDevice(self.params.window)
        self._since = time.monotonic()

    def cleanup(self) -> None:
        self._device.close()

    def snapshot(self, state: Any) -> dict[str, Any]:
        """Points, mask and seed; what the hand was just doing is not kept."""
        return {"seed": state.seed, "mask": state.hand.brush.movable, **state.points.plain()}

    def restore(self, data: Mapping[str, Any]) -> WindowCaptureState:
        hand = Holding(Points.from_plain(data), Brush(data["mask"]))
        return WindowCaptureState(hand, seed=data["seed"], wants_picture=False)

    def poll(self, turn: Turn) -> None:
        state: WindowCaptureState = turn.state
        if state.finished:
            return
        if not state.begun:
            self._begin(turn)
        self._hear(turn)
        self._take_up(turn)
        if self._window(turn):
            keys, mouse = self._events(turn)
            # OpenCV does not say which came first: what ends a stroke, then the keys, then what begins another.
            ends = next((i + 1 for i, m in enumerate(mouse) if m.kind == "up"), 0) if state.hand.presses else 0
            for event in mouse[:ends]:
                self._point(turn, event)
            for key in keys:
                self._key(turn, key)
            for event in mouse[ends:]:
                self._point(turn, event)
        self._tell(turn)

    def _events(self, turn: Turn) -> tuple[list[str], list[Mouse]]:
        """Keys and mouse; while a name is typed, the mouse means nothing."""
        mouse = list(self._device.mouse())
        if turn.state.typing:
            return self._device.typed(), []
        self._device.typed_enough()
        return self._device.keys(), mouse

    # -- what comes in -----------------------------------------------------------------------------------------

    def _begin(self, turn: Turn) -> None:
        state: WindowCaptureState = turn.state
        state.begun = True
        if self.params.mask:
            state.hand.brush.movable = load_mask(self.params.mask, self.params.size)
            self._tell_mask(turn)
        if state.wants_picture:
            state.points.take_up(point_pairs(self.params.points))
            if self.params.photo:
                self._open_photo(turn, Path(self.params.photo))
            elif self.params.seed is not None:
                self._request(turn, self.params.seed)

    def _hear(self, turn: Turn) -> None:
        """What the window, the drag and a search say, and the parameters."""
        state: WindowCaptureState = turn.state
        view: View | None = turn.get("view")
        if view is not None and not view.photo:
            state.size = view.size
        inverting: Inverting | None = turn.get("inverting")
        state.hand.searching = inverting is not None and not inverting.finished
        if state.asked and inverting is not None and inverting is not state.searched:
            state.asked = False
            if inverting.of:  # it has begun, not failed
                state.points.clear()
        state.searched = inverting
        if state.step_given != self.params.step:
            state.step_given = state.step_size = self.params.step
        progress: Progress | None = turn.get("progress")
        if progress is None or progress is state.heard:
            return
        state.heard = progress
        state.dragging = progress.stopped is None
        if state.dragging:
            state.doing = "" if state.doing == "starting" else state.doing
            return
        state.doing = ""
        # A handle moved by hand in the last steps is where the hand put it: the drag did not know yet.
        unknown = [i for i, known in state.moved.items() if progress.drag_steps < known]
        state.points.handles_now(progress.handles, but=unknown)
        state.moved.clear()
        if state.next_seed is not None:
            self._new_picture(turn, state.next_seed)

    def _take_up(self, turn: Turn) -> None:
        """What the session itself has changed: not to be told to it again."""
        state: WindowCaptureState = turn.state
        goal, mask = now = turn.get("points"), turn.get("movable")
        if goal is not None and goal is not state.taken[0]:
            state.points.take_up(goal.points)
            state.told = state.points.pairs
            state.moved.clear()
        if mask is not None and mask is not state.taken[1]:
            state.hand.brush.clear()
            state.hand.brush.movable = None if mask.movable is None else np.array(mask.movable, np.uint8)
        state.taken = now

    def _window(self, turn: Turn) -> bool:
        """True while the window is open. Quits when it has been closed."""
        before = self._device.attached
        if self._device.present():
            if not before:
                self._title(turn.state)
            return True
        if before:
            self._quit(turn)
        elif time.monotonic() - self._since > _PATIENCE:
            self._since = float("inf")
            name = self.params.window
            raise UserError(f"there is no window '{name}': a display/window node with the same 'window' must open it")
        return False

    def _point(self, turn: Turn, mouse: Mouse) -> None:
        hand: Holding = turn.state.hand
        view: View | None = turn.get("view")
        if view is None or view.photo != (hand.crop is not None):  # it does not show yet what the hand is at
            return
        shown: Handles | None = turn.get("shown")
        handles = shown.positions if shown is not None else {}
        over = on_view(view, mouse.x, mouse.y)
        hand.pointer = on_picture(view, mouse.x, mouse.y)
        at = hand.pointer if hand.crop is None else over  # the corners of a box may lie at the photo's very edge
        if mouse.kind == "up" or (mouse.kind == "move" and hand.presses and not mouse.held):  # or it was missed
            self._release(turn, view, mouse)
        elif mouse.kind == "move":
            hand.move(over, view)
        elif mouse.kind == "left" and at is not None:
            hand.press(at, view, handles)
        elif mouse.kind == "right" and at is not None:
            hand.press_right(at, view, handles)

    def _release(self, turn: Turn, view: View, mouse: Mouse) -> None:
        state: WindowCaptureState = turn.state
        dot = state.hand.release(on_view(view, mouse.x, mouse.y), view)
        if dot is not None and dot.end == "handle" and state.dragging:
            state.moved[dot.pair.id] = (state.heard.drag_steps if state.heard else 0) + _AHEAD
        if state.hand.brush.lift(view.size):
            self._tell_mask(turn)
            if state.hand.brush.movable is None:
                self._notice(turn, "no mask: everything may move")

    # -- what it means -----------------------------------------------------------------------------------------

    def _key(self, turn: Turn, key: str) -> None:
        if turn.state.typing:
            self._type(turn, key)
        else:
            keys = _KEYS if turn.state.hand.crop is None else _CROP_KEYS
            if key in keys:
                keys[key](self, turn)

    def _type(self, turn: Turn, key: str) -> None:
        """A key of the line in which a file's name is typed."""
        hand: Holding = turn.state.hand
        assert hand.prompt is not None
        if key in _LINE_KEYS:
            _LINE_KEYS[key](hand.prompt)
        elif len(key) == 1:
            hand.prompt.type(key)
        elif key in ("enter", "escape"):
            path, hand.prompt = hand.prompt.path, None
            if key == "enter":
                self._open(turn, path)

    def _open(self, turn: Turn, path: Path | None) -> None:
        """A file, or what was saved last. What cannot be opened is said, and all stays as it is."""
        try:
            if path is None or holds_session(path):
                self._reopen(turn, path)
            else:
                self._open_photo(turn, path)
        except UserError as error:
            self._notice(turn, str(error), problem=True)

    def _open_photo(self, turn: Turn, path: Path) -> None:
        """Raises UserError if it is none."""
        state: WindowCaptureState = turn.state
        state.photo, state.photo_name = load_photo(path), path.name
        self._request_photo(turn, None)

    def _choose_piece(self, turn: Turn) -> None:
        state: WindowCaptureState = turn.state
        if state.photo is None:
            self._notice(turn, "there is no photo: o opens one", problem=True)
        else:
            width, height = state.size or self.params.size or (1, 1)
            state.hand.begin_crop(Crop(state.photo, width / height, state.box))

    def _take_piece(self, turn: Turn) -> None:
        hand: Holding = turn.state.hand
        assert hand.crop is not None
        box, hand.crop = hand.crop.box, None
        self._request_photo(turn, None, box)

    def _next_face(self, turn: Turn) -> None:
        state: WindowCaptureState = turn.state
        faces = state.searched.faces if state.searched is not None else 0
        if state.asked:
            return
        if state.photo is None:
            self._notice(turn, "there is no photo: o opens one", problem=True)
        elif state.box is not None:  # for which no faces were looked for
            self._request_photo(turn, None)
        elif faces > 1:
            self._request_photo(turn, state.face % faces + 1)
        else:
            self._notice(turn, "no other face was found in the photo", problem=True)

    def _start_or_stop(self, turn: Turn) -> None:
        state: WindowCaptureState = turn.state
        if state.hand.searching or (state.asked and not state.dragging):
            self._command(turn, "start")  # whether that can be, the session knows
        elif state.dragging and state.doing != "stopping":
            state.doing = "stopping"
            self._command(turn, "stop")
        elif state.points.pairs:  # also when a stop went unanswered: then nothing was running
            self._tell(turn)
            state.dragging, state.doing = True, "starting"
            self._command(turn, "start")
        else:
            self._notice(turn, "nothing to drag yet: click a handle, then its target", problem=True)

    def _clear_mask(self, turn: Turn) -> None:
        if turn.state.hand.brush.movable is not None:
            turn.state.hand.brush.clear()
            self._tell_mask(turn)

    def _resize_step(self, turn: Turn, larger: bool) -> None:
        state: WindowCaptureState = turn.state
        if larger:
            size = next((s for s in _STEP_SIZES if s > state.step_size), state.step_size)
        else:
            size = next((s for s in reversed(_STEP_SIZES) if s < state.step_size), state.step_size)
        if size != state.step_size:
            state.step_size = size
            self._command(turn, "set", f"{self.params.step_param}={size:g}")

    def _next_tracker(self, turn: Turn) -> None:
        state: WindowCaptureState = turn.state
        state.tracker = (state.tracker + 1) % len(self.params.trackers)
        impl = self.params.trackers[state.tracker]
        self._notice(turn, f"tracker: {impl}")
        self._command(turn, "set", f"{self.params.tracker}.impl={impl}")

    def _another(self, turn: Turn) -> None:
        state: WindowCaptureState = turn.state
        seed = int(np.random.default_rng().integers(100_000))
        if state.dragging and state.next_seed is None:
            state.next_seed, state.doing = seed, "stopping"
            self._command(turn, "stop")
        else:
            self._new_picture(turn, seed)

    def _new_picture(self, turn: Turn, seed: int) -> None:
        """Points are places on a picture, so they go with it."""
        state: WindowCaptureState = turn.state
        state.points.clear()
        state.photo, state.asked = None, False
        state.next_seed, state.dragging, state.doing = None, False, ""
        self._tell(turn)
        self._request(turn, seed)
        self._title(state)

    def _reopen(self, turn: Turn, path: Path | None) -> None:
        state: WindowCaptureState = turn.state
        state.seed, state.photo, state.asked = None, None, False  # whatever the session has
        self._command(turn, "open", str(path or ""))
        self._title(state)

    def _escape(self, turn: Turn) -> None:
        if turn.state.hand.leave():
            return
        if turn.state.hand.searching or turn.state.asked:
            self._command(turn, "stop")
        else:
            self._quit(turn)

    def _quit(self, turn: Turn) -> None:
        turn.state.finished = True
        self._command(turn, "quit")

    # -- what goes out -----------------------------------------------------------------------------------------

    def _request(self, turn: Turn, seed: int) -> None:
        turn.state.seed = seed
        psi = self.params.truncation_psi
        turn.emit("request", LatentRequest(session=turn.session, seed=seed, truncation_psi=psi))

    def _request_photo(self, turn: Turn, face: int | None, box: Edges | None = None) -> None:
        """``face``: which, from 1; None: the largest, or none, or what is in ``box``."""
        state: WindowCaptureState = turn.state
        state.seed, state.next_seed, state.face, state.box, state.asked = None, None, face or 1, box, True
        turn.emit("request", LatentRequest(session=turn.session, photo=state.photo, face=face, box=box))
        self._title(state)

    def _command(self, turn: Turn, verb: Any, argument: str = "") -> None:
        turn.emit("command", Command(session=turn.session, step=turn.step, verb=verb, argument=argument))

    def _notice(self, turn: Turn, text: str, problem: bool = False) -> None:
        turn.emit("notice", Notice(session=turn.session, step=turn.step, text=text, problem=problem))

    def _tell_mask(self, turn: Turn) -> None:
        turn.emit("mask", Mask(session=turn.session, step=turn.step, movable=turn.state.hand.brush.movable))

    def _tell(self, turn: Turn) -> None:
        """Emit the goal and the hand if they have changed."""
        state: WindowCaptureState = turn.state
        if state.points.pairs != state.told:
            state.told = state.points.pairs
            turn.emit("goal", Goal(session=turn.session, step=turn.step, points=state.told))
        hand = state.hand.message(turn.session, state.doing, state.step_size)
        if hand != state.told_hand:
            state.told_hand = hand
            turn.emit("hand", hand)

    def _title(self, state: WindowCaptureState) -> None:
        what = f"seed {state.seed}" if state.seed is not None else state.photo_name if state.photo is not None else ""
        self._device.title(f"{self.params.window} - {what}" if what else self.params.window)


_KEYS: Mapping[str, Callable[[WindowCapture, Turn], None]] = {
    " ": WindowCapture._start_or_stop,
    "backspace": lambda _, turn: turn.state.points.take_back(),
    "r": lambda _, turn: turn.state.points.clear(),
    "m": lambda _, turn: turn.state.hand.toggle_mask(),
    "[": lambda _, turn: turn.state.hand.brush.resize(finer=True),
    "]": lambda _, turn: turn.state.hand.brush.resize(finer=False),
    "wheel down": lambda _, turn: turn.state.hand.brush.resize(finer=True),
    "wheel up": lambda _, turn: turn.state.hand.brush.resize(finer=False),
    "c": WindowCapture._clear_mask,
    "+": lambda node, turn: node._resize_step(turn, larger=True),
    "-": lambda node, turn: node._resize_step(turn, larger=False),
    "t": WindowCapture._next_tracker,
    "u": lambda node, turn: node._command(turn, "undo"),
    "y": lambda node, turn: node._command(turn, "redo"),
    "v": lambda node, turn: node._command(turn, "record"),
    "n": WindowCapture._another,
    "s": lambda node, turn: node._command(turn, "save", node.params.save),
    "o": lambda _, turn: turn.state.hand.begin_prompt(),
    "f": WindowCapture._next_face,
    "b": WindowCapture._choose_piece,
    "h": lambda _, turn: turn.state.hand.toggle_help(),
    "escape": WindowCapture._escape,
    "q": WindowCapture._quit,
}

_CROP_KEYS: Mapping[str, Callable[[WindowCapture, Turn], None]] = {
    "+": lambda _, turn: turn.state.hand.crop.resize(larger=True),
    "wheel up": lambda _, turn: turn.state.hand.crop.resize(larger=True),
    "-": lambda _, turn: turn.state.hand.crop.resize(larger=False),
    "wheel down": lambda _, turn: turn.state.hand.crop.resize(larger=False),
    "enter": WindowCapture._take_piece,
    "b": WindowCapture._escape,
    "escape": WindowCapture._escape,
    "h": lambda _, turn: turn.state.hand.toggle_help(),
    "q": WindowCapture._quit,
}

_LINE_KEYS: Mapping[str, Callable[[Prompt], None]] = {
    "backspace": Prompt.erase,
    "tab": Prompt.complete,
    "ctrl+u": Prompt.clear,
}
