"""The command line, `nbutils` or `python -m nbutils`."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from .console import OneLineErrors, stopped_in_one_line
from .data import commands as data_commands

app = typer.Typer(
    cls=OneLineErrors,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Executable reports on Orderless NADE and pixel RNNs.",
)
app.add_typer(data_commands.app, name="data")


_Profile = Annotated[str, typer.Option(help="smoke, quick, standard, full, or a YAML file.")]
_Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A parameter, wherever a notebook has it."),
]
_Force = Annotated[bool, typer.Option("--force", help="Run also what has not changed.")]
_Timeout = Annotated[
    int | None, typer.Option(min=1, help="Longest time for one cell of a notebook, seconds.")
]
_JOBS = "Notebooks at a time on this machine; if not given two, where it has two cores."
_Jobs = Annotated[int | None, typer.Option(min=1, help=_JOBS)]
_Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="A Dask scheduler, such as tcp://host:8786, to run on its workers instead."
    ),
]
_Resources = Annotated[
    list[str] | None,
    typer.Option(
        "--resource",
        metavar="NAME=NUMBER",
        help="What a notebook takes of a Dask worker's resources, such as GPU=1.",
    ),
]
_Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


@app.callback()
def main():
    """Executable reports on Orderless NADE and pixel RNNs."""
    os.environ["PYTHONSAFEPATH"] = (
        "1"  # the folder where a command is given is no place for modules of what it starts
    )
    try:
        Path.home()
    except RuntimeError:
        home = Path(tempfile.gettempdir()) / f"nbutils-home-{os.getuid()}"
        home.mkdir(mode=0o700, exist_ok=True)
        if home.is_symlink() or home.stat().st_uid != os.getuid():
            raise OSError(f"HOME is not set, and {home} is somebody else's; set HOME to a folder") from None
        os.environ["HOME"] = str(home)
        print(
            f"HOME is not set and this user has none; {home} is used, set HOME to keep caches",
            file=sys.stderr,
        )


@app.command()
def run(
    notebooks: Annotated[
        list[str] | None,
        typer.Argument(help="Names or numbers, such as 04; all if none is given. What they need is run too."),
    ] = None,
    profile: _Profile = "quick",
    out: Annotated[Path, typer.Option(help="Folder for pages, results and checkpoints.")] = Path("reports"),
    set_: _Set = None,
    force: _Force = False,
    timeout: _Timeout = None,
    jobs: _Jobs = None,
    scheduler: _Scheduler = None,
    resource: _Resources = None,
    debug: _Debug = False,
):
    """Run notebooks and render their pages."""
    with stopped_in_one_line():
        from .reports import parameters, series
        from .reports.run import runner

        chosen = series.chosen(notebooks or ())
        given = parameters.read_profile(profile), parameters.parse_settings(set_ or ())
        chosen = series.chosen(notebooks or (), parameters.resolve(chosen, *given))
        resolved = parameters.resolve(chosen, *given)  # a setting of a notebook that is not run is no setting
        places = _places(jobs, scheduler, parameters.resources(resource or ()))
        how = {"force": force, "timeout": timeout, "profile": profile, "live": _live(), "report": _say}
        outcomes = runner.run(chosen, resolved, out, **how, **places)
    _conclude(out, outcomes)


@app.command()
def sweep(
    notebook: Annotated[str, typer.Argument(help="Name or number of a notebook; what it needs is run too.")],
    grid: Annotated[
        list[str],
        typer.Option(
            "--grid",
            metavar="NAME=A,B,C",
            help="Values of a parameter; with several of them, every combination.",
        ),
    ],
    profile: _Profile = "quick",
    out: Annotated[Path, typer.Option(help="Folder for the cells and the page that compares them.")] = Path(
        "sweep"
    ),
    set_: _Set = None,
    force: _Force = False,
    timeout: _Timeout = None,
    jobs: _Jobs = None,
    scheduler: _Scheduler = None,
    resource: _Resources = None,
    debug: _Debug = False,
):
    """Run a notebook for every cell of a grid, and compare them on one page."""
    with stopped_in_one_line():
        from .reports import parameters, series
        from .reports.run import sweep as sweeping

        chosen = series.chosen([notebook])
        settings, values = parameters.parse_settings(set_ or ()), sweeping.parse_grid(grid)
        places = _places(jobs, scheduler, parameters.resources(resource or ()))
        name = list(chosen)[-1]
        read = parameters.read_profile(profile)
        how = {"force": force, "timeout": timeout, "live": _live(), "report": _say}
        found = sweeping.run(chosen, name, read, settings, values, out, **how, **places)
    _conclude(out, found.values())


def _places(jobs, scheduler, resources):
    """Where notebooks are to run."""
    if resources and not scheduler:
        raise typer.BadParameter("--resource: is for the workers of a Dask cluster; give its --scheduler")
    if scheduler and jobs and jobs > 1:
        raise typer.BadParameter(
            "--jobs: is for this machine; with --scheduler the threads of the workers decide"
        )
    from .reports.run import workers

    return {"jobs": jobs or workers.usual_jobs(), "scheduler": scheduler, "resources": resources}


def _live():
    """Whether lines can be kept up to date where the output goes."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def _say(line):
    print(line, flush=True)


