"""Tests on real data are taken in where the environment says where the data is; nothing else is ever left
out."""

import os

# For torch, which reads it when it is imported, and for all that tests start: on small nets threads cost more
# than they bring, and where two tests run at a time they outnumber the cores.
os.environ["OMP_NUM_THREADS"] = "1"

import signal
import subprocess
import sys

import pytest
from chromium import find
from filelock import FileLock
from hypothesis import settings
from in_process import without_kernels  # noqa: F401
from playwright.sync_api import sync_playwright

# `pytest --hypothesis-profile nightly -m ""` looks longer for inputs that nobody thought of.
settings.register_profile("usual", max_examples=200, deadline=None)
settings.register_profile("nightly", max_examples=5000, deadline=None)
settings.load_profile("usual")

signal.signal(
    signal.SIGINT, signal.default_int_handler
)  # programs started in the background ignore it, and what tests start would inherit that


# Those that take longest, in the order in which two workers take them up so as to end together; then the
# others.
LONG = ("browser", "faults", "publishing", "incremental", "training", "lab", "cluster", "search", "series")


def pytest_collection_modifyitems(config, items):
    order = {f"test_{name}.py": number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.name, len(LONG)))
    if "NBUTILS_TEST_DATA" not in os.environ:
        without = [item for item in items if "real_data" not in item.keywords]
        config.hook.pytest_deselected(items=[item for item in items if item not in without])
        items[:] = without


@pytest.fixture(scope="session")
def smoke(tmp_path_factory, worker_id):
    """The folder of the whole series, run at the smoke profile as a user would; by one worker, while others
    wait for it."""
    folder = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        folder = folder.parent  # which the workers share
    out, done = folder / "smoke" / "reports", folder / "smoke" / "done"
    with FileLock(folder / "smoke.lock"):
        if not done.exists():
            out.parent.mkdir(exist_ok=True)
            command = [
                sys.executable,
                "-m",
                "nbutils",
                "run",
                "--profile",
                "smoke",
                "--jobs",
                "2",
                "--out",
                str(out),
            ]
            process = subprocess.run(command, capture_output=True, text=True, cwd=out.parent)
            assert process.returncode == 0, process.stdout + process.stderr
            done.touch()
    return out


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        assert find(), "no Chrome or Chromium found; run the tests by `make test`, or `make browser` once"
        chromium = playwright.chromium.launch(
            executable_path=find(), args=["--no-sandbox", "--disable-background-networking"]
        )
        yield chromium
        chromium.close()
