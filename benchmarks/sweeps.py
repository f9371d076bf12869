"""What it costs to run notebooks in batch: twelve cells of half a minute on two local workers and on two Dask
workers, against the ideal; and results by size."""

import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import nbformat

from nbutils.reports import series
from nbutils.reports.run import sweep

CELLS, SECONDS, WORKERS = 12, 30, 2
WAIT = """
import json, time
from pathlib import Path
time.sleep(seconds)
(Path(reports) / "checkpoints").mkdir(exist_ok=True)
(Path(reports) / "checkpoints" / "a.safetensors").write_bytes(bytes(1000) * 1000 * megabytes)
found = {"cell": cell, "checkpoint": "checkpoints/a.safetensors", "findings": []}
(Path(reports) / "wait.json").write_text(json.dumps(found))
"""


def _notebook(folder):
    """A notebook that waits, and leaves a checkpoint of a given size."""
    declared = 'cell = 0\nseconds = 1.0\nmegabytes = 1\nreports = "../reports"'
    book = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("# Wait\n\nA benchmark."),
            nbformat.v4.new_code_cell(declared),
            nbformat.v4.new_code_cell(WAIT),
        ]
    )
    book.cells[1].metadata["tags"] = ["parameters"]
    book.metadata |= {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "nbutils": {"needs": []},
    }
    nbformat.write(book, folder / "wait.ipynb")
    return folder / "wait.ipynb"


@contextmanager
def _cluster(folder, workers):
    """A Dask scheduler and workers on this machine; yields the scheduler's address."""
    dask, file = str(Path(sys.executable).parent / "dask"), folder / "scheduler.json"
    start = [
        [dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file]
    ]
    start += [
        [
            dask,
            "worker",
            "--scheduler-file",
            file,
            "--nthreads",
            "1",
            "--no-dashboard",
            "--no-nanny",
            "--local-directory",
            folder / str(n),
        ]
        for n in range(workers)
    ]
    started = [
        subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in start
    ]
    try:
        while not file.is_file():
            time.sleep(0.1)
        time.sleep(5)  # the workers arrive
        yield json.loads(file.read_text())["address"]
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def rows(cells=CELLS, seconds=SECONDS, workers=WORKERS):
    """(what, seconds taken, seconds in the ideal)."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        series.NOTEBOOKS = folder / "books"
        series.NOTEBOOKS.mkdir()
        path = _notebook(series.NOTEBOOKS)

        def taken(cells, out, **settings):
            places = {name: settings.pop(name) for name in ("jobs", "scheduler") if name in settings}
            began = time.perf_counter()
            found = sweep.run(
                {"wait": path},
                "wait",
                {},
                settings,
                {"cell": list(range(cells))},
                folder / out,
                report=lambda line: None,
                **places,
            )
            assert all(outcome.status == "done" for outcome in found.values())
            return time.perf_counter() - began

        ideal = cells * seconds / workers
        yield (
            f"{cells} cells of {seconds} s, {workers} at a time here",
            taken(cells, "here", seconds=float(seconds), jobs=workers),
            ideal,
        )
        with _cluster(folder, workers) as address:
            yield (
                f"{cells} cells of {seconds} s, {workers} Dask workers",
                taken(cells, "there", seconds=float(seconds), scheduler=address),
                ideal,
            )
            small, large = (
                taken(workers, f"{size} MB", seconds=0.0, megabytes=size, scheduler=address)
                for size in (1, 101)
            )
            yield "100 MB more of results per cell (s)", large, small


if __name__ == "__main__":
    for what, seconds, least in rows():
        print(f"{what:<44}{seconds:>8.1f} s{least:>8.1f} s{seconds / least:>8.2f}", flush=True)
