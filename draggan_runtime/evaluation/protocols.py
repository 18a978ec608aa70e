"""The protocols there are, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from draggan_runtime.errors import UserError
from draggan_runtime.evaluation.cycle import Cycle
from draggan_runtime.evaluation.inversion import Inversion
from draggan_runtime.evaluation.landmarks import Landmarks
from draggan_runtime.evaluation.paired import Paired
from draggan_runtime.evaluation.protocol import Evaluated
from draggan_runtime.evaluation.tracking import Tracking

PROTOCOLS: dict[str, Callable[..., Evaluated]] = {
    protocol.name: protocol for protocol in (Landmarks, Paired, Cycle, Tracking, Inversion)
}


def protocol_of(row: Mapping[str, Any]) -> Evaluated:
    """The protocol that made a row. Raises UserError if this version does not have it."""
    if row["protocol"] not in PROTOCOLS:
        raise UserError(f"protocol '{row['protocol']}' is not known; it is of another version of this program")
    return PROTOCOLS[row["protocol"]](**row["options"])
