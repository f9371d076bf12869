"""A sweep on a real Dask cluster: the same results as here, whatever happens to its workers."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import nbformat
import psutil
import pytest

from nbutils.reports import series
from nbutils.reports.run import runner, sweep, workers

pytestmark = pytest.mark.slow

FIRST = """
import json, os, time
from pathlib import Path
began = time.time()
time.sleep(seconds)
(Path(reports) / "checkpoints").mkdir(exist_ok=True)
(Path(reports) / "checkpoints" / "a.safetensors").write_bytes(bytes([x]) * 1000)
found = {"x": x, "square": x * x, "checkpoint": "checkpoints/a.safetensors", "findings": []}
(Path(reports) / "first.json").write_text(json.dumps(found))
with open(log, "a") as file:
    where = os.environ.get("WORKER", os.environ.get("OMP_NUM_THREADS", "all"))
    print(x, where, began, time.time(), file=file)
"""
SECOND = """
import json
from pathlib import Path
first = json.loads((Path(reports) / "first.json").read_text())
total = sum((Path(reports) / first["checkpoint"]).read_bytes())
(Path(reports) / "second.json").write_text(json.dumps({"sum": total + y, "findings": []}))
"""


def write_notebook(folder, name, parameters, code, needs=()):
    book = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell(f"# {name}\n\nA test."),
            nbformat.v4.new_code_cell(parameters),
            nbformat.v4.new_code_cell(code),
        ]
    )
    book.cells[1].metadata["tags"] = ["parameters"]
    book.metadata |= {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "nbutils": {"needs": list(needs)},
    }
    folder.mkdir(exist_ok=True)
    nbformat.write(book, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    monkeypatch.setattr(series, "NOTEBOOKS", tmp_path / "books")
    first = write_notebook(
        tmp_path / "books",
        "first",
        f'x = 1\nseconds = 0.5\nlog = "{tmp_path / "log.txt"}"\nreports = "../reports"',
        FIRST,
    )
    return {
        "first": first,
        "second": write_notebook(
            tmp_path / "books", "second", 'x = 1\ny = 0\nreports = "../reports"', SECOND, ["first"]
        ),
    }


@pytest.fixture
def cluster(tmp_path):
    """A scheduler, and a function that starts a worker with a name."""
    started = []
    dask = str(Path(sys.executable).parent / "dask")

    def start(*arguments, **environment):
        with open(tmp_path / f"dask{len(started)}.txt", "w") as said:
            started.append(
                subprocess.Popen(
                    [dask, *map(str, arguments)],
                    stdout=said,
                    stderr=said,
                    env=os.environ | environment,
                    cwd=tmp_path,
                )
            )
        return started[-1]

    start(
        "scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        0,
        "--no-dashboard",
        "--scheduler-file",
        tmp_path / "scheduler.json",
    )
    while not (tmp_path / "scheduler.json").is_file():
        time.sleep(0.1)

    def worker(name, *options):
        where = tmp_path / f"disk of {name}"
        return start(
            "worker",
            "--scheduler-file",
            tmp_path / "scheduler.json",
            "--nthreads",
            1,
            "--no-nanny",
            "--no-dashboard",
            "--local-directory",
            where,
            *options,
            WORKER=name,
        )

    worker.address = json.loads((tmp_path / "scheduler.json").read_text())["address"]
    yield worker
    for process in reversed(started):
        process.kill()
        process.wait()


def run(notebooks, name, grid, out, settings=None, **places):
    books = {key: path for key, path in notebooks.items() if key in ("first", name)}
    said = []
    found = sweep.run(books, name, {}, settings or {}, grid, out, report=said.append, **places)
    results = {
        cell: json.loads((out / cell / f"{name}.json").read_text())
        for cell, outcome in found.items()
        if outcome.status == "done"
    }
    return results, said


def log(notebooks):
    """What the first notebook noted: the worker and the times of every run to its end, by x."""
    lines = [line.split() for line in (notebooks["first"].parents[1] / "log.txt").read_text().splitlines()]
    return [(int(x), name, float(began), float(ended)) for x, name, began, ended in lines]


def test_a_sweep_on_two_workers_has_the_results_of_the_same_sweep_here(notebooks, cluster, tmp_path):
    for name in "ab":
        cluster(name)
    grid = {"x": [1, 2, 3], "y": [0, 10]}
    there, _ = run(notebooks, "second", grid, tmp_path / "there", scheduler=cluster.address)
    assert sorted(x for x, *_ in log(notebooks)) == [1, 2, 3]  # what two cells need is run once
    assert {name for _, name, *_ in log(notebooks)} == {"a", "b"}
    here, _ = run(notebooks, "second", grid, tmp_path / "here", jobs=2)
    assert (
        there
        == here
        == {f"x={x},y={y}": {"sum": 1000 * x + y, "findings": []} for x in grid["x"] for y in grid["y"]}
    )
    assert (tmp_path / "there" / "index.html").read_text().count('href="x=') == 6
    for cell in here:
        assert (tmp_path / "there" / cell / "second.html").is_file()
        assert (tmp_path / "there" / cell / "checkpoints" / "a.safetensors").read_bytes() == (
            tmp_path / "here" / cell / "checkpoints" / "a.safetensors"
        ).read_bytes()
    assert not list(tmp_path.glob("disk of */nbutils-*"))  # nothing is left on the workers
    _, said = run(notebooks, "second", grid, tmp_path / "there", scheduler=cluster.address)
    assert all("nothing changed" in line for line in said)


def test_a_worker_killed_in_the_middle_loses_nothing(notebooks, cluster, tmp_path):
    doomed, _ = cluster("doomed"), cluster("other")
    killed = []

    def kill():
        while (
            not any(name == "doomed" for _, name, *_ in log(notebooks))
            if (tmp_path / "log.txt").exists()
            else True
        ):
            time.sleep(0.05)
        time.sleep(1.5)  # its next notebook has begun
        killed.append([process.pid for process in psutil.Process(doomed.pid).children(recursive=True)])
        doomed.send_signal(signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    grid = {"x": list(range(1, 7))}
    there, _ = run(notebooks, "first", grid, tmp_path / "there", {"seconds": 1.5}, scheduler=cluster.address)
    thread.join()
    assert killed[0]  # it was in the middle of one
    assert [result["square"] for result in there.values()] == [x * x for x in grid["x"]]
    runs = [x for x, *_ in log(notebooks)]
    assert set(runs) == set(grid["x"])
    assert len(runs) <= len(grid["x"]) + 1  # one may have come to its end and been lost on the way
    assert not [
        pid
        for pid in killed[0]
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]


def test_a_worker_that_joins_late_takes_its_share(notebooks, cluster, tmp_path):
    cluster("early")

    def join():
        while not (tmp_path / "log.txt").exists():
            time.sleep(0.05)
        cluster("late")

    thread = threading.Thread(target=join)
    thread.start()
    there, _ = run(
        notebooks,
        "first",
        {"x": list(range(1, 8))},
        tmp_path / "there",
        {"seconds": 1.0},
        scheduler=cluster.address,
    )
    thread.join()
    assert len(there) == 7
    assert {name for _, name, *_ in log(notebooks)} == {"early", "late"}


def test_a_resource_limits_how_many_run_at_a_time(notebooks, cluster, tmp_path):
    cluster("wide", "--nthreads", 4, "--resources", "GPU=1")
    run(
        notebooks,
        "first",
        {"x": [1, 2, 3]},
        tmp_path / "there",
        scheduler=cluster.address,
        resources={"GPU": 1},
    )
    times = sorted((began, ended) for _, _, began, ended in log(notebooks))
    assert all(ended < began for (_, ended), (began, _) in pairwise(times))


def test_ctrl_c_ends_the_notebooks_on_the_workers(cluster, tmp_path):
    worker = cluster("a")
    command = [
        sys.executable,
        "-m",
        "nbutils",
        "sweep",
        "01",
        "--profile",
        "smoke",
        "--grid",
        "seed=0,1,2",
        "--scheduler",
        cluster.address,
        "--out",
        str(tmp_path / "there"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not [
        child
        for child in psutil.Process(worker.pid).children(recursive=True)
        if "ipykernel" in " ".join(child.cmdline())
    ]:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert said == "stopped; what is finished is kept, the same command goes on from here\n"
    deadline = time.monotonic() + 20
    while psutil.Process(worker.pid).children(recursive=True) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not psutil.Process(worker.pid).children(recursive=True)


def test_no_scheduler_and_other_code_are_refused(notebooks, tmp_path):
    with pytest.raises(OSError, match="no Dask scheduler answers"):
        run(notebooks, "first", {"x": [1]}, tmp_path / "out", scheduler="tcp://127.0.0.1:9")
    request = workers.Request("first", "key", b"", {}, {}, None, "another digest")
    with pytest.raises(workers.WorkerError, match="install the same commit on every machine"):
        workers.perform(request, tmp_path)


def test_notebooks_run_side_by_side_into_one_folder(notebooks, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for number in range(2, 5):
        notebooks[f"copy{number}"] = write_notebook(
            tmp_path / "books",
            f"copy{number}",
            notebooks_parameters(number, tmp_path),
            FIRST.replace("first.json", f"copy{number}.json"),
        )
    books = {name: path for name, path in notebooks.items() if name != "second"}
    outcomes = runner.run(
        books,
        {name: {"reports": "../reports"} for name in books},
        tmp_path / "reports",
        jobs=2,
        report=lambda line: None,
    )
    assert [outcome.status for outcome in outcomes] == ["done"] * 4
    times = sorted((began, ended) for _, _, began, ended in log(notebooks))
    assert {name for _, name, *_ in log(notebooks)} == {"1"}  # thread of each
    assert any(began < ended for (_, ended), (began, _) in pairwise(times))  # two at a time
    assert all(third > ended for (_, ended), _, (third, _) in zip(times, times[1:], times[2:]))  # never three


def notebooks_parameters(x, tmp_path):
    return f'x = {x}\nseconds = 1.5\nlog = "{tmp_path / "log.txt"}"\nreports = "../reports"'
