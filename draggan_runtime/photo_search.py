"""The search for a photo's latent, as the session that it is for follows it."""

from __future__ import annotations

from collections.abc import Callable

from draggan_runtime.graph.model import ResolvedGraph
from draggan_runtime.messages import Inverting, LatentRequest, Message, Proceed


class PhotoSearch:
    """A search that makes a step for each one asked for, so that it can be watched and ended.

    ``node``: which searches, "" if none does; ``request``: what it is for, None if there is none; ``said``: its last
    word, None until it has begun. ``emit`` sends from an output of the session.

    Each step is answered once, by a word or a failure. What is still under way when another picture is wanted is
    counted, so that nobody takes it for an answer of the next search.
    """

    def __init__(self, graph: ResolvedGraph, emit: Callable[[str, Message], None]) -> None:
        source = graph.source_of(Inverting)
        self.node = source[0] if source is not None else ""
        self.request: LatentRequest | None = None
        self.said: Inverting | None = None
        self._emit = emit
        self._asked = False  # for a step that is not answered yet
        self._strays = 0
        self._enough = False

    @property
    def going(self) -> bool:
        """True until it has ended."""
        return self._asked or self.due

    @property
    def due(self) -> bool:
        """True if its next step is to be asked for."""
        return not (self._asked or self.said is None or self.said.finished)

    @property
    def waiting(self) -> LatentRequest | None:
        """What it is for, until it has begun."""
        return self.request if self.said is None else None

    @property
    def found(self) -> bool:
        """True if it has ended with a latent."""
        return self.said is not None and self.said.finished

    def is_for(self, request: LatentRequest) -> bool:
        """True if the picture that is asked for has to be searched for."""
        return bool(self.node) and request.photo is not None and request.w_plus is None

    def expect(self, request: LatentRequest) -> None:
        """Another picture is wanted: ``request`` is on its way. Whatever was searched for before is given up."""
        searched = self.is_for(request)
        self._drop(said=not searched)
        if searched:
            self.request, self._asked = request, True

    def go_on(self) -> bool:
        """Ask for the next step, or for the end; False if that is not due."""
        if not self.due or self.request is None:
            return False
        self._asked = True
        session, step = self.request.session, self.request.step
        self._emit("proceed", Proceed(session=session, step=step, cancelled=self._enough))
        return True

    def stop(self) -> None:
        """It shall end with the best latent so far."""
        self._enough = self.going

    def hear(self, word: Inverting) -> bool:
        """Take its next word, and pass it on. False for one that nobody waits for any more."""
        if not self._answered() or self.request is None:
            return False
        self.said = word
        self._emit("inverting", word)
        return True

    def fail(self) -> bool:
        """Its node has failed, which ends it. False if nobody waits for that answer any more."""
        if not self._answered():
            return False
        self._drop()
        return True

    def lose(self) -> None:
        """Its node has died, and with it what was under way."""
        self._drop()
        self._strays = 0

    def _answered(self) -> bool:
        """A step is answered; True if it is one of this search."""
        if self._strays:
            self._strays -= 1
            return False
        self._asked = False
        return True

    def _drop(self, said: bool = True) -> None:
        """There is no search any more; ``said``: to those who watch it, unless it had ended anyway."""
        if said and self.request is not None and not self.found:
            session, step = self.request.session, self.request.step
            self._emit(
                "inverting",
                Inverting(session=session, step=step, done=0, of=0, distance=0.0, by="", finished=True),
            )
        self._strays += self._asked
        self.request, self.said, self._asked, self._enough = None, None, False, False
