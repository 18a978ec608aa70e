"""Where a protocol edits: one session for each set of overrides, kept open from case to case."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from draggan_runtime import api
from draggan_runtime.errors import DragganError
from draggan_runtime.evaluation.methods import Method
from draggan_runtime.messages import Progress


class Interrupted(Exception):  # noqa: N818
    """The user stopped a drag: what was measured so far counts, this case does not."""


class Sessions:
    """Opens sessions for methods; use it in a ``with`` block. ``launch``, ``config``, ``set`` as :func:`api.open`.

    ``watch`` is called at each step of a drag; if it returns False, the drag ends with Interrupted.
    """

    def __init__(
        self,
        launch: str = "local",
        config: str | None = None,
        set: Iterable[str] = (),
        watch: Callable[[Progress], bool | None] = lambda _: None,
    ) -> None:
        self._launch, self._config, self._set = launch, config, tuple(set)
        self._watch = watch
        self._open: dict[tuple[str, ...], api.Session] = {}

    def __enter__(self) -> Sessions:
        return self

    def __exit__(self, *_: object) -> None:
        for session in self._open.values():
            session.close()
        self._open.clear()

    def open(self, method: Method) -> api.Session:
        """The session of this method, which shows what it showed last: give it a seed or a latent. Do not close it."""
        if method.overrides not in self._open:
            overrides = [*self._set, *method.overrides]
            self._open[method.overrides] = api.open(launch=self._launch, config=self._config, set=overrides)
        return self._open[method.overrides]

    def drag(self, session: api.Session, points: Iterable[api.Pair], max_steps: int) -> api.DragResult:
        """Drag to the end. Raises Interrupted, and DragganError if a node fails."""
        result = session.drag(points, max_steps=max_steps, progress=self._watch)
        if result.stopped == "cancelled":
            raise Interrupted
        if result.stopped == "failed":
            raise DragganError(result.error)
        return result
