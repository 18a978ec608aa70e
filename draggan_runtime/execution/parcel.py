"""What goes from one container to another, as bytes: each message once, and counted by edge."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable
from typing import Any

from draggan_runtime.execution.costs import Costs
from draggan_runtime.execution.delivery import Delivery
from draggan_runtime.messages import Message
from draggan_runtime.wire import to_host


class Parcel:
    """A value with deliveries in it, on its way to another process, where it arrives as the value itself.

    Tensors become numpy arrays. The messages come first, one after the other into one stream that remembers what it
    holds already: so the size of each is known, and what several have in common crosses once. Arrays go uncopied
    beside the stream (pickle's out-of-band buffers).
    """

    def __init__(self, value: Any, deliveries: Iterable[Delivery], costs: Costs) -> None:
        self._value, crossing = to_host((value, list(deliveries)))
        self._messages = _by_message(crossing)
        self._costs = costs

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        stream = io.BytesIO()
        buffers: list[pickle.PickleBuffer] = []
        pickler = pickle.Pickler(stream, protocol=5, buffer_callback=buffers.append)
        for message, carriers in self._messages:
            start, beside = stream.tell(), len(buffers)
            pickler.dump(message)
            size = stream.tell() - start + sum(b.raw().nbytes for b in buffers[beside:])
            self._costs.crossed(carriers, size)
        pickler.dump(self._value)
        return _opened, (len(self._messages), stream.getvalue(), buffers)


def _opened(messages: int, stream: bytes, buffers: list[Any]) -> Any:
    # From our own actors, as everything that Ray carries.
    unpickler = pickle.Unpickler(io.BytesIO(stream), buffers=buffers)  # noqa: S301
    for _ in range(messages):
        unpickler.load()
    return unpickler.load()


def _by_message(deliveries: Iterable[Delivery]) -> list[tuple[Message, list[Delivery]]]:
    """Each message once, with all that carry it."""
    groups: dict[int, tuple[Message, list[Delivery]]] = {}
    for delivery in deliveries:
        groups.setdefault(id(delivery.message), (delivery.message, []))[1].append(delivery)
    return list(groups.values())
