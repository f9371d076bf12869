"""`nbutils data`: prepare and check pictures and digits."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ..console import stopped_in_one_line

app = typer.Typer(no_args_is_help=True, help="Prepare and check captioned pictures and digits.")

_Jobs = Annotated[
    int | None, typer.Option(help="Number of processes; as many as there are processor cores if not given.")
]
_Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


@app.command()
def prepare(
    source: Annotated[
        str, typer.Argument(help="A folder or archive of captioned pictures; coco or mnist to download them.")
    ],
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    size: Annotated[int, typer.Option(help="Side of the square pictures, pixels; digits keep theirs.")] = 64,
    jobs: _Jobs = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out pictures and captions that cannot be used.")
    ] = False,
    debug: _Debug = False,
):
    """Make a folder that is fast to read, with a checksum. What is interrupted starts again."""
    with stopped_in_one_line("nothing is kept of the preparation, the same command starts again"):
        if source == "mnist":
            from .digits import download

            print(download(out))
            return
        from .preparation.prepare import prepare, prepare_coco

        make = prepare_coco if source == "coco" else partial(prepare, source)
        print(make(out=out, size=size, jobs=jobs or _cores(), skip_broken=skip_broken))


@app.command()
def check(
    folder: Annotated[
        Path,
        typer.Argument(
            help="A prepared folder, captioned pictures in any layout, or the four files of MNIST."
        ),
    ],
    jobs: _Jobs = None,
    debug: _Debug = False,
):
    """Try every picture and caption of a folder, and list what is wrong."""
    with stopped_in_one_line("nothing was changed, the same command checks from the beginning"):
        from .preparation.checking import check

        summary, faults = check(folder, jobs or _cores())
        print("\n".join(faults) if faults else summary)
        if faults:
            raise ValueError(f"{folder}: {len(faults):,} fault(s), listed above, the first: {faults[0]}")


def _cores():
    import joblib

    return joblib.cpu_count()
