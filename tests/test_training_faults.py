"""What happens to a training when its process is killed, its disk is full, its checkpoint is damaged or its
numbers go wrong."""

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from test_training import same_weights, small_run
from torch import nn

from nbutils.data.fingerprints import fingerprint
from nbutils.training import checkpoints
from nbutils.training.loop import TrainingSettings, train

HERE = str(Path(__file__).parent)


class Lookup(nn.Module):
    """A model whose checkpoint takes a while to write, if it has many rows."""

    def __init__(self, rows):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(rows, 4)


class LookupTask:
    def batch(self, size, generator):
        return torch.randint(100, (size,), generator=generator)

    def loss_of(self, model, batch):
        return model.table(batch).square().mean()

    def validate(self, model):
        return {"loss": float(model.table.weight[:100].detach().square().mean())}


def large_run(folder, steps=6, rows=800_000):
    model = Lookup(rows)
    return model, train(
        model,
        LookupTask(),
        TrainingSettings(steps=steps, batch_size=4, validate_every=3, checkpoint_every=1),
        folder,
        {"name": "large", "model": "Lookup"},
    )


def start(code, **options):
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {HERE!r})\n{code}"], text=True, **options
    )


def only(folder, pattern):
    (path,) = Path(folder).glob(pattern)
    return path


