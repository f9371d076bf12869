"""The command line, `nbutils` or `python -m nbutils`."""

import signal
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup


class _OneLineErrors(TyperGroup):
    """Says every error in one line, exit code 2; `--debug`, where a command has it, shows the traceback too."""

    def main(self, args=None, **options):
        given = sys.argv[1:] if args is None else list(args)
        try:
            code = super().main(given or ["--help"], **options | {"standalone_mode": False})
        except Exception as error:
            if "--debug" in given:
                traceback.print_exc()
            usage, known = getattr(error, "format_message", None), isinstance(error, ValueError | OSError)  # of the command line; of what was given
            said = f"{usage()} See `nbutils --help`." if usage else str(error) if known else f"{type(error).__name__}: {error}; --debug shows where"
            print(f"error: {' '.join(said.split())}", file=sys.stderr)
            code = 2
        sys.exit(code)


app = typer.Typer(cls=_OneLineErrors, add_completion=False, pretty_exceptions_enable=False, help="Executable reports on Orderless NADE and pixel RNNs.")


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
    with _stopped_in_one_line():
        from .reports import parameters, runner

        chosen = runner.series(notebooks or ())
        resolved = parameters.resolve(chosen, parameters.read_profile(profile), parameters.parse_settings(set_ or ()))
        outcomes = runner.run(chosen, resolved, out, force=force, timeout=timeout, report=lambda line: print(line, flush=True))
    print(f"\nOpen {(out / 'index.html').resolve()}")
    if any(outcome.status != "done" for outcome in outcomes):
        raise typer.Exit(1)


class _Terminated(BaseException):
    """SIGTERM came."""


@contextmanager
def _stopped_in_one_line():
    """Ends the command in order where a terminal's Ctrl-C (exit code 130) or SIGTERM (143) stops it."""

    def terminate(number, frame):
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except (KeyboardInterrupt, _Terminated) as stop:
        print("stopped; what is finished is kept, the same command goes on from here", file=sys.stderr)
        raise typer.Exit(130 if isinstance(stop, KeyboardInterrupt) else 143) from None
    finally:
        signal.signal(signal.SIGTERM, before)
