"""The messages that travel on edges: frozen dataclasses with documented shapes and units.

Coordinates are pixels of the generator's full output, ``(x, y)``, float, origin at the centre of the top-left
pixel. Pictures are uint8 RGB ``[H, W, 3]``. Arrays are torch tensors inside a container and numpy arrays between
containers; a stage takes either with ``torch.as_tensor``. Every message carries its session and the session's step,
which counts latent updates since the latent was set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    import torch

    Array = np.ndarray[Any, Any] | torch.Tensor
else:
    Array = Any

XY = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Message:
    """Base of all messages."""

    session: str
    step: int = 0


@dataclass(frozen=True)
class PointPair:
    """One handle and where it should go, px of the full output. ``id`` stays the same while the point lives."""

    id: int
    handle: XY
    target: XY


@dataclass(frozen=True, kw_only=True)
class Goal(Message):
    """What the user wants: every point pair now on the picture. ``handle`` is where the user put it."""

    points: tuple[PointPair, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Mask(Message):
    """What may move: ``movable`` uint8 ``[H, W]``, 1 = may move, 0 = stays (paper, section 3.2); None = no mask."""

    movable: Array | None = None


@dataclass(frozen=True, kw_only=True)
class Command(Message):
    """What the user asks the session to do.

    ``argument``: for ``save`` and ``open`` a path ("" = the session's own), for ``record`` a video's path ("" = a fresh
    one; the verb starts and stops it), for ``set`` a parameter as ``node.param=value``.
    """

    verb: Literal["start", "stop", "undo", "redo", "save", "open", "record", "set", "quit"]
    argument: str = ""


@dataclass(frozen=True, kw_only=True)
class Notice(Message):
    """Something the session says to its user in words: what was saved, what went wrong, what the engine does."""

    text: str
    problem: bool = False


@dataclass(frozen=True, kw_only=True)
class TunedWeights(Message):
    """How the model's weights are changed for one picture, as pivotal tuning does it; no other picture sees it.

    ``factors``: by weight, ``[outputs, rank]`` and ``[rank, inputs]`` float32, whose product is added to it. ``name``
    is the content's: latents with it in their ``tuning`` are drawn with these weights.
    """

    name: str
    factors: Mapping[str, tuple[Array, Array]]


@dataclass(frozen=True, kw_only=True)
class LatentRequest(Message):
    """Where a picture shall come from: a seed, a latent already at hand (``w_plus`` ``[num_ws, w_dim]``), or a photo.

    ``anchor``: see :class:`Latent`. ``tuning``: of the weights that the latent is for; None: the model's own. ``photo``
    uint8 RGB ``[H, W, 3]``, of any size; ``face``: which of its faces, counted from 1, the largest first; unset: the
    largest; ``box`` (left, top, right, bottom) px of the photo: what to cut out instead of looking for a face.

    ``placement`` float64 ``[2, 3]``, of a latent only: where in a photo its picture belongs, or that of ``anchor``, as
    :class:`Placed` says; in ``photo`` if that is given too, else in the photo that is there already.
    """

    seed: int | None = None
    truncation_psi: float = 0.7
    w_plus: Array | None = None
    anchor: Array | None = None
    photo: Array | None = None
    face: int | None = None
    box: tuple[float, float, float, float] | None = None
    tuning: TunedWeights | None = None
    placement: Array | None = None


@dataclass(frozen=True, kw_only=True)
class Placed(Message):
    """Where in a photo the picture of a latent belongs, once the latent is found.

    ``matrix`` float64 ``[2, 3]``: a similarity from px of the photo, ``(x, y)``, to px of the picture. ``piece`` uint8
    RGB ``[H, W, 3]``: what the photo has there; ``picture``, of the same shape: what the latent gives.
    """

    matrix: Array
    piece: Array
    picture: Array


@dataclass(frozen=True, kw_only=True)
class Inverting(Message):
    """A photo's latent is being looked for: ``done`` of ``of`` steps, and how unlike the photo its picture is.

    ``distance`` is of the loss that ``by`` names. ``finished``: nothing more comes; else the next :class:`Proceed` is
    waited for. ``of`` 0: it was given up, for it failed, or another picture is wanted. ``faces``: how many the photo
    has, 0 if none were looked for.
    """

    done: int
    of: int
    distance: float
    by: str
    finished: bool = False
    faces: int = 0


@dataclass(frozen=True, kw_only=True)
class Proceed(Message):
    """Do the next step of an inversion, or, if ``cancelled``, end with the best latent so far."""

    cancelled: bool = False


@dataclass(frozen=True, kw_only=True)
class Latent(Message):
    """A latent code.

    ``space`` "z": ``values`` float32 ``[z_dim]``, to be mapped with ``truncation_psi``.
    ``space`` "w_plus": ``values`` float32 ``[num_ws, w_dim]``, used as it is.
    ``origin`` names the latent that was set last: a drag's latents keep that of the picture it moves. "" = not known.
    ``anchor`` float32 ``[num_ws, w_dim]``: what an edit shall stay near, where that is an earlier latent: the one of
    the picture that was edited until it became this one.
    ``tuning``: the name of the :class:`TunedWeights` of its picture's weights; "" for the model's own.
    """

    space: Literal["z", "w_plus"]
    values: Array
    truncation_psi: float = 0.7
    origin: str = ""
    anchor: Array | None = None
    tuning: str = ""


@dataclass(frozen=True, kw_only=True)
class Begin(Message):
    """A drag begins: the optimiser's moments are reset, and the current latent becomes the drag's start.

    ``resume``: a drag that was interrupted goes on from restored states: nothing is reset, and this step's latent and
    features come again.
    """

    resume: bool = False


@dataclass(frozen=True)
class Box:
    """A rectangle of a feature map.

    ``values`` float ``[C, h, w]``; ``origin`` the (column, row) of its first cell in the map; ``stride`` px of the
    full output per cell; ``map_size`` (columns, rows) of the whole map. Cell coordinate of pixel x:
    ``u = (x + 0.5) / stride - 0.5``.
    """

    values: Array
    origin: tuple[int, int]
    stride: float
    map_size: tuple[int, int]

    @property
    def whole(self) -> bool:
        """True if the box is the whole map."""
        return self.origin == (0, 0) and tuple(self.values.shape[-2:]) == (self.map_size[1], self.map_size[0])


Boxes = tuple[Box, ...]


@dataclass(frozen=True, kw_only=True)
class Features(Message):
    """Features of the current latent: by level name ("64" = the map of 64 rows, "rgb" = the picture), its boxes.

    ``size`` (W, H) of the full output, px. ``reference`` marks the features of a drag's start latent, from which
    templates and reference maps are taken.
    """

    size: tuple[int, int]
    levels: dict[str, Boxes]
    reference: bool = False


@dataclass(frozen=True, kw_only=True)
class NeedBoxes(Message):
    """Asks for more of the features of this step: ``regions`` are (x0, y0, x1, y1) px rectangles of ``level``."""

    level: str
    regions: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Handles(Message):
    """Where the handles are now: ``positions`` px per point id, and the tracker's ``confidence`` in [0, 1].

    ``size`` (W, H) of the full output, px.
    """

    size: tuple[int, int]
    positions: dict[int, XY]
    confidence: dict[int, float]


@dataclass(frozen=True, kw_only=True)
class FeatureGradient(Message):
    """Gradient of the motion loss with respect to the boxes of the Features of this step.

    ``levels[name][i]`` has the shape of box i's ``values``, or is None where the loss does not read the box.
    ``loss`` is the loss itself.
    """

    levels: dict[str, tuple[Array | None, ...]]
    loss: float


@dataclass(frozen=True, kw_only=True)
class Frame(Message):
    """The picture of a latent: ``image`` uint8 RGB ``[H, W, 3]``.

    ``preview``: an approximation, of the same size, that stands in until the full picture comes.
    """

    image: Array
    preview: bool = False


@dataclass(frozen=True, kw_only=True)
class View(Message):
    """How the window shows the picture: ``scale`` window px per output px, ``size`` (W, H) of the full output.

    ``origin``: the window px where the picture's upper left corner is. ``photo``: all this is of the photo of which a
    piece is being chosen, in the picture's place.
    """

    scale: float
    size: tuple[int, int]
    origin: tuple[int, int] = (0, 0)
    photo: bool = False


@dataclass(frozen=True, kw_only=True)
class Hand(Message):
    """What the user's hand holds over a window, for the window to draw; none of it has happened to the session yet.

    ``points``: pairs being set or moved, to be drawn in place of the goal's of the same id. ``brush``: its radius in px
    of the full output while the mask is painted; ``pointer`` where it is; ``stroke`` its way since the button went
    down; ``erases``. ``doing``: what was asked for and is not yet answered, in words. ``step_size``: what motion
    supervision asks of a handle per step, px at 512. ``hint``: what could be done next; ``help``: key and
    meaning by row, while help is wanted. ``typed``: a file's name as far as it has been typed, None while none is;
    ``choices``: how it could go on. ``box``: of the piece of ``photo`` that is being chosen, as in
    :class:`LatentRequest`; both None while none is.
    """

    points: tuple[PointPair, ...] = ()
    pointer: XY | None = None
    brush: float | None = None
    stroke: tuple[XY, ...] = ()
    erases: bool = False
    doing: str = ""
    step_size: float | None = None
    hint: str = ""
    help: tuple[tuple[str, str], ...] = ()
    typed: str | None = None
    choices: tuple[str, ...] = ()
    box: tuple[float, float, float, float] | None = None
    photo: Array | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True)
class Recording(Message):
    """A video of the session is being recorded to ``path``; "" when none is."""

    path: str = ""


Stopped = Literal["reached", "max_steps", "out_of_reach", "cancelled", "lost", "failed"]


@dataclass(frozen=True)
class NodeFailure:
    """A node's step raised: which node, what it runs, for which session, and the exception in one line."""

    node: str
    impl: str
    session: str
    exception: str
    traceback: str = ""

    def __str__(self) -> str:
        return f"node '{self.node}' ({self.impl}) failed: {self.exception}"


@dataclass(frozen=True, kw_only=True)
class Progress(Message):
    """Feedback of a drag, one for each step, and a last one with ``stopped`` set.

    ``drag_steps`` counts this drag's latent updates; ``handles`` px per point id; ``distances`` px of the full output
    from handle to target; ``w_plus`` float32 ``[num_ws, w_dim]`` is the latent these belong to (the commit), empty if
    there is none. Where a drag stopped "lost" or "out_of_reach", all this is of the step that was nearest.
    """

    drag_steps: int
    handles: dict[int, XY]
    distances: dict[int, float]
    confidence: dict[int, float]
    loss: float
    w_plus: Array
    seconds: float
    stopped: Stopped | None = None
    failure: NodeFailure | None = None

    @property
    def steps_per_second(self) -> float:
        """Latent updates per second since the drag began."""
        return self.drag_steps / self.seconds if self.seconds > 0 else 0.0
