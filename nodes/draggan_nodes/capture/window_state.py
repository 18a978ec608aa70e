"""What the window's capture is given, and what it knows of its session."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from draggan_nodes.capture.crop import Edges
from draggan_nodes.capture.edit import EditPoint
from draggan_nodes.capture.hand import Holding
from draggan_nodes.capture.points import Points
from draggan_runtime.messages import Hand, Inverting, PointPair, Progress
from draggan_runtime.node import NodeParams
from draggan_runtime.pictures import Pixels


class WindowCaptureParams(NodeParams):
    """Which window, and what the session begins with."""

    window: str = Field("draggan", min_length=1, description="name of the window; the display node's is the same")
    seed: int | None = Field(0, ge=0, lt=2**32, description="the first picture; null: the one the session has")
    photo: str = Field("", description="a photo to begin with, in place of the seed's picture; empty: none")
    truncation_psi: float = Field(0.7, ge=-2, le=2, description="0: the mean face, 1: all variety")
    mask: str = Field("", description="a painted mask, white where the picture may move; empty: none")
    points: tuple[EditPoint, ...] = Field((), description="points to begin with: [{handle: [x, y], target: [x, y]}]")
    size: tuple[int, int] | None = Field(None, description="W, H of the full output, to check points and mask by")
    save: str = Field("", description="where s saves the session; empty: its own file")
    step: float = Field(1.0, gt=0, le=16, description="the step size as it is; + and - go on from there")
    step_param: str = Field("motion.step", description="what + and - set, as node.parameter")
    tracker: str = Field("tracker", description="the node that t exchanges")
    trackers: tuple[str, ...] = Field(
        (
            "tracking/votes",
            "tracking/nearest",
            "tracking/template",
            "tracking/lucas_kanade",
            "tracking/flow",
            "tracking/none",
        ),
        min_length=1,
        description="what t has it run, one after the other, from the first on",
    )


@dataclass
class WindowCaptureState:
    """The hand, the picture's seed, and what the drag is doing as far as this node has heard."""

    hand: Holding = field(default_factory=Holding)
    seed: int | None = None
    step_size: float = 0.0
    tracker: int = 0  # of the parameter `trackers`
    photo: Pixels | None = None  # the picture came of it, or will
    photo_name: str = ""
    face: int = 1  # of the photo
    box: Edges | None = None  # of the photo, if that was cut out and no face
    size: tuple[int, int] | None = None  # W, H of the picture
    asked: bool = False  # for the photo's latent, and nothing has come of it yet
    step_given: float | None = None  # the parameter that step_size was taken from
    begun: bool = False
    wants_picture: bool = True
    dragging: bool = False
    doing: str = ""  # asked of the drag and not yet answered
    next_seed: int | None = None  # a new picture, as soon as the drag has stopped
    moved: dict[int, int] = field(default_factory=dict)  # handles moved in this drag, and the step that knows of it
    heard: Progress | None = None
    taken: tuple[Any, ...] = (None, None)  # points and mask of the session as last taken up
    searched: Inverting | None = None  # as last heard
    told: tuple[PointPair, ...] = ()  # pairs as last emitted
    told_hand: Hand | None = None
    finished: bool = False

    @property
    def points(self) -> Points:
        """The points being edited."""
        return self.hand.points

    @property
    def typing(self) -> bool:
        """A file's name is being typed."""
        return self.hand.prompt is not None
