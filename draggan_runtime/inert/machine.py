"""An interpreter of pickles that has data and nothing else.

Not ``pickle.Unpickler`` with another ``find_class``: that one calls whatever it finds on its stack, and asks it for
``__setstate__``, ``append`` or ``__dict__``, allocates what lengths declare, and leaves the depth of what it builds to
the caller. Here each opcode is a function of a few lines over exact types: nothing from a file is looked up but in
:mod:`~draggan_runtime.inert.names`, and nothing called but functions of ours. Opcodes that the files do not need (INST,
OBJ, NEWOBJ_EX, EXT1 ..., PERSID, buffers out of band) are refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any

from draggan_runtime.inert.cursor import Cursor
from draggan_runtime.inert.limits import Refused, too_large
from draggan_runtime.inert.names import LONGEST_NAME, find, make
from draggan_runtime.inert.pieces import Function, Kind, Load, Shell
from draggan_runtime.inert.record import Record
from draggan_runtime.inert.stack import DAMAGED, Stack
from draggan_runtime.inert.values import VALUES


class Machine(Stack):
    """One pickle, at ``at`` in ``data``; ``persistent`` gives the storages that a torch file names."""

    def __init__(
        self, load: Load, data: memoryview, at: int = 0, persistent: Callable[[Any], Any] | None = None
    ) -> None:
        super().__init__(load, data, at)
        self.persistent = persistent

    def run(self) -> Any:
        """The object; ``cursor`` then stands behind the pickle."""
        cursor, left = self.cursor, self.load.left
        while True:
            left.opcodes -= 1
            if left.opcodes < 0:
                raise too_large("opcodes", left.limits.opcodes)
            code = cursor.byte()
            if (value := _VALUES[code]) is not None:
                self.stack.append(value(cursor))
            elif (handler := _HANDLERS[code]) is not None:
                handler(self)
            elif code == _STOP:
                return self.stack.pop()
            else:
                raise Refused(f"is no file of weights or latents, or damaged (opcode {code:#04x})", DAMAGED)

    def _global(self) -> None:
        module, name = (str(self.cursor.line("name", LONGEST_NAME), "utf-8") for _ in range(2))
        self.stack.append(find(module, name))

    def _stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(module) is not str or type(name) is not str:
            raise Refused("names a function by what is no text", DAMAGED)
        self.stack.append(find(module, name))

    def _reduce(self) -> None:
        args = self.stack.pop()
        function = self.stack[-1]
        if type(function) is not Function or type(args) is not tuple:
            what = str(function) if type(function) is Kind else "what is no function"
            raise Refused(f"calls {what}, which this reader does not call")
        self.stack[-1] = function.call(self.load, *args)

    def _inst(self) -> None:
        self._global()  # so that what is refused has a name
        raise Refused("holds an object of the first pickles, before Python 2.2")

    def _newobj(self) -> None:
        args = self.stack.pop()
        kind = self._top(Kind)
        if type(args) is not tuple:
            raise Refused(f"makes a {kind} without arguments", DAMAGED)
        self.stack[-1] = make(kind, args)

    def _build(self) -> None:
        state = self.stack.pop()
        top = self.stack[-1]
        if type(top) is Shell:
            value = self.stack[-1] = top.built(self.load, state)
            for index in top.memo:
                if self.memo[index] is top:
                    self.memo[index] = value
            top.memo.clear()  # it may lie on the stack as often as it likes
        elif type(top) is Record:
            if top.state is not None:
                raise Refused(f"gives a {Kind(top.module, top.name)} two states", DAMAGED)
            object.__setattr__(top, "state", state)  # frozen for all but who makes it
        elif type(top) is not dict or type(state) is not dict:  # attributes of a dict, as state dicts have, are no data
            raise Refused(f"gives a state to a {type(top).__name__}")

    def _binpersid(self) -> None:
        if self.persistent is None:
            raise Refused("names what lies outside of it (a persistent id)")
        self.stack[-1] = self.persistent(self.stack[-1])


_CODES = {op.name: ord(op.code) for op in pickletools.opcodes}
_STOP = _CODES["STOP"]
_VALUES: list[Callable[[Cursor], Any] | None] = [None] * 256
_HANDLERS: list[Callable[[Machine], None] | None] = [None] * 256
for _name, _code in _CODES.items():
    _VALUES[_code] = VALUES.get(_name)
    _HANDLERS[_code] = getattr(Machine, f"_{_name.lower()}", None)
