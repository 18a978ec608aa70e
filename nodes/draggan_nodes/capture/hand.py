"""What the user's hand holds (points, a brush, a box, the help, a name being typed), and what the mouse does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from draggan_nodes.capture.brush import Brush
from draggan_nodes.capture.crop import Crop
from draggan_nodes.capture.edit import inside
from draggan_nodes.capture.keys import (
    CROP_HINT,
    HELP,
    HELP_HINT,
    MASK_HINT,
    OPEN_HINT,
    POINTS_HINT,
    SEARCH_HINT,
    TARGET_HINT,
)
from draggan_nodes.capture.points import Dot, Points
from draggan_nodes.capture.prompt import Prompt
from draggan_runtime.messages import XY, Hand, View

_SAME_SPOT = 3.0  # window px: two clicks this close are a double click, not handle and target
_DOT = 1.5 * 5.5 / 512  # of the picture's shorter side: this near to a dot's centre the pointer is on it
_SMALLEST_DOT = 8.0  # window px
_CORNER = 14.0  # window px: this near to a corner of the box the pointer is on it


@dataclass
class Holding:
    """The state of a hand over a picture."""

    points: Points = field(default_factory=Points)
    brush: Brush = field(default_factory=Brush)
    painting: bool = False
    helping: bool = False
    searching: bool = False  # a photo's latent is being looked for
    prompt: Prompt | None = None  # the name of a file to open
    crop: Crop | None = None  # the piece of a photo to take; the window shows that photo
    pointer: XY | None = None

    # -- the mouse ---------------------------------------------------------------------------------------------

    def press(self, xy: XY, view: View, shown: Mapping[int, XY]) -> None:
        """The left button goes down on the picture. ``shown``: where handles are drawn that the tracker has moved."""
        if self.helping:
            self.helping = False
        elif self.crop is not None:
            self.crop.press(xy, _CORNER / view.scale)
        elif self.painting:
            self.brush.press(xy, erases=False)
        elif self.points.pending is None and (dot := self.points.dot_at(xy, _reach(view), shown)) is not None:
            self.points.take(dot, xy)
        else:
            self.points.click(xy, _SAME_SPOT / view.scale)

    def press_right(self, xy: XY, view: View, shown: Mapping[int, XY]) -> None:
        """The right button goes down on the picture."""
        if self.crop is not None:
            return
        if self.painting:
            self.brush.press(xy, erases=True)
        elif self.points.pending is not None:
            self.points.take_back()
        elif (dot := self.points.dot_at(xy, _reach(view), shown)) is not None:
            self.points.delete(dot.pair.id)

    def move(self, xy: XY, view: View) -> None:
        """The pointer is over ``xy``, which may lie beside the picture."""
        if self.crop is not None:
            self.crop.move(xy)
            return
        self.brush.move(xy)
        self.points.point_at(_within(xy, view))

    def release(self, xy: XY, view: View) -> Dot | None:
        """A button goes up anywhere; the dot as it was, if one has been moved."""
        if self.crop is not None:
            self.crop.move(xy)
            self.crop.release()
            return None
        self.brush.move(xy)
        if self.points.grip is not None:
            self.points.point_at(_within(xy, view))
            return self.points.let_go(_SAME_SPOT / view.scale)
        if self.points.pending is not None and inside(xy, view.size):
            self.points.click(xy, 3 * _SAME_SPOT / view.scale)  # the button went down on the handle
        return None

    @property
    def presses(self) -> bool:
        """True while a button should be down."""
        return bool(self.brush.stroke) or self.points.grip is not None or (self.crop is not None and self.crop.held)

    # -- the keys ----------------------------------------------------------------------------------------------

    def toggle_help(self) -> None:
        """Show the help, or no longer."""
        self.helping = not self.helping

    def toggle_mask(self) -> None:
        """From points to the mask's brush, and back."""
        self.painting = not self.painting
        self.brush.drop()
        self.points.drop()

    def begin_prompt(self) -> None:
        """The name of a file is going to be typed."""
        self.helping, self.prompt = False, Prompt()
        self.brush.drop()
        self.points.drop()

    def begin_crop(self, crop: Crop) -> None:
        """A piece of a photo is going to be chosen."""
        self.helping, self.crop = False, crop
        self.brush.drop()
        self.points.drop()

    def leave(self) -> bool:
        """Leave what is going on: the help, else the box, else a point, else the mask; False if there was nothing."""
        if self.helping:
            self.helping = False
        elif self.crop is not None:
            self.crop = None
        elif self.points.busy:
            self.points.drop()
        elif self.painting:
            self.toggle_mask()
        else:
            return False
        return True

    # -- what is to be drawn -----------------------------------------------------------------------------------

    def message(self, session: str, doing: str, step_size: float) -> Hand:
        """The hand as the window shows it."""
        painting = self.painting and self.crop is None
        return Hand(
            session=session,
            points=self.points.preview,
            pointer=self.pointer if painting else None,
            brush=self.brush.radius if painting else None,
            stroke=self.brush.stroke,
            erases=self.brush.erases and bool(self.brush.stroke),
            doing=doing,
            step_size=step_size,
            hint=self._hint(),
            help=HELP if self.helping else (),
            typed=self.prompt.text if self.prompt is not None else None,
            choices=self.prompt.choices if self.prompt is not None else (),
            box=self.crop.box if self.crop is not None else None,
            photo=self.crop.photo if self.crop is not None else None,
        )

    def _hint(self) -> str:
        if self.prompt is not None:
            return OPEN_HINT
        if self.helping:
            return HELP_HINT
        if self.crop is not None:
            return CROP_HINT
        if self.painting:
            return MASK_HINT
        if self.searching and self.points.pending is None:
            return SEARCH_HINT
        return TARGET_HINT if self.points.pending is not None else POINTS_HINT


def on_view(view: View, x: float, y: float) -> XY:
    """The full-output px under pixel (x, y) of what the window shows, beside the picture too."""
    return (x - view.origin[0] + 0.5) / view.scale - 0.5, (y - view.origin[1] + 0.5) / view.scale - 0.5


def on_picture(view: View | None, x: float, y: float) -> XY | None:
    """The full-output px under pixel (x, y) of what the window shows, or None beside the picture."""
    if view is None:
        return None
    xy = on_view(view, x, y)
    return xy if inside(xy, view.size) else None


def _reach(view: View) -> float:
    """How near to a dot the pointer must be to mean it, px of the full output."""
    return max(_DOT * min(view.size), _SMALLEST_DOT / view.scale)


def _within(xy: XY, view: View) -> XY:
    """The place on the picture nearest to ``xy``."""
    return min(max(xy[0], 0.0), view.size[0] - 1.0), min(max(xy[1], 0.0), view.size[1] - 1.0)
