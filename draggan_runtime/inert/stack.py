"""The stack, the memo and the containers of a pickle: the opcodes that know nothing of classes."""

from __future__ import annotations

from typing import Any

from draggan_runtime.inert.cursor import Cursor
from draggan_runtime.inert.limits import Refused
from draggan_runtime.inert.pieces import Load, Shell, key, mapping

DAMAGED = "get it anew"
_LONGEST_INDEX = 20  # digits


class Stack:
    """What a pickle at ``at`` in ``data`` works on. A method ``_binput`` is the opcode BINPUT."""

    def __init__(self, load: Load, data: memoryview, at: int) -> None:
        self.load = load
        self.cursor = Cursor(data, at, load.left)
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def _top(self, kind: type) -> Any:
        """The topmost item of the stack, which must be a ``kind``."""
        top = self.stack[-1]
        if type(top) is not kind:
            raise Refused(f"is damaged: a {type(top).__name__} stands where a {kind.__name__} should", DAMAGED)
        return top

    def _marked(self) -> list[Any]:
        """Items above the last mark, taken off the stack."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    # -- protocol, stack, memo --------------------------------------------------------------------------------

    def _proto(self) -> None:
        if (version := self.cursor.byte()) > 5:
            raise Refused(f"is a pickle of protocol {version}, which this program does not know", DAMAGED)

    def _frame(self) -> None:
        self.cursor.take(8)  # only of use to those who read from a stream

    def _mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def _pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self._marked()

    def _pop_mark(self) -> None:
        self._marked()

    def _dup(self) -> None:
        self.stack.append(self.stack[-1])

    def _index(self) -> int:
        return int(self.cursor.line("number", _LONGEST_INDEX))

    def _get(self) -> None:
        self.stack.append(self.memo[self._index()])

    def _binget(self) -> None:
        self.stack.append(self.memo[self.cursor.byte()])

    def _long_binget(self) -> None:
        self.stack.append(self.memo[self.cursor.number(4)])

    def _remember(self, index: int) -> None:
        value = self.memo[index] = self.stack[-1]
        if type(value) is Shell:
            value.memo.append(index)

    def _put(self) -> None:
        self._remember(self._index())

    def _binput(self) -> None:
        self._remember(self.cursor.byte())

    def _long_binput(self) -> None:
        self._remember(self.cursor.number(4))

    def _memoize(self) -> None:
        self._remember(len(self.memo))

    # -- containers ---------------------------------------------------------------------------------------------

    def _tuple(self) -> None:
        items = self._marked()
        self.stack.append(tuple(items))

    def _last(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def _tuple1(self) -> None:
        self._last(1)

    def _tuple2(self) -> None:
        self._last(2)

    def _tuple3(self) -> None:
        self._last(3)

    def _list(self) -> None:
        items = self._marked()
        self.stack.append(items)

    def _dict(self) -> None:
        items = self._marked()
        self.stack.append(mapping(zip(items[::2], items[1::2], strict=True)))

    def _frozenset(self) -> None:
        items = self._marked()
        self.stack.append(frozenset(map(key, items)))

    def _append(self) -> None:
        value = self.stack.pop()
        self._top(list).append(value)

    def _appends(self) -> None:
        items = self._marked()
        self._top(list).extend(items)

    def _setitem(self) -> None:
        value, name = self.stack.pop(), self.stack.pop()
        self._top(dict)[key(name)] = value

    def _setitems(self) -> None:
        items = self._marked()
        self._top(dict).update(mapping(zip(items[::2], items[1::2], strict=True)))

    def _additems(self) -> None:
        items = self._marked()
        self._top(set).update(map(key, items))
