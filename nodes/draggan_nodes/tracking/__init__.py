"""Point tracking (DragGAN, section 3.3). A new tracker subclasses :class:`Tracker`."""

from draggan_nodes.tracking.base import Found, Points, Tracker, TrackerParams
from draggan_nodes.tracking.level import Level

__all__ = ["Found", "Level", "Points", "Tracker", "TrackerParams"]
