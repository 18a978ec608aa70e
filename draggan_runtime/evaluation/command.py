"""The command that makes a table again."""

from __future__ import annotations

import shlex
from typing import Any

from draggan_runtime.evaluation.methods import known, of_kind
from draggan_runtime.evaluation.table import Table


def command_of(table: Table) -> str:
    """The ``draggan eval`` that measures a table's rows, as far as they know what they were measured with."""
    protocol = table.protocol
    said: list[Any] = [f"--{protocol.counted}", max(line.cases for line in table.lines)]
    for name, value in protocol.options.items():
        said += [f"--{name.replace('_', '-')}", value]
    graph: dict[str, Any] = next(
        (of["graph"] for rows in table.rows.values() for of in reversed(rows) if "graph" in of), {}
    )
    if graph.get("launch", "local") != "local":
        said += ["--launch", graph["launch"]]
    if graph.get("config"):
        said += ["--config", graph["config"]]
    for override in graph.get("set", ()):
        said += ["--set", override]
    for method, rows in table.rows.items() if [*table.rows] != [*of_kind(protocol.kind)] else ():
        overrides = "" if method in known() else ":" + ",".join(rows[-1]["overrides"])
        said += ["--method", method + overrides]
    return shlex.join(["draggan", "eval", protocol.name, *map(str, said), "--out", "OUT"])
