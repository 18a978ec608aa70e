"""Where a protocol edits: one session for each set of overrides, kept open from case to case."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from draggan_runtime import api
from draggan_runtime.errors import DragganError
from draggan_runtime.evaluation.following import Following
from draggan_runtime.evaluation.learned_map.session import OneShotSession
from draggan_runtime.evaluation.methods import Method
from draggan_runtime.graph import load_launch
from draggan_runtime.messages import XY, Handles, Inverting, PointPair, Progress
from draggan_runtime.pictures import Pixels


class Interrupted(Exception):  # noqa: N818
    """The user stopped a drag: what was measured so far counts, this case does not."""


class Sessions:
    """Opens sessions for methods; use it in a ``with`` block. ``launch``, ``config``, ``set`` as :func:`api.open`.

    ``watch`` is called at each step of a drag, a walk or an inversion; if it returns False, that ends with Interrupted.
    """

    def __init__(
        self,
        launch: str = "local",
        config: str | None = None,
        set: Iterable[str] = (),
        watch: Callable[[Progress | Inverting], bool | None] = lambda _: None,
    ) -> None:
        self._launch, self._config, self._set = launch, config, tuple(set)
        self._watch = watch
        self._open: dict[tuple[bool, tuple[str, ...]], api.Session] = {}
        self._following: dict[tuple[str, ...], Following] = {}

    def __enter__(self) -> Sessions:
        return self

    def __exit__(self, *_: object) -> None:
        for session in self._open.values():
            session.close()
        for following in self._following.values():
            following.close()
        self._open.clear()
        self._following.clear()

    def open(self, method: Method) -> api.Session:
        """The session of this method, which shows what it showed last: give it a seed or a latent. Do not close it."""
        key = method.one_shot, method.overrides
        if key not in self._open:
            overrides = [*self._set, *method.overrides]
            session = api.open(launch=self._launch, config=self._config, set=overrides, lazy=True)
            self._open[key] = OneShotSession(session.app, lazy=True) if method.one_shot else session
        return self._open[key]

    def follow(self, method: Method, latents: Iterable[np.ndarray], points: Sequence[XY]) -> list[Handles]:
        """Where the method's tracker sees ``points``, px of the full output, in the picture of each latent, in order.

        Nothing is dragged: targets are the points themselves. Runs in this process, whatever the launch's layout.
        Raises Interrupted, and DragganError if a node fails.
        """
        if method.overrides not in self._following:
            graph = load_launch(self._launch, [*self._set, *method.overrides], config=self._config)
            self._following[method.overrides] = Following(graph)
        following = self._following[method.overrides]
        started = time.monotonic()
        seen: list[Handles] = []
        for w_plus in latents:
            if seen:
                handles = following.go_on(w_plus, seen[-1])
            else:
                handles = following.begin(w_plus, [PointPair(i, xy, xy) for i, xy in enumerate(points, 1)])
            seen.append(handles)
            now = Progress(
                session=handles.session,
                step=handles.step,
                drag_steps=handles.step,
                handles=handles.positions,
                distances={},
                confidence=handles.confidence,
                loss=math.nan,
                w_plus=w_plus,
                seconds=time.monotonic() - started,
            )
            if self._watch(now) is False:
                raise Interrupted
        return seen

    def invert(self, session: api.Session, photo: Pixels, box: api.Box) -> api.Inversion:
        """Look for the latent of what is in the box, to the end. Raises Interrupted, and DragganError if it fails."""
        going_on = True

        def watch(now: Inverting) -> bool:
            nonlocal going_on
            going_on = self._watch(now) is not False
            return going_on

        found = session.invert(photo, box=box, progress=watch)
        if not going_on:
            raise Interrupted
        return found

    def drag(self, session: api.Session, points: Iterable[api.Pair], max_steps: int) -> api.DragResult:
        """Drag to the end. Raises Interrupted, and DragganError if a node fails."""
        result = session.drag(points, max_steps=max_steps, progress=self._watch)
        if result.stopped == "cancelled":
            raise Interrupted
        if result.stopped == "failed":
            raise DragganError(result.error)
        return result
