"""How commands speak and stop: every error in one line, a terminal's Ctrl-C in order."""

import signal
import sys
import traceback
from contextlib import contextmanager

import typer
from typer.core import TyperGroup


class OneLineErrors(TyperGroup):
    """Says every error in one line, exit code 2; `--debug`, where a command has it, shows the traceback
    too."""

    def main(self, args=None, **options):
        given = sys.argv[1:] if args is None else list(args)
        try:
            code = super().main(given or ["--help"], **options | {"standalone_mode": False})
        except Exception as error:
            if "--debug" in given:
                traceback.print_exc()
            said = f"{type(error).__name__}: {error}; --debug shows where"
            if isinstance(error, ValueError | OSError):  # of what was given
                said = str(error)
            if hasattr(error, "format_message"):  # of the command line
                said = f"{error.format_message()} See `nbutils --help`."
            print(f"error: {' '.join(said.split())}", file=sys.stderr)
            code = 2
        sys.exit(code)


class _Terminated(BaseException):
    """SIGTERM came."""


@contextmanager
def stopped_in_one_line(then="what is finished is kept, the same command goes on from here"):
    """Ends the command in order where a terminal's Ctrl-C (exit code 130) or SIGTERM (143) stops it, and says
    what becomes of its work `then`."""

    def terminate(number, frame):
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except (KeyboardInterrupt, _Terminated) as stop:
        print(f"stopped; {then}", file=sys.stderr)
        raise typer.Exit(130 if isinstance(stop, KeyboardInterrupt) else 143) from None
    finally:
        signal.signal(signal.SIGTERM, before)
