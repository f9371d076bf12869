"""Calls side by side, each in a process of its own."""

import subprocess
import sys

import pytest

GROWS = """
import os, time
from nbutils.processes import by_key

def grow(number):
    os.__dict__.setdefault("kept", []).append(bytearray(os.urandom(1024)) * 400_000)
    time.sleep(1.2)
    return number, os.getpid()

if __name__ == "__main__":
    found = by_key(grow, {number: (number,) for number in range(6)}, "cpu", "growing")
    assert [number for number, _ in found.values()] == list(range(6))
    print(len({process for _, process in found.values()}))
"""


@pytest.mark.slow
def test_workers_that_grow_are_replaced_without_a_word_and_nothing_is_lost(tmp_path):
    (tmp_path / "grows.py").write_text(GROWS)
    ended = subprocess.run(
        [sys.executable, tmp_path / "grows.py"], capture_output=True, text=True, check=True
    )
    assert int(ended.stdout.splitlines()[-1]) > 2  # more processes than work at a time
    assert "UserWarning" not in ended.stderr
