"""The ports that every capture has, so that any of them stands in a graph."""

from __future__ import annotations

from draggan_runtime.messages import (
    Command,
    Goal,
    Hand,
    Handles,
    Inverting,
    LatentRequest,
    Mask,
    Notice,
    Progress,
    View,
)
from draggan_runtime.node import latched

INPUTS = {
    "progress": latched(Progress, optional=True),
    "view": latched(View, optional=True),
    "shown": latched(Handles, optional=True),
    "points": latched(Goal, optional=True),
    "movable": latched(Mask, optional=True),
    "inverting": latched(Inverting, optional=True),
}

OUTPUTS = {
    "request": LatentRequest,
    "goal": Goal,
    "mask": Mask,
    "command": Command,
    "hand": Hand,
    "notice": Notice,
}