def _conclude(out, outcomes):
    print(f"\nOpen {(out / 'index.html').resolve()}")
    if any(outcome.status != "done" for outcome in outcomes):
        raise typer.Exit(1)


@app.command()
def publish(
    reports: Annotated[Path, typer.Argument(help="Folder of a finished run of the whole series.")],
    to: Annotated[Path, typer.Option(help="Folder that keeps what is published.")] = Path("docs"),
    models: Annotated[
        str | None,
        typer.Option(help="Only the models of this notebook, such as 05, for others to fill with."),
    ] = None,
    part: Annotated[
        bool,
        typer.Option(
            "--part", help="The run may lack notebooks: what is published of those stays beside it."
        ),
    ] = False,
    debug: _Debug = False,
):
    """Publish pages, notebooks, results and small checkpoints of a finished run, and show its findings in the
    README."""
    with stopped_in_one_line():
        from .reports import series
        from .reports.publish import publishing

        if models:
            publishing.publish_models(reports, list(series.chosen([models]))[-1], to, _say)
            return
        publishing.publish(reports, to, _say, part)
    print(f"\nOpen {(to / 'index.html').resolve()}")


@app.command()
def compare(
    to: Annotated[Path, typer.Argument(help="Folder of a publication.")] = Path("docs"),
    debug: _Debug = False,
):
    """Write the page that sets the documents of 2017 beside a publication anew; `publish` writes it too."""
    with stopped_in_one_line():
        from .reports.publish import publishing

        publishing.compare(to, _say)


@app.command()
def train(
    job: Annotated[
        Path | None, typer.Argument(help="YAML file of a job, by default the inpainter of notebook 04.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for checkpoint and metrics.")] = Path("trainings"),
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting, such as width=128; after the file's."),
    ] = None,
    debug: _Debug = False,
):
    """Train a model; `torchrun -m nbutils train` shares it among devices and machines."""
    with stopped_in_one_line():
        from . import job_files

        finished = job_files.read(job, set_ or ()).fit(out)
    last = finished.metrics[-1]
    bits = f", {last['valid_bits']:.3f} bits per hole variable" if "valid_bits" in last else ""
    print(f"step {last['step']}: validation loss {last['valid_loss']:.4f}{bits}\n{finished.checkpoint}")


@app.command()
def keep(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of a finished training, in its folder.")],
    name: Annotated[str, typer.Option(help="Of the files that are written, such as gru_128.")],
    commit: Annotated[str, typer.Option(help="The commit whose code trained it.")],
    processor: Annotated[str, typer.Option(help="What it was trained on, such as 'one core of a Xeon'.")],
    to: Annotated[Path, typer.Option(help="Folder.")] = Path("docs/trained"),
    debug: _Debug = False,
):
    """Keep a finished training, in half precision, which notebooks then take instead of making it again."""
    with stopped_in_one_line():
        from .training import kept

        print(kept.keep(checkpoint, to, name, commit=commit, processor=processor))


@app.command()
def search(
    journal: Annotated[
        Path,
        typer.Argument(
            help="File of the trials, made where it is missing; several processes and machines may share it."
        ),
    ],
    trials: Annotated[int, typer.Option(help="How many of each loss there shall be in all.")],
    budget: Annotated[int, typer.Option(help="Training examples of a trial.")],
    losses: Annotated[
        str, typer.Option(help="One or several, separated by commas.")
    ] = "cross_entropy,emd1,emd2",
    max_work: Annotated[
        float,
        typer.Option(
            help=(
                "Most multiplications of a trial's convolutions, forward; a trial that needs more is cut off."
            )
        ),
    ] = float("inf"),
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="A setting, such as image_size=32; width=[32, 64] is a range."
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="Trials at a time; as many as there are processor cores if not given.")
    ] = None,
    debug: _Debug = False,
):
    """Search hyper-parameters at random, or go on with a search; what was finished stays, what was killed is
    taken up."""
    with stopped_in_one_line():
        from . import job_files
        from .training.search import Search

        job, ranges = job_files.read_search(set_ or ())
        chosen = Search(job=job, ranges=ranges, budget=budget, max_work=max_work)
        for trial in chosen.run(journal, trials, losses.split(","), jobs):
            _say(trial)
