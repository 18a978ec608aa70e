"""``draggan nodes``: what there is, what a node takes and gives, and whether one keeps the contract."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from draggan_runtime.cli.common import Format, FormatOption, print_json
from draggan_runtime.graph.layers import split_override
from draggan_runtime.graph.params import describe
from draggan_runtime.graph.source import scalar
from draggan_runtime.node import Node
from draggan_runtime.registry import available, resolve, summary

app = typer.Typer(help="Nodes: list, info, check.", no_args_is_help=True)

Impl = Annotated[str, typer.Argument(metavar="IMPL", help="A registered name, module:Class or path/file.py:Class.")]


@app.command("list")
def list_(format_: FormatOption = Format.table) -> None:
    """List the registered nodes: those a graph may name in `impl`.

    Other packages register theirs with the entry point group draggan.nodes.
    """
    found = available()
    if format_ is Format.json:
        print_json([vars(node) for node in found])
        return
    table = Table(Column("name", no_wrap=True), "what it does", Column("from", no_wrap=True))
    for node in found:
        table.add_row(node.name, node.summary or f"cannot be loaded: {node.error}", node.distribution)
    Console().print(table)


@app.command()
def info(impl: Impl, format_: FormatOption = Format.table) -> None:
    """Say what a node takes and gives: ports with their message types, parameters with their ranges.

    \b
    draggan nodes info tracking/nearest
    draggan nodes info my/tracker.py:Mine
    """
    cls = resolve(impl).cls
    if format_ is Format.json:
        print_json(_plain(impl, cls))
        return
    console = Console()
    console.print(f"{impl}: {summary(cls)}", markup=False, highlight=False)
    ports = Table("port", "direction", "message", "how", title="ports", title_justify="left")
    for name, port in cls.inputs.items():
        ports.add_row(name, "in", port.type.__name__, port.role + (", optional" if port.optional else ""))
    for name, kind in cls.outputs.items():
        ports.add_row(name, "out", kind.__name__, "")
    console.print(ports)
    params = Table("parameter", "value", "meaning", title="parameters", title_justify="left")
    for name, field in cls.Params.model_fields.items():
        live = " (fixed while running)" if name in cls.fixed else ""
        params.add_row(name, describe(field), (field.description or "") + live)
    if cls.Params.model_fields:
        console.print(params)


@app.command()
def check(
    impl: Impl,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PARAM=VALUE", help="A parameter to check it with. Repeatable."),
    ] = None,
    format_: FormatOption = Format.table,
) -> None:
    """Test whether a node keeps the contract; exit code 0 only if it passes everything.

    Runs it with made-up sessions: a smooth picture that moves by a known way each step.

    \b
    draggan nodes check my/tracker.py:Mine
    draggan nodes check my_package.trackers:Mine --set radius=8
    draggan nodes check tracking/nearest --format json
    """
    from draggan_runtime.node_check import check_node  # torch takes a second, which other commands need not wait

    params = {name: scalar(value) for name, value in map(split_override, set_ or [])}
    checks = check_node(impl, params)
    passed = all(c.ok for c in checks)
    if format_ is Format.json:
        print_json({"impl": impl, "passed": passed, "checks": [vars(c) for c in checks]})
    else:
        table = Table("", "check", "found")
        for c in checks:
            table.add_row("ok" if c.ok else "FAIL", c.name, c.message)
        console = Console()
        console.print(table)
        failed = sum(not c.ok for c in checks)
        console.print(
            f"{impl} keeps the contract" if passed else f"{impl}: {failed} of {len(checks)} checks failed",
            markup=False,
            highlight=False,
        )
    if not passed:
        raise typer.Exit(1)


def _plain(impl: str, cls: type[Node]) -> dict[str, Any]:
    return {
        "name": impl,
        "class": f"{cls.__module__}:{cls.__qualname__}",
        "summary": summary(cls),
        "inputs": [
            {"name": n, "message": p.type.__name__, "role": p.role, "optional": p.optional}
            for n, p in cls.inputs.items()
        ],
        "outputs": [{"name": n, "message": t.__name__} for n, t in cls.outputs.items()],
        "params": [
            {
                "name": n,
                "value": describe(f),
                "description": f.description or "",
                "fixed": n in cls.fixed,
            }
            for n, f in cls.Params.model_fields.items()
        ],
        "polls": cls.polls,
    }
