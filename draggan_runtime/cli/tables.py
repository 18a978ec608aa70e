"""Tables that fit 80 columns; what runs on a cluster among them."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text


def status_view(told: dict[str, Any]) -> Group:
    """Engines, sessions and the line, of a cluster's status."""
    limits = told["limits"]
    line = (
        f"{told['queue']} waiting, {told['engine_restarts']} engines restarted, {limits['sessions']} sessions an engine"
    )
    parts: list[RenderableType] = [engine_table(told["engines"]), session_table(told["sessions"]), Text(line)]
    if told["given_up"]:
        parts.append(Text(f"problem: {told['given_up']}"))
    return Group(*parts)


def show_status(told: dict[str, Any], console: Console) -> None:
    """Print them, and where the sessions are."""
    console.print(status_view(told))
    console.print(f"sessions kept in {told['store']}", highlight=False, markup=False)


def engine_table(engines: list[dict[str, Any]]) -> Table:
    """A row an engine: ``ms`` of a round, in which ``batch`` sessions step; ``seats`` taken, ``drags`` of them."""
    table = table_of("engine", "state", right=("seats", "drags", "batch", "ms", "steps/s", "MB", "pid"))
    for e in engines:
        table.add_row(
            e["name"],
            e["state"],
            str(len(e["sessions"])),
            str(e.get("drags", "")),
            _number(e.get("batch"), 1),
            _number(e.get("round_ms"), 1),
            _number(e.get("steps_per_second"), 1),
            _number(e.get("bytes_used"), 0, 1e-6),
            str(e.get("pid", "")),
        )
    return table


def session_table(sessions: list[dict[str, Any]]) -> Table:
    """A row a session: ``px`` left to go, ``age`` ms from a step to its picture, ``died``: engines under it."""
    table = table_of("session", "state", "engine", right=("step", "px", "steps/s", "age", "seen by", "died"))
    for s in sessions:
        table.add_row(
            s["id"],
            _state(s),
            s.get("engine", ""),
            str(s.get("step", "")),
            _number(s.get("left_px"), 1),
            _number(s.get("steps_per_second"), 1),
            _number(s.get("frame_age"), 0, 1e3),
            str(s.get("watchers", "")),
            str(s.get("engine_deaths", "")),
        )
    return table


def _state(session: dict[str, Any]) -> str:
    state, drag = session["state"], session.get("drag", "")
    if state == "queued":
        return f"queued, place {session['place']}"
    if state == "running":
        return str(drag if drag == "dragging" else state)
    return f"{state}, {drag}" if drag and drag != state else str(state)


def table_of(*left: str, right: tuple[str, ...] = ()) -> Table:
    """An empty table without lines: columns of words, then of numbers."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _number(value: float | None, digits: int, scale: float = 1.0) -> str:
    return "" if value is None else f"{value * scale:.{digits}f}"
