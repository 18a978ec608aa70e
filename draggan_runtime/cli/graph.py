"""``draggan graph``: check a launch or a graph before anything starts, and draw it."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from draggan_runtime import cost_file
from draggan_runtime.cli.common import Format, FormatOption, SetOption, print_json
from draggan_runtime.execution.costs import EdgeCosts
from draggan_runtime.graph import load_launch
from draggan_runtime.graph.draw import bytes_text, classes_of, cost_of, dot, mermaid, message_type, qos_text
from draggan_runtime.graph.model import ResolvedGraph

app = typer.Typer(help="Graphs: check, show.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Argument(
        metavar="[LAUNCH|GRAPH]", help="A .yaml file, or the name of a launch (live, local ...) or graph (drag)."
    ),
]
ConfigOption = Annotated[
    str | None, typer.Option(help="Parameter preset, instead of the launch's own.", metavar="CONFIG")
]


class Drawing(StrEnum):
    """The languages a graph can be drawn in."""

    mermaid = "mermaid"
    dot = "dot"
    table = "table"


@app.command()
def check(
    name: Name = "live",
    config: ConfigOption = None,
    set_: SetOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Check a launch as `draggan launch` would, without starting it: exit code 0 if it fits, else 2 and the line.

    \b
    draggan graph check                                   the launch live
    draggan graph check local --set tracker.radius=8
    draggan graph check my/launch.yaml --set tracker.impl=my/tracker.py:Mine
    draggan graph check live --format json                everything, resolved
    """
    graph = load_launch(name, set_ or [], config=config)
    if format_ is Format.json:
        print_json(_plain(graph))
        return
    table = Table("container", "place", "node", "impl", "parameters", title=graph.name, title_justify="left")
    for spec in graph.containers.values():
        for index, node_id in enumerate(spec.nodes):
            node = graph.nodes[node_id]
            params = ", ".join(f"{k}={v}" for k, v in node.params.items())
            first = (spec.name, spec.place) if index == 0 else ("", "")
            table.add_row(*first, node_id, node.impl.name, params)
        table.add_section()
    console = Console()
    console.print(table)
    for note in graph.notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    console.print(f"{graph.name}: {len(graph.nodes)} nodes, {len(graph.edges)} edges, all fit", highlight=False)


@app.command()
def show(
    name: Name = "live",
    as_: Annotated[
        Drawing, typer.Option("--as", help="mermaid; dot for Graphviz; table: the edges, a line each.")
    ] = Drawing.mermaid,
    costs: Annotated[bool, typer.Option("--costs", help="Say what each edge cost when this last ran.")] = False,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Draw a launch or a graph as text: containers, nodes, message types.

    \b
    draggan graph show live                                    paste it into a Markdown file
    draggan graph show spread --as dot | dot -Tsvg > graph.svg
    draggan graph show split --costs --as table                after draggan drag --launch split ...

    Costs are of the last `draggan launch`, `draggan drag` or `draggan bench layouts` on this machine: messages that
    arrived; for those between containers also bytes, and ms that each held its sender up: of a call, half the time that
    the other side did not compute. Messages that travel together wait together: do not add their ms up.
    """
    graph = load_launch(name, set_ or [], config=config)
    found = cost_file.load(graph, name) if costs else None
    if as_ is Drawing.table:
        _edges(graph, found)
    else:
        print(mermaid(graph, found) if as_ is Drawing.mermaid else dot(graph, found), end="")


def _edges(graph: ResolvedGraph, costs: EdgeCosts | None) -> None:
    """A table of the edges: what they carry, or what they cost."""
    classes = classes_of(graph)
    table = Table("from", "to", box=None)
    for column in ("carries", "qos") if costs is None else ("messages", "each", "ms"):
        table.add_column(column, justify="left" if costs is None else "right")
    for edge in graph.edges:
        figures = [message_type(edge, classes), qos_text(edge.qos)]
        if costs is not None:
            cost = cost_of(edge, costs)
            figures = [str(cost.messages), "", ""]
            if cost.messages and cost.bytes:
                figures[1:] = [bytes_text(cost.bytes / cost.messages), f"{cost.seconds / cost.messages * 1e3:.1f}"]
        ends = f"{edge.source_node}/{edge.source_port}", f"{edge.target_node}/{edge.target_port}"
        table.add_row(*ends, *figures)
    Console().print(table)


def _plain(graph: ResolvedGraph) -> dict[str, Any]:
    return {
        "name": graph.name,
        "home": graph.home,
        "nodes": [
            {
                "id": n.id,
                "impl": n.impl.name,
                "target": n.impl.target,
                "container": graph.container_of(n.id).name,
                "params": n.load()[1].model_dump(mode="json"),
            }
            for n in graph.nodes.values()
        ],
        "edges": [
            {
                "from": f"{e.source_node}/{e.source_port}",
                "to": f"{e.target_node}/{e.target_port}",
                "qos": qos_text(e.qos) or "reliable",
            }
            for e in graph.edges
        ],
        "containers": [
            {
                "name": c.name,
                "place": c.place,
                "nodes": list(c.nodes),
                "num_cpus": c.num_cpus,
                "num_gpus": c.num_gpus,
                "labels": c.labels,
                "threads": c.threads,
                "device": c.device,
                "restart": {"policy": c.restart.policy, "max": c.restart.max},
            }
            for c in graph.containers.values()
        ],
        "engines": asdict(graph.engines),
        "notes": list(graph.notes),
    }