@pytest.mark.slow
def test_killed_in_the_middle_of_writing_a_checkpoint(tmp_path):
    whole, _ = large_run(tmp_path / "whole")
    process = start(
        f"from test_training_faults import large_run\nlarge_run({str(tmp_path / 'cut')!r})",
        stdout=subprocess.DEVNULL,
    )
    while not (
        (written := list((tmp_path / "cut").glob("*/checkpoint.safetensors")))
        and list((tmp_path / "cut").glob("*/.checkpoint*.part"))
    ):
        assert process.poll() is None
    process.kill()
    process.wait()
    half = only(tmp_path / "cut", "*/.checkpoint*.part")  # it was really writing
    assert checkpoints.load(written[0])[1]["progress"]["step"] >= 1
    resumed, _ = large_run(tmp_path / "cut")
    assert same_weights(whole, resumed)
    assert not half.exists()


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "cut short":
        content = content[: len(content) // 2]
    elif how == "contents have changed":
        content[-100] ^= 1
    elif how == "format 99":
        tensors, description = checkpoints.load(path)
        kept = checkpoints.previous(path).read_bytes()
        checkpoints.save(path, tensors, description | {"format": 99})
        return checkpoints.previous(path).write_bytes(kept)
    else:
        content = b"PK\x03\x04" if how == "not a checkpoint" else b""
    path.write_bytes(content)


@pytest.mark.parametrize(
    "how",
    ["cut short", "contents have changed", "format 99", "not a checkpoint", "not a checkpoint, or cut short"],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_offered(tmp_path, how):
    whole, run = small_run(tmp_path)
    damage(run.checkpoint, how)
    with pytest.raises(
        checkpoints.CheckpointError,
        match=(
            rf"{run.checkpoint}: .*{how}.*checkpoint.previous.safetensors of step 6, is whole: delete the "
            r"damaged file"
        ),
    ):
        small_run(tmp_path)
    run.checkpoint.unlink()
    resumed, again = small_run(tmp_path)
    assert same_weights(whole, resumed)
    assert again.checkpoint == run.checkpoint


def test_with_both_checkpoints_damaged_nothing_is_offered(tmp_path):
    _, run = small_run(tmp_path)
    for path in (run.checkpoint, checkpoints.previous(run.checkpoint)):
        damage(path, "cut short")
    with pytest.raises(checkpoints.CheckpointError, match="delete it and train again"):
        small_run(tmp_path)
    run.checkpoint.unlink()
    with pytest.raises(
        checkpoints.CheckpointError, match=r"previous.safetensors: .*delete it and train again"
    ):
        small_run(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "no JSON",
        "[]",
        '{"format": 1}',
        '{"format": "one", "digest": ""}',
        '{"format": null, "digest": ""}',
    ],
)
def test_safetensors_of_another_program_are_no_checkpoint(tmp_path, text):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", text and {"description": text})
    with pytest.raises(checkpoints.CheckpointError, match="not a checkpoint"):
        checkpoints.load(tmp_path / "a.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(
    "dtype",
    [torch.bfloat16, torch.float16, torch.float64, torch.complex64, torch.bool, torch.float8_e4m3fn],
    ids=str,
)
def test_a_checkpoint_holds_tensors_of_any_kind(tmp_path, dtype):
    path, kept = (
        tmp_path / "checkpoint.safetensors",
        {"model.x": torch.ones(2, 3).to(dtype), "model.y": torch.ones(()).to(dtype)},
    )
    checkpoints.save(path, kept, {})
    found, _ = checkpoints.load(path)
    assert found.keys() == kept.keys()
    for name, tensor in kept.items():
        assert found[name].dtype == dtype
        assert torch.equal(found[name].view(-1).view(torch.uint8), tensor.view(-1).view(torch.uint8))
    assert fingerprint(kept["model.x"]) != fingerprint(torch.zeros(2, 3).to(dtype))


def test_two_processes_on_one_training_do_it_once(tmp_path):
    code = f"from test_training import small_run\nsmall_run({str(tmp_path / 'shared')!r}, steps=100)"
    both = [start(code, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    waited = [text for text in said if "another process works on the same training; waiting" in text]
    assert len(waited) == 1
    assert "| 0/100" not in waited[0]  # its bar stood at the end from the beginning
    alone, _ = small_run(tmp_path / "alone", steps=100)
    shared, _ = small_run(tmp_path / "shared", steps=100)
    assert same_weights(alone, shared)


def on_a_small_disk(tmp_path, options, code):
    """Run Python code where DISK is a tmpfs of its own, in a mount namespace."""
    if sys.platform != "linux":
        pytest.skip("only Linux lets a user mount a disk of their own")
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f'mount -t tmpfs -o {options} tmpfs {disk} && exec {sys.executable} -c "$CODE"'
    code = f"import sys; sys.path.insert(0, {HERE!r}); DISK = {str(disk)!r}\n{code}"
    return subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
        env=os.environ | {"CODE": code},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_a_full_disk_stops_with_a_message_keeps_the_last_checkpoint_and_goes_on_when_there_is_space(tmp_path):
    whole, run = small_run(tmp_path / "whole")
    room = int(1.5 * run.checkpoint.stat().st_size)
    code = """
import shutil, subprocess
from pathlib import Path
from test_training import small_run
from nbutils.training import checkpoints
try:
    small_run(DISK)
except OSError as error:
    print("SAID", error)
(kept,) = Path(DISK).glob("*/checkpoint*.safetensors")
print("KEPT", checkpoints.load(kept)[1]["progress"]["step"], [p.name for p in Path(DISK).glob("*/.*.part")])
subprocess.run(["mount", "-o", "remount,size=50m", DISK], check=True)
small_run(DISK)
shutil.copytree(DISK, OUT)
""".replace("OUT", repr(str(tmp_path / "out")))
    process = on_a_small_disk(tmp_path, f"size={room}", code)
    assert process.returncode == 0, process.stderr
    assert "checkpoint.safetensors could not be written (No space left on device)" in process.stdout
    assert "KEPT 2 []" in process.stdout
    tensors, _ = checkpoints.load(only(tmp_path / "out", "*/checkpoint.safetensors"))
    assert all(torch.equal(tensors[f"model.{name}"], tensor) for name, tensor in whole.state_dict().items())


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    code = (
        "from test_training import small_run\ntry:\n    small_run(DISK)\nexcept OSError as error:\n    "
        "print('SAID', error)"
    )
    process = on_a_small_disk(tmp_path, "ro,size=1m", code)
    assert "no place for checkpoints (Read-only file system)" in process.stdout
    assert "small:" not in process.stdout  # the bar of a training


@pytest.mark.parametrize("where", ["loss", "gradient", "validation loss"])
def test_a_number_that_is_not_finite_stops_names_the_step_and_keeps_the_last_good_weights(tmp_path, where):
    whole, _ = large_run(tmp_path / "whole", steps=4, rows=100)

    class Poisoned(LookupTask):
        steps = 0

        def loss_of(self, model, batch):
            self.steps += 1
            loss = super().loss_of(model, batch)
            if self.steps == 5 and where == "loss":
                return loss * math.nan
            if self.steps == 5 and where == "gradient":
                loss.register_hook(lambda gradient: gradient * math.inf)
            return loss

        def validate(self, model):
            return (
                super().validate(model)
                if where != "validation loss" or self.steps < 5
                else {"loss": math.nan}
            )

    settings = TrainingSettings(steps=8, batch_size=4, validate_every=5, checkpoint_every=2)
    with pytest.raises(
        FloatingPointError,
        match=(
            rf"the {where} became (nan|inf) at step [45]; the weights of step 4 are in "
            r".*checkpoint.safetensors; try a lower learning rate"
        ),
    ):
        train(
            Lookup(100), Poisoned(), settings, tmp_path / "poisoned", {"name": "poisoned", "model": "Lookup"}
        )
    tensors, _ = checkpoints.load(only(tmp_path / "poisoned", "*/checkpoint.safetensors"))
    assert torch.equal(tensors["model.table.weight"], whole.table.weight)


def test_no_checkpoint_is_promised_where_none_was_written(tmp_path):
    with pytest.raises(FloatingPointError, match="no checkpoint had been written yet"):
        small_run(tmp_path, learning_rate=1e30, checkpoint_every=100)


@pytest.mark.slow
def test_a_worker_killed_among_several_trainings_ends_them_and_they_resume(tmp_path):
    code = (
        "from test_digit_jobs import jobs\nfrom nbutils.training.job import fit_all\n"
        f"fit_all(jobs(steps=400), {str(tmp_path)!r})"
    )
    process = start(code, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while len(list(tmp_path.glob("*/checkpoint.safetensors"))) < 1:
        assert process.poll() is None
        time.sleep(0.01)
    children = subprocess.run(
        ["pgrep", "-P", str(process.pid), "-f", "LokyProcess"], capture_output=True, text=True
    ).stdout.split()
    os.kill(int(children[0]), signal.SIGKILL)
    assert "TerminatedWorkerError" in process.communicate(timeout=60)[1]
    assert process.returncode == 1
    from test_digit_jobs import by_name, jobs

    resumed = {name: run.model for name, run in by_name(jobs(steps=400), tmp_path).items()}
    shutil.rmtree(tmp_path)
    whole = {name: run.model for name, run in by_name(jobs(steps=400), tmp_path).items()}
    assert all(same_weights(whole[name], resumed[name]) for name in whole)
