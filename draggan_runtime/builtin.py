"""The runtime's own nodes as the graph sees them: ports and parameters. The executor does their work."""

from __future__ import annotations

from pydantic import Field

from draggan_runtime.messages import (
    Begin,
    Command,
    FeatureGradient,
    Frame,
    Goal,
    Handles,
    Inverting,
    Latent,
    LatentRequest,
    Mask,
    Notice,
    Placed,
    Proceed,
    Progress,
    TunedWeights,
)
from draggan_runtime.node import Node, NodeParams, event, latched, sync


class DragParams(NodeParams):
    max_steps: int = Field(300, ge=1, description="latent updates after which a drag ends")
    arrived: float | None = Field(
        None, gt=0, description="px at 512 within which a point has arrived; unset: 1 up to 5 points, else 2"
    )
    min_confidence: float = Field(
        0.0, ge=0, le=1, description="a tracker's confidence below which a handle is lost; a drag, if a quarter are"
    )
    settle: int = Field(
        0, ge=0, description="steps after all points have arrived, in which the prior draws back what need not move"
    )
    patience: int = Field(
        0, ge=0, description="steps without coming 0.5 px at 512 nearer, after which a drag ends; 0: none are too many"
    )


class Drag(Node):
    """The drag action: lets one feature gradient through per step until the handles have arrived.

    When a point has arrived: within 1 px of its target for up to five points, 2 px for more, at 512 (paper,
    section 3.2 and 4.1); at most ``max_steps`` steps. ``latent``: to go back to, of the step that was nearest, where
    a drag lost its point or comes no nearer.
    """

    Params = DragParams
    inputs = {
        "handles": sync(Handles),
        "gradient": sync(FeatureGradient),
        "goal": latched(Goal),
        "latent": latched(Latent),
    }
    outputs = {"begin": Begin, "gradient": FeatureGradient, "progress": Progress, "latent": Latent}


class SessionKeeper(Node):
    """The session: what is kept, saved and reopened, and the user's commands to it.

    ``goal`` and ``mask`` are sent when the session itself changes them (undo, redo, open), for the capture to take
    up; the other nodes have them already. A ``notice`` of a node is said to the user, wherever that is. An inversion
    makes a step for each ``proceed``, so that it can be watched and ended; ``inverting`` passes on how it goes, for
    windows to show.
    """

    inputs = {
        "command": event(Command, optional=True),
        "goal": latched(Goal, optional=True),
        "mask": latched(Mask, optional=True),
        "latent": event(Latent),
        "frame": event(Frame, optional=True),
        "request": event(LatentRequest, optional=True),
        "notice": event(Notice, optional=True),
        "inverting": event(Inverting, optional=True),
        "placed": event(Placed, optional=True),
        "pasted": event(Frame, optional=True),
        "tuning": event(TunedWeights, optional=True),
    }
    outputs = {"goal": Goal, "mask": Mask, "notice": Notice, "proceed": Proceed, "inverting": Inverting}


BUILTIN: dict[str, type[Node]] = {"runtime/drag": Drag, "runtime/session": SessionKeeper}
