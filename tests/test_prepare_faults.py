"""What interrupts a preparation costs nothing that was done, and ends in one line that says what to do."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
from photo_sources import archive, complaint, contents, nbutils, own_folder, write

from nbutils.data import prepare

COUNT, SIZE = 400, (400, 300)  # enough work to be interrupted


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return own_folder(tmp_path_factory.mktemp("large") / "pictures", COUNT, size=SIZE)


@pytest.fixture(scope="module")
def undisturbed(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    prepare.prepare(source, out, size=64, jobs=2)
    return contents(out)


def start(source, out, *more):
    command = [
        sys.executable,
        "-m",
        "nbutils",
        "data",
        "prepare",
        str(source),
        "--size",
        "64",
        "--out",
        str(out),
        "--jobs",
        "2",
        *more,
    ]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def some_done(process, out):
    """Wait until some batches are in the journal and the process is still at work."""
    journal, began = out.with_name(f".{out.name}.part") / "journal", time.monotonic()
    while not journal.exists() or journal.read_bytes().count(b"\n") < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - began < 60
        time.sleep(0.002)
    assert process.poll() is None


def finished(process):
    """Exit code, standard output and standard error of a command, when it has ended."""
    printed, errors = process.communicate(timeout=60)
    return process.returncode, printed, errors


def gone(processes):
    return psutil.wait_procs(processes, timeout=10)[1] == []


@pytest.mark.slow
@pytest.mark.parametrize("pack", [None, ".tar.bz2"])
def test_killed_twice_it_ends_with_the_bytes_of_an_undisturbed_preparation(
    source, undisturbed, tmp_path, pack
):
    source = archive(source, tmp_path / f"pictures{pack}") if pack else source
    out = tmp_path / "out"
    for _ in range(2):
        process = start(source, out)
        some_done(process, out)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        finished(process)
        assert gone(workers)
        assert not out.exists()
    code, printed, errors = finished(start(source, out))
    assert code == 0, errors
    assert int(re.findall(r"\| \d+/(\d+) \[", printed)[-1]) < COUNT  # not all of them again
    assert contents(out) == undisturbed
    assert sorted(path.name for path in tmp_path.iterdir() if "pictures" not in path.name) == ["out"]


def test_ctrl_c_ends_in_one_line_and_the_same_command_goes_on(source, undisturbed, tmp_path):
    process = start(source, tmp_path / "out")
    some_done(process, tmp_path / "out")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: everyone hears it
    code, _, errors = finished(process)
    assert (code, errors) == (130, "stopped; what is finished is kept, the same command goes on from here\n")
    assert finished(start(source, tmp_path / "out"))[0] == 0
    assert contents(tmp_path / "out") == undisturbed


@pytest.mark.slow
def test_a_killed_worker_is_an_error_that_says_so_and_nothing_is_lost(source, undisturbed, tmp_path):
    process = start(source, tmp_path / "out")
    some_done(process, tmp_path / "out")
    workers = [
        child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())
    ]
    workers[0].kill()
    code, _, errors = finished(process)
    assert code == 2
    assert errors.startswith("error: a process that decodes pictures was ended from outside")
    assert errors.count("\n") == 1
    assert finished(start(source, tmp_path / "out"))[0] == 0
    assert contents(tmp_path / "out") == undisturbed


def test_of_two_preparations_into_one_folder_the_second_says_so(source, undisturbed, tmp_path):
    first = start(source, tmp_path / "out")
    some_done(first, tmp_path / "out")
    second = nbutils("data", "prepare", source, "--size", 64, "--out", tmp_path / "out")
    assert "another preparation into this folder is under way" in complaint(second)
    assert finished(first)[0] == 0
    assert contents(tmp_path / "out") == undisturbed


def mounted(folder, options, script, *arguments):
    """Run a shell script where a small disk of its own is mounted on `folder`."""
    if sys.platform != "linux":
        pytest.skip("only Linux lets a user mount a disk of their own")
    setting = f'mount -t tmpfs -o {options} tmpfs "$0" && {script}'
    return subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", setting, str(folder), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


PREPARE = f'"{sys.executable}" -m nbutils data prepare "$1" --size 64 --jobs 2 --out "$0/out"'


def test_a_disk_that_is_too_small_is_an_error_at_the_door(source, tmp_path):
    line = complaint(mounted(tmp_path, "size=2m", f"{PREPARE}; code=$?; ls -A $0 >&1; exit $code", source))
    assert re.search(r"out: needs [\d.]+ MB, and its disk has [\d.]+ MB free", line)


@pytest.mark.slow
def test_a_disk_that_fills_later_is_an_error_and_nothing_is_lost(source, undisturbed, tmp_path):
    """Room for the arrays, but not for the captions: a file takes it while the pictures are decoded."""
    (tmp_path / "disk").mkdir()
    fill = (
        'while [ ! -s "$0/.out.part/journal" ]; do sleep 0.01; done; dd if=/dev/zero of="$0/filler" '
        "bs=4k 2>/dev/null"
    )
    script = (
        f'({fill}) & {PREPARE}; code=$?; wait; rm "$0/filler"; test $code = 2 && {PREPARE} >&2 && cp -r '
        '"$0/out" "$2"'
    )
    process = mounted(tmp_path / "disk", "size=6m", script, source, tmp_path / "saved")
    assert process.returncode == 0, process.stdout + process.stderr
    first, *rest = process.stderr.splitlines()
    assert first.startswith("error: ")
    assert "No space left on device" in first
    assert "what is done is kept" in first
    assert all(int(count) < COUNT for count in re.findall(r"\| \d+/(\d+) \[", "\n".join(rest)))
    assert contents(tmp_path / "saved") == undisturbed


def test_a_read_only_target_is_named(source, tmp_path):
    line = complaint(mounted(tmp_path, "ro", PREPARE, source))
    assert f"{tmp_path}/out cannot be prepared (Read-only file system)" in line


def test_the_traceback_is_shown_only_when_asked(tmp_path):
    write(tmp_path, "own/captions.csv", b"file,caption\n")
    assert "Traceback" not in complaint(
        nbutils("data", "prepare", tmp_path / "own", "--out", tmp_path / "out")
    )
    debugged = nbutils("data", "prepare", tmp_path / "own", "--out", tmp_path / "out", "--debug")
    assert debugged.returncode == 2
    assert "Traceback (most recent call last)" in debugged.stderr
    assert "PhotosError" in debugged.stderr


@pytest.mark.slow
def test_a_picture_that_vanishes_between_listing_and_reading_is_named_like_a_broken_one(
    source, undisturbed, tmp_path
):
    own = tmp_path / "pictures"
    shutil.copytree(source, own)
    last = own / "sub" / f"{COUNT - 1:03}.jpg"
    process = start(own, tmp_path / "out", "--jobs", "1")
    some_done(process, tmp_path / "out")
    last.unlink()
    code, _, errors = finished(process)
    assert code == 2
    assert f"{last}: there is no such file; 1 broken in all" in errors
    shutil.copy(source / "sub" / last.name, last)
    assert finished(start(own, tmp_path / "out"))[0] == 0
    assert contents(tmp_path / "out") == undisturbed
