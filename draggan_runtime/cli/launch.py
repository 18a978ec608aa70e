"""``draggan launch``: run a graph in the layout of a launch file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from draggan_runtime import cost_file
from draggan_runtime.app import App
from draggan_runtime.cli.common import SetOption, override, say
from draggan_runtime.display_probe import display_reachable
from draggan_runtime.errors import DragganError, UserError
from draggan_runtime.files import writable_folder
from draggan_runtime.graph import load_launch
from draggan_runtime.graph.lasting import model_to_load
from draggan_runtime.graph.model import ResolvedGraph
from draggan_runtime.live import Live
from draggan_runtime.photos import load_photo
from draggan_runtime.session import SessionRecord, load_session


def launch(
    name: Annotated[str, typer.Argument(metavar="LAUNCH", help="A launch file, or the name of one: live, local ...")],
    session: Annotated[Path | None, typer.Option("--open", help="Reopen a saved session: .draggan, or a PNG.")] = None,
    image: Annotated[Path | None, typer.Option(metavar="PHOTO", help="Begin with a photo of yours.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for what is saved.")] = Path("out"),
    without_display: Annotated[
        str | None, typer.Option(metavar="LAUNCH", help="What to run instead if no display can be reached.")
    ] = None,
    config: Annotated[str | None, typer.Option(help="Parameter preset, instead of the launch's own.")] = None,
    model: Annotated[str | None, typer.Option(help="Model; see draggan models list.")] = None,
    set_: SetOption = None,
) -> None:
    """Run a graph until its capture quits.

    \b
    draggan launch live                          the window: click handle, click target, space
    draggan launch live --set capture.seed=42    another first face
    draggan launch live --image me.jpg           your photo; f: its next face
    draggan launch live --model cats             another model, see draggan models add
    draggan launch live --set tracker.impl=tracking/none
    draggan launch my/launch.yaml
    """
    if image is not None and session is not None:
        raise UserError("--image and --open both say which picture to begin with; give one")
    if image is not None:
        load_photo(image)  # what is none is said before the program looks around
    writable_folder(out)
    overrides: list[str] = []
    if without_display is not None and (reason := display_reachable()) is not None:
        print(f"no display ({reason}): performing the recorded edit of '{without_display}' instead")
        name = without_display
        overrides = [override("display.video", str((out / "edit.mp4").resolve()))]
    record = load_session(session) if session is not None else SessionRecord()
    overrides += [*record.overrides(), *(set_ or [])]
    model = model_to_load(model, record.model, name, config)
    graph = load_launch(name, overrides, config=config, model=model)
    own = [override(f"{node}.out", str(out.resolve())) for node in graph.taking("out")]
    if session is not None:
        own += _continued(graph, record)
    if image is not None:
        own += _of_photo(graph, image)
    graph = load_launch(name, [*own, *overrides], config=config, model=model)
    for note in graph.notes:
        say(note)
    with Console(stderr=True).status("starting"):
        app = App(graph, record)
    with app:
        if session is not None:
            app.restore()
        live = Live(app, say, out)
        try:
            live.run()
        except (DragganError, KeyboardInterrupt):
            if live.autosave.exists():
                say(f"the session is kept in {live.autosave}; go on with --open {live.autosave}")
            raise
        cost_file.save(app)
        failed = app.progress is not None and app.progress.stopped == "failed"
    if name == without_display:
        print("\n".join(str(p) for p in sorted(out.iterdir()) if p.suffix in (".png", ".mp4")))
    if failed:
        raise typer.Exit(1)


def _of_photo(graph: ResolvedGraph, image: Path) -> list[str]:
    """Overrides that make the captures begin with a photo. Raises UserError if none can."""
    captures = graph.taking("photo")
    if not captures:
        raise UserError(f"launch '{graph.name}' has no window for a photo; draggan drag --image {image} needs none")
    return [override(f"{node}.photo", str(image.resolve())) for node in captures]


def _continued(graph: ResolvedGraph, record: SessionRecord) -> list[str]:
    """Overrides that make the captures take up the record's points, and ask for no picture of their own."""
    points = [{"handle": p.handle, "target": p.target} for p in record.points]
    captures = graph.taking("seed", "points")
    own = [o for node in captures for o in (override(f"{node}.seed", None), override(f"{node}.points", points))]
    return own + [override(f"{node}.photo", "") for node in graph.taking("photo")]
