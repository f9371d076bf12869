"""The series survives kills, full disks, damaged files, second runs and bad input: nothing is lost but what
was being done, nothing is wrong silently."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from in_process import no_kernels
from nbformat.v4 import new_output
from test_reports import notebook
from typer.testing import CliRunner

from nbutils.cli import app
from nbutils.evidence import results
from nbutils.reports import parameters, series
from nbutils.reports.render import cells
from nbutils.reports.run import outputs, records

# The command line on another folder of notebooks, in a process that can be killed.
COMMAND = """import sys
from pathlib import Path
from nbutils.cli import app
from nbutils.reports import parameters, series
series.NOTEBOOKS = Path(sys.argv.pop(1))
app()"""
STARTED = []
QUICK = """from pathlib import Path
from nbutils.evidence import results
with open(Path(reports) / "log", "a") as log:
    log.write("01 ")
results.save(reports, "01_quick", {"steps": steps}, [])"""
# Waits for a file that the test makes, with a child of its own; then its result depends on that of the first.
WAITS = """import subprocess, time
from pathlib import Path
from nbutils.evidence import results
child = subprocess.Popen(["sleep", "600"])
print("some", 6 * 7, "outputs", flush=True)
(Path(reports) / "started").touch()
while not (Path(reports) / "go").exists():
    time.sleep(0.05)
child.kill()
child.wait()
results.save(reports, "02_waits", {"seen": results.load(reports, "01_quick")["steps"]}, [])"""


@pytest.fixture
def books(tmp_path, monkeypatch):
    folder = tmp_path / "notebooks"
    (folder / "profiles").mkdir(parents=True)
    (folder / "profiles" / "quick.yaml").write_text("{}")
    monkeypatch.setattr(series, "NOTEBOOKS", folder)
    return folder


@pytest.fixture
def waiting(books):
    """A series of three: a quick one, one that waits for the file `go` in the reports, one that needs
    nothing."""
    notebook(books, "01_quick", QUICK)
    notebook(books, "02_waits", "print('the first cell')", WAITS, needs=["01_quick"])
    notebook(books, "03_needs_02", "1 + 1", needs=["02_waits"])
    notebook(books, "04_needs_none", "1 + 1")
    return books


def invoke(*arguments):
    return CliRunner().invoke(app, ["run", *map(str, arguments)])


@pytest.fixture(autouse=True)
def nothing_goes_on():
    """Kills what a failed test leaves behind."""
    yield
    for process in STARTED:
        process.kill()
        process.communicate()
    STARTED.clear()


def launch(command, **options):
    STARTED.append(
        subprocess.Popen(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )
    )
    return STARTED[-1]


def start(books, out, *arguments):
    """A run on the notebooks in `books`, always with kernels, with a folder for temporary files that stands
    beside `out`."""
    temporary = out.with_name("temporary")
    temporary.mkdir(exist_ok=True)
    return launch(
        [sys.executable, "-c", COMMAND, books, "run", "--out", out, *arguments],
        env=os.environ | {"TMPDIR": str(temporary)},
    )


def until(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


def at_work(books):
    """The processes that run notebooks of this folder: papermill, kernels, and what these have started; they
    work in the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(books):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            pass  # it has just ended, or is not ours
    return found


def named(books, part):
    return next(
        process for process in at_work(books) if any(part in argument for argument in process.cmdline())
    )


def outcomes(result):
    """What the lines of a run say of each notebook at last."""
    said = result.output if hasattr(result, "output") else result
    return {
        line.split(": ")[0]: line.split(": ", 1)[1]
        for line in said.splitlines()
        if ": " in line and not line.endswith("running")
    }


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["runner", "its group"])
def test_a_killed_run_leaves_no_kernel_and_the_next_goes_on(waiting, without_kernels, tmp_path, victim):
    out, undisturbed = tmp_path / "out", tmp_path / "undisturbed"
    run = start(waiting, out)
    until((out / "started").exists)
    assert len(at_work(waiting)) >= 3  # papermill, kernel, the kernel's child
    (os.kill if victim == "runner" else os.killpg)(run.pid, signal.SIGKILL)
    run.communicate()
    until(lambda: not at_work(waiting), 10)
    assert list((tmp_path / "temporary").iterdir()) == []
    (out / "go").touch()
    result = invoke("--out", out)
    assert result.exit_code == 0, result.output
    assert outcomes(result)["01_quick"] == "done, nothing changed"
    assert (out / "log").read_text() == "01 "
    undisturbed.mkdir()
    (undisturbed / "go").touch()
    assert invoke("--out", undisturbed).exit_code == 0
    for name in ("01_quick.json", "02_waits.json"):
        assert (out / name).read_bytes() == (undisturbed / name).read_bytes()
    assert (out / "index.html").read_text().count('class="status done"') == 4


