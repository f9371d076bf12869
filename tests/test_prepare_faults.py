"""What interrupts a preparation ends in one line that says what to do, and leaves nothing half-written."""

import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from photo_sources import complaint, contents, nbutils, own_folder, write

from nbutils.data import photos
from nbutils.data.preparation import prepare

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


def at_work(process, out):
    """Wait until a preparation has begun and its processes are at work."""
    array, began = out.with_name(f".{out.name}.part") / "data" / "valid.npy", time.monotonic()
    while not array.exists() or len(workers_of(process)) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - began < 60
        time.sleep(0.002)


def workers_of(process):
    children = psutil.Process(process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def finished(process):
    """Exit code, standard output and standard error of a command, when it has ended."""
    printed, errors = process.communicate(timeout=60)
    return process.returncode, printed, errors


def gone(processes):
    return psutil.wait_procs(processes, timeout=10)[1] == []


def test_killed_it_starts_again_and_ends_with_the_bytes_of_an_undisturbed_preparation(
    source, undisturbed, tmp_path
):
    process = start(source, tmp_path / "out")
    at_work(process, tmp_path / "out")
    workers = workers_of(process)
    process.kill()
    finished(process)
    assert gone(workers)
    assert not (tmp_path / "out").exists()
    code, printed, errors = finished(start(source, tmp_path / "out"))
    assert code == 0, errors
    assert "an earlier preparation was interrupted; it starts again" in printed
    assert contents(tmp_path / "out") == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_ctrl_c_ends_in_one_line_and_leaves_nothing(source, tmp_path):
    process = start(source, tmp_path / "out")
    at_work(process, tmp_path / "out")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: everyone hears it
    code, _, errors = finished(process)
    said = "stopped; nothing is kept of the preparation, the same command starts again\n"
    assert (code, errors) == (130, said)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_worker_is_an_error_that_says_so(source, tmp_path):
    process = start(source, tmp_path / "out")
    at_work(process, tmp_path / "out")
    workers_of(process)[0].kill()
    code, _, errors = finished(process)
    assert code == 2
    assert errors.startswith("error: a process that decodes pictures was ended from outside")
    assert errors.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_of_two_preparations_into_one_folder_the_second_says_so(source, undisturbed, tmp_path):
    first = start(source, tmp_path / "out")
    at_work(first, tmp_path / "out")
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
def test_a_disk_that_fills_later_is_an_error_and_nothing_is_left(source, tmp_path):
    """Room for the arrays, but not for the captions: a file takes it while the pictures are decoded."""
    (tmp_path / "disk").mkdir()
    wait = 'while [ ! -s "$0/.out.part/data/valid.npy" ]; do sleep 0.01; done'
    fill = f'{wait}; dd if=/dev/zero of="$0/filler" bs=4k'
    script = f'({fill} 2>/dev/null) & {PREPARE}; code=$?; wait; ls -A "$0"; exit $code'
    process = mounted(tmp_path / "disk", "size=6m", script, source)
    line = complaint(process)
    assert "No space left on device" in line
    assert "nothing was made, the same command starts again" in line
    assert process.stdout.splitlines()[-1] == "filler"


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


def test_a_picture_that_vanishes_between_listing_and_reading_is_named_like_a_broken_one(
    tmp_path, monkeypatch
):
    own = own_folder(tmp_path / "pictures")
    found = photos.read_layout

    def vanishing(source):
        listing = found(source)
        (own / "000.jpg").unlink()
        return listing

    monkeypatch.setattr(prepare, "read_layout", vanishing)
    line = complaint(nbutils("data", "prepare", own, "--size", 16, "--out", tmp_path / "out", "--jobs", 1))
    assert f"{own / '000.jpg'}: there is no such file; 1 broken in all" in line
