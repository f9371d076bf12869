"""The command line, `nbutils` or `python -m nbutils`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="Executable reports on Orderless NADE and pixel RNNs.")


@app.callback()
def main():
    """Executable reports on Orderless NADE and pixel RNNs."""


@app.command()
def run(
    notebooks: Annotated[list[str] | None, typer.Argument(help="Names or numbers, such as 04; all if none is given. What they need is run too.")] = None,
    profile: Annotated[str, typer.Option(help="smoke, quick, standard, full, or a YAML file.")] = "quick",
    out: Annotated[Path, typer.Option(help="Folder for pages, results and checkpoints.")] = Path("reports"),
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter, wherever a notebook has it.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Run also what has not changed.")] = False,
    timeout: Annotated[int | None, typer.Option(help="Longest time for one cell, seconds.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
):
    """Run notebooks and render their pages."""
    try:
        from .reports import parameters, runner

        chosen = runner.series(notebooks or ())
        resolved = parameters.resolve(chosen, parameters.read_profile(profile), parameters.parse_settings(set_ or ()))
        outcomes = runner.run(chosen, resolved, out, force=force, timeout=timeout, report=lambda line: print(line, flush=True))
    except (ValueError, OSError) as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    print(f"\nOpen {(out / 'index.html').resolve()}")
    if any(outcome.status != "done" for outcome in outcomes):
        raise typer.Exit(1)


@app.command()
def train(
    recipe: Annotated[Path | None, typer.Argument(help="YAML file of settings, a mapping from name to value.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for checkpoint and metrics.")] = Path("trainings"),
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting, such as width=128; after the file's.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
):
    """Train an inpainter, the model of notebook 04; `torchrun -m nbutils train` shares it among devices and machines."""
    try:
        from .recipes import Recipe
        from .reports import parameters

        chosen = (parameters.read_mapping(recipe) if recipe else {}) | parameters.parse_settings(set_ or ())
        _, finished = Recipe(**parameters.merge("recipe", vars(Recipe()), chosen)).fit(out)
    except (ValueError, OSError, FloatingPointError) as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    last = finished.metrics[-1]
    print(f"step {last['step']}: validation loss {last['valid_loss']:.4f}, {last['valid_bits']:.3f} bits per hole variable\n{finished.checkpoint}")


@app.command()
def search(
    journal: Annotated[Path, typer.Argument(help="File of the trials, made where it is missing; several processes and machines may share it.")],
    trials: Annotated[int, typer.Option(help="How many of each loss there shall be in all.")],
    budget: Annotated[int, typer.Option(help="Training examples of a trial.")],
    losses: Annotated[str, typer.Option(help="One or several, separated by commas.")] = "cross_entropy,emd1,emd2",
    max_work: Annotated[float, typer.Option(help="Most multiplications of a trial's convolutions, forward; a trial that needs more is cut off.")] = float("inf"),
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting, such as image_size=32; width=[32, 64] is a range.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Trials at a time; as many as there are processor cores if not given.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
):
    """Search hyper-parameters at random, or go on with a search; what was finished stays, what was killed is taken up."""
    try:
        from .recipes import Recipe
        from .reports import parameters
        from .search import Search, divided

        ranges, fixed = divided(parameters.parse_settings(set_ or ()))
        chosen = Search(recipe=Recipe(**parameters.merge("recipe", vars(Recipe()), fixed)), ranges=ranges, budget=budget, max_work=max_work)
        for trial in chosen.run(journal, trials, losses.split(","), jobs):
            print(trial, flush=True)
    except (ValueError, OSError, RuntimeError) as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
