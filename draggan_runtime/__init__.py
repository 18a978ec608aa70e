"""draggan-runtime: drag points on a StyleGAN2 picture, on a graph of nodes."""

from draggan_runtime.api import DragResult, Session, open
from draggan_runtime.batch import BatchProgress, batch
from draggan_runtime.errors import DragganError, StartError, UserError
from draggan_runtime.messages import Progress

__all__ = [
    "BatchProgress",
    "DragResult",
    "DragganError",
    "Progress",
    "Session",
    "StartError",
    "UserError",
    "batch",
    "open",
]
