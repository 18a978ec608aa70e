"""A bounded share of the time for work that may wait."""

from __future__ import annotations

import time


class Share:
    """Lets work run so that it takes at most ``share`` of the time while the container is busy (None = no bound)."""

    def __init__(self, share: float | None) -> None:
        self.share = share
        self._not_before = 0.0

    def allows(self, busy: bool) -> bool:
        """True if the work may run now."""
        if not busy or self.share is None:
            return True
        return self.share > 0 and time.monotonic() >= self._not_before

    def used(self, seconds: float) -> None:
        """The work just took ``seconds``."""
        if self.share:
            self._not_before = time.monotonic() + seconds * (1 - self.share) / self.share
