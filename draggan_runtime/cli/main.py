"""The ``draggan`` command, and how its errors look: one line, and a traceback only with ``--debug``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from draggan_runtime.errors import DragganError
from draggan_runtime.execution.container import one_line

app = typer.Typer(
    name="draggan",
    help="""Drag points on a StyleGAN2 picture; the picture follows.

    \b
    draggan launch live                                   the window
    draggan drag --seed 7 --point 512,590:560,590 --out out   one edit, no window
    draggan invert me.jpg --out me                        the latent of a photo
    draggan doctor                                        is this machine fit?
    """,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options of every command."""


def _commands() -> None:
    from draggan_runtime.cli import (
        bench,
        cluster,
        doctor,
        drag,
        eval,
        fuzz,
        graph,
        invert,
        launch,
        models,
        nodes,
        session,
        soak,
        top,
        train,
    )

    app.command("launch")(launch.launch)
    app.command("drag")(drag.drag)
    app.command("invert")(invert.invert)
    app.command("train")(train.train)
    app.command("doctor")(doctor.doctor)
    app.command("top")(top.top)
    app.command("soak")(soak.soak)
    app.command("fuzz")(fuzz.fuzz)
    app.add_typer(bench.app, name="bench")
    app.add_typer(eval.app, name="eval")
    app.add_typer(models.app, name="models")
    app.add_typer(graph.app, name="graph")
    app.add_typer(nodes.app, name="nodes")
    app.add_typer(cluster.app, name="cluster")
    app.add_typer(session.app, name="session")


def main() -> None:
    """Run the command line. Exit code: 0 success, 1 failure, 2 bad input, 130 interrupted."""
    _commands()
    try:
        app()
    except DragganError as error:
        if "--debug" in sys.argv:
            raise
        print(f"draggan: {one_line(error)}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("draggan: interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        print(f"draggan: {one_line(error)} (run again with --debug for the traceback)", file=sys.stderr)
        sys.exit(1)
