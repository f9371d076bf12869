"""Tests on real data are taken in where the environment says where the data is; nothing else is ever left out."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
from playwright.sync_api import sync_playwright

signal.signal(signal.SIGINT, signal.default_int_handler)  # programs started in the background ignore it, and what tests start would inherit that


def pytest_collection_modifyitems(config, items):
    if "NBUTILS_TEST_DATA" not in os.environ:
        without = [item for item in items if "real_data" not in item.keywords]
        config.hook.pytest_deselected(items=[item for item in items if item not in without])
        items[:] = without


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """The folder of the whole series, run at the smoke profile as a user would."""
    out = tmp_path_factory.mktemp("smoke") / "reports"
    command = [sys.executable, "-m", "nbutils", "run", "--profile", "smoke", "--jobs", "2", "--out", str(out)]
    process = subprocess.run(command, capture_output=True, text=True, cwd=out.parent)
    assert process.returncode == 0, process.stdout + process.stderr
    return out


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-background-networking"])
        yield chromium
        chromium.close()