@pytest.mark.slow
def test_a_training_notebook_killed_and_run_again_gives_the_same_results(tmp_path):
    """Notebook 03 trains three models; it is killed when the first is finished, which is not trained
    again."""
    command = [
        sys.executable,
        "-m",
        "nbutils",
        "run",
        "03",
        "--profile",
        "smoke",
        "--set",
        "steps=30",
        "--out",
    ]
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    run = launch([*command, killed])
    finished = until(lambda: list(killed.glob("checkpoints/03_losses/*/checkpoint.safetensors")), 200)
    begun = psutil.Process(run.pid).children(recursive=True)
    run.kill()
    run.wait()
    assert begun
    assert psutil.wait_procs(begun, timeout=10)[1] == []
    written = finished[0].stat().st_mtime_ns
    assert len(list(killed.glob("checkpoints/03_losses/*/checkpoint.safetensors"))) < 3
    for folder in (killed, undisturbed):
        subprocess.run([*command, str(folder)], check=True, stdout=subprocess.DEVNULL)
    assert finished[0].stat().st_mtime_ns == written
    assert (killed / "03_losses.json").read_bytes() == (undisturbed / "03_losses.json").read_bytes()
    assert len(list(killed.glob("checkpoints/03_losses/*/checkpoint.safetensors"))) == 3
    assert not list(killed.rglob(".*.part"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("victim", "reason"),
    [
        ("kernel_process", "the process that runs the notebook was killed by SIGKILL"),
        ("ipykernel", "the kernel died, killed by SIGKILL"),
    ],
)
def test_a_killed_papermill_or_kernel_fails_one_notebook(waiting, without_kernels, tmp_path, victim, reason):
    out = tmp_path / "out"
    run = start(waiting, out)
    until((out / "started").exists)
    named(waiting, victim).kill()
    output, errors = run.communicate(timeout=60)
    assert run.returncode == 1, errors
    assert errors == ""
    said = outcomes(output)
    assert reason in said["02_waits"]
    assert said["03_needs_02"].endswith("needs 02_waits")
    assert said["04_needs_none"].startswith("done in")
    until(lambda: not at_work(waiting), 10)
    page, index = (out / "02_waits.html").read_text(), (out / "index.html").read_text()
    assert "the first cell" in page
    assert ("some 42 outputs" in page) == (victim == "ipykernel")  # what a cell printed is written at its end
    assert f"This run failed: {reason}" in page
    assert f'class="status failed">failed: {reason}' in index
    (out / "go").touch()
    assert invoke("--out", out).exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_one_line_and_goes_on_later(waiting, without_kernels, tmp_path, number, code):
    out = tmp_path / "out"
    run = start(waiting, out)
    until((out / "started").exists)
    index = out / "index.html"
    until(lambda: 'href="01_quick.html"' in index.read_text() and "running</span> since" in index.read_text())
    os.killpg(run.pid, number)  # as a terminal does
    began = time.monotonic()
    _, errors = run.communicate(timeout=20)
    assert time.monotonic() - began < 5
    assert run.returncode == code
    assert errors == "stopped; what is finished is kept, the same command goes on from here\n"
    assert at_work(waiting) == []
    said = index.read_text()
    assert "This run was stopped" in said
    assert re.search(r"stopped</span>, had been running since \d\d:\d\d:\d\d on ", said)
    assert 'class="status not begun">not begun' in said
    (out / "go").touch()
    result = invoke("--out", out)
    assert result.exit_code == 0
    assert outcomes(result)["01_quick"] == "done, nothing changed"


@pytest.mark.slow
@pytest.mark.parametrize("fate", ["ends", "is killed"])
def test_a_second_run_waits_for_the_first(waiting, tmp_path, fate):
    out = tmp_path / "out"
    first = start(waiting, out)
    until((out / "started").exists)
    second = start(waiting, out)
    line = second.stdout.readline()
    assert line == f"another run is using {out}; waiting until it has ended\n"
    if fate == "is killed":
        first.kill()
        first.communicate()
    (out / "go").touch()
    output, errors = second.communicate(timeout=60)
    assert second.returncode == 0, errors
    if fate == "ends":
        first_output, _ = first.communicate()
        assert first.returncode == 0
        assert "nothing changed" not in first_output
        assert output.count("nothing changed") == 4
    assert (out / "log").read_text() == "01 "


@pytest.mark.slow
def test_a_run_without_a_page_to_be_had_fails_and_takes_the_old_page_away(books, tmp_path):
    notebook(books, "01_broken", "1 + 1")
    notebook(books, "02_whole", "1 + 1")
    out = tmp_path / "out"
    assert invoke("--out", out).exit_code == 0
    (books / "01_broken.ipynb").write_text('{"cells": [')
    result = invoke("--out", out)
    assert result.exit_code == 1
    assert "01_broken: failed" in result.output
    assert "papermill could not run it: NotJSONError" in result.output
    assert outcomes(result)["02_whole"] == "done, nothing changed"
    assert not (out / "01_broken.html").exists()
    assert not (out / "01_broken.ipynb").exists()
    index = (out / "index.html").read_text()
    assert 'class="status failed">failed: papermill could not run it' in index
    assert 'href="01_broken.html"' not in index
    invoke("--out", out, "02")  # a later run of another notebook still shows it
    assert 'class="status failed">failed: papermill could not run it' in (out / "index.html").read_text()


def every_kernel_begins_with(code, folder, monkeypatch):
    """Let every kernel run some code before anything else."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        f"import sys\nif 'ipykernel_launcher' in sys.orig_argv:\n{textwrap.indent(code, '    ')}"
    )
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    )


@pytest.mark.slow
def test_a_kernel_that_cannot_start_is_a_failure_with_a_page(books, tmp_path, monkeypatch):
    notebook(books, "01_first", "1 + 1")
    every_kernel_begins_with("raise SystemExit('no kernel today')", tmp_path / "site", monkeypatch)
    out = tmp_path / "out"
    result = invoke("--out", out)
    assert result.exit_code == 1
    assert "01_first: failed" in result.output
    assert "the kernel did not start twice" in result.output
    assert "no kernel today" in (out / "01_first.html").read_text()


# Takes the kernel's shell port, as often as there are files in a folder.
CLASH = """import json, pathlib, socket
connection = json.loads(pathlib.Path(sys.orig_argv[sys.orig_argv.index("-f") + 1]).read_text())
for time in pathlib.Path(TIMES).iterdir():
    time.unlink()
    other = socket.socket()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    other.bind((connection["ip"], connection["shell_port"]))
    other.listen()
    break"""


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
def test_a_kernel_whose_port_is_taken_is_started_once_more(books, tmp_path, monkeypatch, times):
    notebook(books, "01_first", "print('it', 'ran')")
    (tmp_path / "times").mkdir()
    for number in range(times):
        (tmp_path / "times" / str(number)).touch()
    every_kernel_begins_with(
        CLASH.replace("TIMES", repr(str(tmp_path / "times"))), tmp_path / "site", monkeypatch
    )
    out = tmp_path / "out"
    result = invoke("--out", out)
    assert list((tmp_path / "times").iterdir()) == []
    if times == 1:
        assert result.exit_code == 0, result.output
        assert "it ran" in (out / "01_first.ipynb").read_text()
    else:
        assert result.exit_code == 1
        assert "the kernel did not start twice" in result.output
        assert "Address already in use" in result.output


def test_a_cell_that_raises_leaves_a_page_with_what_was_run(books, tmp_path):
    refer = "from nbutils.show import figures\nfigures.say('See [figure](#figure-later).')"
    notebook(
        books, "01_first", "print('ran', 'before')", refer, "raise KeyError('lost')", "print('not', 'run')"
    )
    out = tmp_path / "out"
    result = invoke("--out", out)
    assert result.exit_code == 1
    assert outcomes(result)["01_first"].endswith("KeyError: 'lost'")
    page = (out / "01_first.html").read_text()
    assert "ran before" in page
    assert "not run" not in page
    assert "KeyError" in page
    assert "See figure." in page  # of a figure that was not made
    assert "This run failed: KeyError" in page


@pytest.mark.slow
def test_a_cell_that_hangs_is_named_and_its_kernel_is_gone(books, tmp_path):
    notebook(
        books,
        "01_hangs",
        "print('ran', 'before')",
        (
            "import time  # for ever\nwhile True:\n    try:\n        time.sleep(600)\n    except "
            "KeyboardInterrupt:\n        pass"
        ),
    )
    out = tmp_path / "out"
    result = invoke("--out", out, "--timeout", 2)
    assert result.exit_code == 1
    assert (
        "the cell 'import time # for ever' ran longer than the 2 seconds that --timeout allows"
        in result.output
    )
    assert at_work(books) == []
    assert "ran before" in (out / "01_hangs.html").read_text()


@pytest.mark.slow
def test_output_without_end_is_cut_and_says_so(books, tmp_path):
    notebook(
        books,
        "01_prints",
        "for number in range(1_000_000):\n    print('line', number)",
        "print('a' * 5_000_000 + 'end')",
        (
            "import sys\nfor number in range(10_000):\n    print('odd', number, file=sys.stderr, "
            "flush=True)\n    print('even', number, flush=True)"
        ),
        "raise ValueError('d' * 5_000)",
    )
    out = tmp_path / "out"
    result = invoke("--out", out)
    page = (out / "01_prints.html").read_text()
    assert len(page) < 500_000
    assert (out / "01_prints.ipynb").stat().st_size < 500_000
    assert "line 0\n" in page
    assert re.search(r"\[\d\d,\d{3},\d{3} characters left out\]", page)
    assert "line 999999\n" in page
    assert "[4,960,004 characters left out]" in page
    assert "aend" in page
    assert "odd 9999" in page
    assert len(outcomes(result)["01_prints"]) < 600


@given(
    st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.text("ab\r\n", max_size=30)), max_size=20)
)
def test_what_a_cell_prints_is_kept_up_to_a_size_and_then_its_beginning_and_end(pieces):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outputs, "KEPT", 40)
        kept, shown = outputs.Printed(), []
        for name, text in pieces:
            shown.append(new_output("stream", name=name, text=text))
            kept.take_in(shown)
    whole = "".join(text for _, text in pieces)
    found = "".join(output.text for output in shown)
    assert len(found) <= 2 * 40 + len("\n[999 characters left out]\n")
    if "\r" in whole:
        return  # what is overwritten does not count
    if "left out" not in found:
        assert found == whole
        return
    beginning, count, end = re.fullmatch(r"(.*)\n\[(\d+) characters left out\]\n(.*)", found, re.S).groups()
    assert whole.startswith(beginning)
    assert whole.endswith(end)
    assert len(beginning) == len(end) == 40
    assert len(beginning) + int(count) + len(end) == len(whole)


def test_what_is_printed_after_a_cell_has_cleared_its_output_is_kept():
    kept, shown = outputs.Printed(), []
    for text in ("x" * 30_000, "x" * 30_000):
        shown.append(new_output("stream", name="stderr", text=text))
        kept.take_in(shown)
    assert {output.name for output in shown} == {"stderr"}
    shown.clear()
    shown.append(new_output("stream", name="stdout", text="done"))
    kept.take_in(shown)
    assert [output.text for output in shown] == ["done"]


@given(st.text("ab\r\n", max_size=60))
def test_what_is_overwritten_is_not_kept(text):
    shown = outputs.without_overwritten(text)
    assert cells.last_lines(shown) == cells.last_lines(text)
    assert all("\r" not in line.rstrip("\r") for line in shown.split("\n"))


SAVES = (
    "from nbutils.evidence import results\nprint(6 * 7)\nresults.save(reports, '01_first', {'steps': "
    "steps}, [])"
)
NEEDS = (
    "from nbutils.evidence import results\nresults.save(reports, '02_second', results.load(reports, "
    "'01_first'), [])"
)


def cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def empty(path):
    path.write_bytes(b"")


def foreign(path):
    path.write_text(
        '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5, "findings": ["foreign"]}'
    )


def scramble(path):
    path.write_bytes(bytes(range(256)) * 10)


DAMAGES = [cut, empty, foreign, scramble, Path.unlink]


def damaged(*files):
    """Every damage of every file, of which most are left to the slow tests: each file is damaged in another
    way by the fast ones."""
    for number, file in enumerate(files):
        for damage in DAMAGES:
            yield pytest.param(file, damage, marks=() if damage is DAMAGES[number] else pytest.mark.slow)


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    (folder / "notebooks" / "profiles").mkdir(parents=True)
    (folder / "notebooks" / "profiles" / "quick.yaml").write_text("{}")
    notebook(folder / "notebooks", "01_first", SAVES)
    notebook(folder / "notebooks", "02_second", NEEDS, needs=["01_first"])
    with pytest.MonkeyPatch.context() as patch, no_kernels():
        patch.setattr(series, "NOTEBOOKS", folder / "notebooks")
        result = invoke("--out", folder / "out")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def finished(finished_once, books, without_kernels, tmp_path):
    """The folder of a finished series of two, whose notebooks are in `books`; they run without kernels."""
    shutil.copytree(finished_once / "notebooks", books, dirs_exist_ok=True)
    return shutil.copytree(finished_once / "out", tmp_path / "out")


def kept(out):
    """The results and the names of the pages of a folder."""
    return {path.name: path.read_bytes() for path in out.glob("0*.json")} | {
        path.name: b"" for path in out.glob("*.html")
    }


@pytest.mark.parametrize(
    ("file", "damage"), list(damaged(".01_first.run.json", "01_first.ipynb", "01_first.json"))
)
def test_a_damaged_result_is_made_again_and_said(finished, file, damage):
    before = kept(finished)
    damage(finished / file)
    result = invoke("--out", finished)
    assert result.exit_code == 0, result.output
    line = result.output.splitlines()[0]
    assert line.startswith(f"01_first: {file} is ")
    assert line.endswith("; it is run again")
    assert outcomes(result)["02_second"] == "done, nothing changed"
    assert kept(finished) == before
    assert invoke("--out", finished).output.count("nothing changed") == 2


BESIDE = """from pathlib import Path
from nbutils.evidence import results
(Path(reports) / "beside.bin").write_bytes(b"beside")
results.save(reports, "01_beside", {"a": 1}, [], files=["beside.bin"])"""


def test_a_file_that_a_notebook_declares_goes_with_its_results_and_is_missed(
    books, without_kernels, tmp_path
):
    notebook(books, "01_beside", BESIDE)
    out = tmp_path / "out"
    assert invoke("--out", out).exit_code == 0
    for damage in (Path.unlink, lambda path: path.write_bytes(b"other")):
        damage(out / "beside.bin")
        assert "01_beside: beside.bin is " in invoke("--out", out).output
        assert (out / "beside.bin").read_bytes() == b"beside"
    (tmp_path / "other").mkdir()
    records.adopt("01_beside", out, tmp_path / "other")
    assert (tmp_path / "other" / "beside.bin").read_bytes() == b"beside"
    reads = BESIDE.replace("01_beside", "02_reads").replace('.write_bytes(b"beside")', ".read_bytes()")
    notebook(books, "02_reads", reads, needs=["01_beside"])
    swept = CliRunner().invoke(
        app, ["sweep", "02", "--grid", "steps=1,2", "--jobs", "1", "--out", str(tmp_path / "sweep")]
    )
    assert swept.exit_code == 0, swept.output
    assert [path.read_bytes() for path in sorted((tmp_path / "sweep").glob("steps=*/beside.bin"))] == [
        b"beside"
    ] * 2


def test_a_file_that_is_not_there_or_elsewhere_cannot_be_declared(tmp_path):
    for name in ("none.bin", "../up.bin", ""):
        (tmp_path / "up.bin").touch()
        (tmp_path / "reports").mkdir(exist_ok=True)
        with pytest.raises(ValueError, match=r"^files: .*expected the name of a file that is in"):
            results.save(tmp_path / "reports", "01_first", {}, [], files=[name])


@pytest.mark.parametrize(("page", "damage"), list(damaged("01_first.html", "index.html")))
def test_a_damaged_page_is_made_again_and_said(finished, page, damage):
    before = {path: path.read_bytes() for path in finished.glob("*.html")}
    damage(finished / page)
    result = invoke("--out", finished)
    assert result.exit_code == 0
    assert result.output.count("nothing changed") == 2
    assert f"{page}: was missing or not as it had been written; made again\n" in result.output
    assert result.output.count("made again") == 1
    assert {path: path.read_bytes() for path in finished.glob("*.html")} == before
    assert "made again" not in invoke("--out", finished).output


def test_damage_of_what_is_not_run_is_said_and_left_out(finished, books):
    notebook(books, "03_other", "1 + 1")
    cut(finished / "02_second.ipynb")
    result = invoke("--out", finished, "03")
    assert result.exit_code == 0
    assert "02_second: 02_second.ipynb is not as it was written; run it again\n" in result.output
    index = (finished / "index.html").read_text()
    assert 'href="03_other.html"' in index
    assert 'href="02_second.html"' not in index


def test_results_that_an_interrupted_run_left_are_not_taken_for_those_of_another(finished):
    """A run with other parameters was killed after it had written its results and before it was recorded."""
    (finished / "01_first.json").write_text((finished / "01_first.json").read_text().replace("3", "4"))
    assert invoke("--out", finished).exit_code == 0
    assert json.loads((finished / "01_first.json").read_text())["steps"] == 3


def test_a_notebook_that_saves_nothing_any_more_has_no_results(finished, books):
    notebook(books, "01_first", "1 + 1")
    result = invoke("--out", finished)
    assert outcomes(result)["01_first"].startswith("done in")
    assert not (finished / "01_first.json").exists()
    assert "no results; run `nbutils run 01` first" in outcomes(result)["02_second"]


def test_remains_of_killed_processes_are_removed_and_those_of_live_ones_left(finished):
    ended = subprocess.Popen(["true"])
    ended.wait()
    (finished / "checkpoints" / "01_first").mkdir(parents=True)
    remains = finished / "checkpoints" / "01_first" / f".checkpoint.safetensors.{ended.pid}.part"
    in_use = finished / f".01_first.json.{os.getpid()}.part"
    for path in (remains, in_use):
        path.touch()
    assert invoke("--out", finished).exit_code == 0
    assert not remains.exists()
    assert in_use.exists()


# 02 writes more than the disk holds; 03 leaves no room for its own page; 04 needs none.
FILLS = {
    "02_large": (
        "from pathlib import Path\nfrom nbutils.files import write_text\nwrite_text(Path(reports) / "
        "'large', 'x' * 4_000_000)"
    ),
    "03_fills": """import os, shutil
from pathlib import Path
room = shutil.disk_usage(reports).free
(Path(reports) / "filler").write_bytes(bytes(room if room < 4_000_000 else 0))""",
}
SPACE = """mount -t tmpfs -o size=1m tmpfs "$2"
"$0" -c "$1" "$3" run --out "$2" 01 && ls -A "$2" > "$4/before"
cat "$2"/0*.html "$2"/*.json "$2"/*.ipynb > "$4/content before"
"$0" -c "$1" "$3" run --jobs 1 --out "$2" 2> "$4/errors" > "$4/output"; echo $? > "$4/code"
cp "$2/index.html" "$4"
rm -f "$2/filler"; ls -A "$2" > "$4/after"; cat "$2"/0*.html "$2"/*.json "$2"/*.ipynb > "$4/content after"
mount -o remount,size=50m "$2"
exec "$0" -c "$1" "$3" run --out "$2"
"""
READ_ONLY = (
    SPACE.replace("size=1m", "size=50m")
    .replace("01 && ls", '01 && mount -o remount,ro "$2" && ls')
    .replace("remount,size=50m", "remount,rw")
)


def in_a_mount(script, books, tmp_path):
    """Run a shell script that mounts a disk of its own on the folder of the reports; its last command's
    result, and what it noted in files."""
    if sys.platform != "linux":
        pytest.skip("only Linux lets a user mount a disk of their own")
    out, notes = tmp_path / "out", tmp_path / "notes"
    out.mkdir()
    notes.mkdir()
    command = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        script,
        sys.executable,
        COMMAND,
        out,
        books,
        notes,
    ]
    last = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    return last, {path.name: path.read_bytes().decode() for path in notes.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILLS)
def test_a_full_disk_is_one_line_and_a_run_with_space_goes_on(books, tmp_path, name):
    notebook(books, "01_quick", QUICK)
    notebook(books, name, FILLS[name])
    notebook(books, "04_needs_none", "1 + 1")
    last, noted = in_a_mount(SPACE, books, tmp_path)
    assert noted["code"] == "2\n"
    assert noted["errors"].startswith(f"error: {name}: " if name == "02_large" else "error: ")
    assert "No space left on device" in noted["errors"]
    assert noted["errors"].count("\n") == 1
    assert "01_quick: done, nothing changed" in noted["output"]
    assert noted["after"] == noted["before"]
    assert noted["content after"] == noted["content before"]
    broken_off = "This run ended with an error" in noted["index.html"]
    assert broken_off or (name == "03_fills" and "as of <time" in noted["index.html"])  # no room to say more
    assert 'href="01_quick.html"' in noted["index.html"]
    assert last.returncode == 0, last.stderr
    assert outcomes(last.stdout[last.stdout.rindex("01_quick: ") :])["01_quick"] == "done, nothing changed"


@pytest.mark.slow
def test_a_read_only_folder_is_one_line_and_what_is_in_it_stays(books, tmp_path):
    notebook(books, "01_quick", QUICK)
    notebook(books, "02_second", "1 + 1")
    last, noted = in_a_mount(READ_ONLY, books, tmp_path)
    assert noted["code"] == "2\n"
    assert noted["errors"] == (
        f"error: [Errno 30] {tmp_path / 'out'} cannot be written (Read-only file system); choose "
        "another folder with --out\n"
    )
    assert noted["output"] == ""
    assert noted["after"] == noted["before"]
    assert noted["content after"] == noted["content before"]
    assert last.returncode == 0, last.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "lengths=["], "01_first: lengths: not readable as YAML"),
        (["--set", "steps=3", "--set", "steps=4"], "--set steps: given twice"),
        (["--set", "steps={a: 1}"], "01_first: steps is '{a: 1}'; expected int such as 3"),
        (["--set", "lengths=[[[[[3]]]]]"], "01_first: lengths: is nested more than 4 deep"),
        (["--set", "lengths=" + "[" * 100_000], "01_first: lengths: is nested more than 4 deep"),
        (
            ["--set", "steps=99999999999999999999"],
            "01_first: steps is a number of 67 bits; expected fewer than 64",
        ),
        (["--set", "steps=" + "9" * 5000], "...'; expected int such as 3"),
        (["--set", "steps=1:30"], "01_first: steps is '1:30'; expected int such as 3"),
        (["--set", "steps=0x10"], "01_first: steps is '0x10'; expected int such as 3"),
        (
            ["--set", "data="],
            "01_first: data: is empty; expected scenes, photos, photos64, coco, photos8k, or",
        ),
        (["--set", "steps=2026-13-01"], "01_first: steps is '2026-13-01'; expected int such as 3"),
        (
            ["--set", "lengths=[!!python/object:os.system {}]"],
            "01_first: lengths: has the tag tag:yaml.org,2002:python/object:os.system; expected plain values",
        ),
        (["--set", "learning_rate=.nan"], "01_first: learning_rate is '.nan'; expected float such as 0.1"),
        (["--set", "learning_rate=1e999"], "01_first: learning_rate is inf; expected a finite number"),
        (["--set", "lengths=[1, a]"], "01_first: lengths is 'a'; expected int such as 1"),
        (["--set", "lengths=[]"], "01_first: lengths is '[]'; expected tuple such as (1, 2)"),
        (["--set", "data=a\0b"], "01_first: data is 'a\\x00b'; expected text without control characters"),
        (["--set", "data=" + "a" * 5000], "01_first: "),
        (["--set", "reports=/elsewhere"], "reports: is not set as a parameter; name the folder with --out"),
        (["--profile", "a" * 5000], "profile: "),
        (["--profile", "/"], "profile: '/'; expected one of quick"),
        (["--timeout", "0"], "Invalid value for '--timeout'"),
        (["--timeout", "soon"], "Invalid value for '--timeout'"),
        (["--sett", "steps=3"], "No such option: --sett"),
    ],
)
def test_bad_arguments_are_one_line_before_any_work(books, tmp_path, arguments, message):
    notebook(
        books,
        "01_first",
        "1",
        given="steps = 3\nlearning_rate = 0.1\nlengths = (1, 2)\ndata = 'scenes'\nreports = '../reports'",
    )
    result = invoke("--out", tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.output == result.stderr
    assert result.output.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "has the alias *a; expected every value written out"),
        (b"01_first: {steps: \xff}", "not UTF-8 text (byte 18 is 0xff); save it as UTF-8"),
        (b"01_first: [steps]", "expected a mapping from notebook to a mapping of parameters"),
        (b"01_first: {steps: 2}\n---\n01_first: {steps: 3}", "expected a single document"),
        (b"01_first: {reports: elsewhere}", "name the folder with --out"),
    ],
)
def test_bad_profiles_are_one_line_that_names_the_file(books, tmp_path, profile, message):
    notebook(books, "01_first", "1")
    (tmp_path / "mine.yaml").write_bytes(profile)
    result = invoke("--out", tmp_path / "out", "--profile", tmp_path / "mine.yaml")
    assert result.exit_code == 2
    assert message in result.output
    assert result.output.count("\n") == 1
    assert "--out" in message or f"error: {tmp_path / 'mine.yaml'}: " in result.output


def test_an_output_folder_that_is_a_file_is_one_line(books, tmp_path):
    notebook(books, "01_first", "1")
    (tmp_path / "out").write_text("a file")
    result = invoke("--out", tmp_path / "out")
    assert result.exit_code == 2
    assert result.output == (
        f"error: [Errno 17] {tmp_path / 'out'} cannot be written (File exists); choose another folder "
        "with --out\n"
    )


def test_a_traceback_is_shown_where_it_is_asked_for(books, tmp_path):
    notebook(books, "01_first", given="steps = 1 +")
    result = invoke("--out", tmp_path / "out")
    assert result.exit_code == 2
    assert result.output.startswith("error: SyntaxError: ")
    assert result.output.endswith("; --debug shows where\n")
    assert result.output.count("\n") == 1
    result = invoke("--out", tmp_path / "out", "--debug")
    assert result.exit_code == 2
    assert result.output.startswith("Traceback (most recent call last)")


def test_a_notebook_that_needs_one_that_is_not_there_is_refused(books, tmp_path):
    notebook(books, "01_first", "1", needs=["02_second"])
    notebook(books, "02_second", "1")
    result = invoke("--out", tmp_path / "out")
    assert result.exit_code == 2
    assert result.output == (
        "error: 01_first: needs '02_second', which is no notebook before it; correct `needs` in its "
        "metadata\n"
    )


YAML_LIKE = st.text(
    st.sampled_from(list("ab01.-+_:,[]{}&*!#|>%@'\"?<=~ \n\t\0\x85\ud800eEnulxT")), max_size=40
) | st.text(max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@pytest.fixture(scope="module")
def declaring(tmp_path_factory):
    folder = tmp_path_factory.mktemp("declaring")
    notebook(
        folder,
        "01_first",
        given=(
            "steps = 3\nlearning_rate = 0.1\nlengths = (1, 2)\nsome = [0.5]\nflag = True\nloss = "
            "'emd1'\ndata = 'scenes'\ndigit_data = 'embedded'"
        ),
    )
    return {"01_first": folder / "01_first.ipynb"}


NAMES = st.sampled_from(["steps", "learning_rate", "lengths", "some", "flag", "loss", "other"])


@given(NAMES, YAML_LIKE)
def test_any_setting_is_taken_or_refused(declaring, name, text):
    with contextlib.suppress(parameters.ParameterError):
        resolved = parameters.resolve(declaring, {}, parameters.parse_settings([f"{name}={text}"]))
        json.dumps(resolved, allow_nan=False).encode()


@given(
    st.dictionaries(
        st.just("01_first") | st.text(), st.dictionaries(NAMES | st.text(), VALUES, max_size=3), max_size=2
    )
)
def test_any_profile_is_taken_or_refused(declaring, profile):
    with contextlib.suppress(parameters.ParameterError):
        resolved = parameters.resolve(declaring, profile, {})
        json.dumps(resolved, allow_nan=False).encode()


@given(st.binary(max_size=60) | YAML_LIKE.map(lambda text: text.encode(errors="surrogatepass")))
def test_any_file_is_a_profile_or_refused(declaring, tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_bytes(content)
    with contextlib.suppress(parameters.ParameterError):
        parameters.resolve(declaring, parameters.read_profile(str(path)), {})
