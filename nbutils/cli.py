"""The command line, `nbutils` or `python -m nbutils`."""

from pathlib import Path
from typing import Annotated

import typer

from .console import OneLineErrors, stopped_in_one_line
from .data import commands as data_commands

app = typer.Typer(cls=OneLineErrors, add_completion=False, pretty_exceptions_enable=False, help="Executable reports on Orderless NADE and pixel RNNs.")
app.add_typer(data_commands.app, name="data")


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
    timeout: Annotated[int | None, typer.Option(min=1, help="Longest time for one cell, seconds.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
):
    """Run notebooks and render their pages."""
    with stopped_in_one_line():
        from .reports import parameters, runner

        chosen = runner.series(notebooks or ())
        resolved = parameters.resolve(chosen, parameters.read_profile(profile), parameters.parse_settings(set_ or ()))
        outcomes = runner.run(chosen, resolved, out, force=force, timeout=timeout, report=lambda line: print(line, flush=True))
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
    with stopped_in_one_line():
        from .recipes import Recipe
        from .reports import parameters

        chosen = (parameters.read_mapping(recipe) if recipe else {}) | parameters.parse_settings(set_ or ())
        _, finished = Recipe(**parameters.merge("recipe", vars(Recipe()), chosen)).fit(out)
    last = finished.metrics[-1]
    print(f"step {last['step']}: validation loss {last['valid_loss']:.4f}, {last['valid_bits']:.3f} bits per hole variable\n{finished.checkpoint}")
