"""Figures for Prometheus, through Ray's own metrics.

Ray exports them, with ``ray_`` before their names, where its agent can: it needs what ``pip install "ray[default]"``
brings. Without that they cost little and go nowhere.
"""

from __future__ import annotations

from ray.util.metrics import Counter, Gauge, Histogram

_SECONDS = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0]


class SessionMetrics:
    """Of one session: step time, frame age, how soon input is seen, pauses, restarts of its engine."""

    def __init__(self, session: str) -> None:
        tags = {"session": session}
        keys = ("session",)
        self.frame_age: float | None = None
        self._step = Histogram("draggan_step_seconds", "from step to step", boundaries=_SECONDS, tag_keys=keys)
        self._pause = Histogram("draggan_pause_seconds", "a change of engine", boundaries=_SECONDS, tag_keys=keys)
        self._age = Gauge("draggan_frame_age_seconds", "from a step to its picture", tag_keys=keys)
        self._seen = Histogram(
            "draggan_input_to_picture_seconds",
            "from what a user says to the first picture of it",
            boundaries=_SECONDS,
            tag_keys=keys,
        )
        self._steps = Counter("draggan_steps_total", "latent updates", tag_keys=keys)
        self._restarts = Counter("draggan_engine_deaths_total", "engines that died under it", tag_keys=keys)
        for metric in (self._step, self._pause, self._age, self._seen, self._steps, self._restarts):
            metric.set_default_tags(tags)

    def step(self, seconds: float) -> None:
        """A step, s after the one before."""
        self._step.observe(seconds)
        self._steps.inc()

    def pause(self, seconds: float) -> None:
        """A step, s after the one before, with a change of engine between them."""
        self._pause.observe(seconds)
        self._steps.inc()

    def age(self, seconds: float) -> None:
        """A picture, s after the step it shows."""
        self.frame_age = seconds
        self._age.set(seconds)

    def seen(self, seconds: float) -> None:
        """A picture, s after what a user said, and the first that shows it."""
        self._seen.observe(seconds)

    def restart(self) -> None:
        """An engine died under it."""
        self._restarts.inc()


class ClusterMetrics:
    """Of the cluster: the line, and by engine its sessions, batch, and steps a second."""

    def __init__(self) -> None:
        self._queue = Gauge("draggan_queue_length", "sessions that wait for a place")
        self._sessions = Gauge("draggan_engine_sessions", "sessions on an engine", tag_keys=("engine",))
        self._batch = Gauge("draggan_batch_size", "sessions that step together", tag_keys=("engine",))
        self._rate = Gauge("draggan_steps_per_second", "of an engine", tag_keys=("engine",))
        self._restarts = Counter("draggan_engine_restarts_total", "engines started in place of dead ones")

    def queue(self, length: int) -> None:
        """How many wait."""
        self._queue.set(length)

    def engine(self, name: str, sessions: int, batch: float, rate: float) -> None:
        """How an engine does."""
        tags = {"engine": name}
        self._sessions.set(sessions, tags)
        self._batch.set(batch, tags)
        self._rate.set(rate, tags)

    def gone(self, name: str) -> None:
        """An engine is no more."""
        self.engine(name, 0, 0.0, 0.0)

    def restart(self) -> None:
        """An engine was started in place of a dead one."""
        self._restarts.inc()
