"""Several processes that share a training do what one does."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from nbutils.training import checkpoints

HERE = str(Path(__file__).parent)
CODE = (
    f"import sys; sys.path.insert(0, {HERE!r}); from test_training import small_run; "
    "small_run(sys.argv[1], **eval(sys.argv[2]))"
)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def run(folder, processes, **settings):
    """The metrics and tensors of a small training shared by so many processes."""
    script = folder.parent / "small.py"
    script.write_text(CODE)
    launch = (
        [sys.executable]
        if processes == 1
        else [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc-per-node",
            str(processes),
            "--master-port",
            str(free_port()),
        ]
    )
    process = subprocess.run(
        [*launch, str(script), str(folder), repr(settings)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.returncode == 0, process.stderr
    (path,) = folder.glob("*/checkpoint.safetensors")
    tensors, description = checkpoints.load(path)
    return description["progress"]["metrics"], checkpoints.part(tensors, "model"), path.parent.name


@pytest.mark.slow
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_two_processes_have_the_loss_curve_and_weights_of_one(tmp_path, micro_batches):
    settings = dict(
        steps=20,
        precision="64-true",
        micro_batches=micro_batches,
        learning_rate=0.02,
        validate_every=1,
        checkpoint_every=20,
    )
    (one, weights, name), (two, same, same_name) = (run(tmp_path / str(n), n, **settings) for n in (1, 2))
    assert name == same_name  # so that one can go on where two stopped
    assert len(one) == len(two) == 20
    for column in ("train_loss", "valid_loss", "gradient_norm", "parameter_norm"):
        assert [row[column] for row in two] == pytest.approx([row[column] for row in one], rel=0, abs=1e-5), (
            column
        )
    assert all(torch.allclose(weights[key], same[key], rtol=0, atol=1e-5) for key in weights)
    assert one[0]["train_loss"] - one[-1]["train_loss"] > 1e-3  # it moved


@pytest.mark.slow
def test_what_two_processes_began_one_ends(tmp_path):
    """Their launcher is killed, which ends them too; one goes on from their checkpoint."""
    settings = dict(
        steps=2000, precision="64-true", learning_rate=1e-4, validate_every=500, checkpoint_every=50
    )
    whole, _, _ = run(tmp_path / "whole", 1, **settings)
    script = tmp_path / "small.py"
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        str(free_port()),
    ]
    process = subprocess.Popen(
        [*launch, str(script), str(tmp_path / "shared"), repr(settings)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not (begun := list((tmp_path / "shared").glob("*/checkpoint.safetensors"))):
        assert process.poll() is None
    training = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, 9)
    process.wait()
    assert training
    assert psutil.wait_procs(training, timeout=30)[1] == []
    assert checkpoints.load(begun[0])[1]["progress"]["step"] < 2000
    resumed, _, _ = run(tmp_path / "shared", 1, **settings)
    assert [row["valid_loss"] for row in resumed] == pytest.approx(
        [row["valid_loss"] for row in whole], rel=0, abs=1e-5
    )


def test_a_batch_that_cannot_be_shared_out_is_refused(tmp_path):
    from test_training import small_run

    with pytest.raises(
        ValueError, match="batch_size: 4 cannot be cut into 3 equal parts, 3 for each of 1 processes"
    ):
        small_run(tmp_path, micro_batches=3)
