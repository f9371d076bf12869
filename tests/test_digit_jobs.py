"""Models of digits train side by side as they would alone, and are read back or refused."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from nbutils.data import digits
from nbutils.nade.inpainter import InpainterConfig
from nbutils.nade.objective import Inpainting
from nbutils.pixelrnn.models import RecurrentConfig
from nbutils.training import checkpoints
from nbutils.training.digit_data import DigitData
from nbutils.training.job import Job, fit_all, load
from nbutils.training.loop import TrainingSettings
from nbutils.training.pixels import Classification, ClassifierConfig, Prediction, WholeImageConfig

DATA = DigitData(source="embedded", image_size=6, num_train=40, num_valid=20)


def jobs(steps=6):
    settings = TrainingSettings(
        steps=steps, batch_size=8, schedule="constant", validate_every=2, checkpoint_every=2, keep_best=True
    )
    kinds = {
        "classifier": (ClassifierConfig(hidden_size=5, batch_norm=False), Classification(num_scored=10)),
        "predictor": (RecurrentConfig(cell="lstm", hidden_size=4), Prediction(num_scored=10)),
        "whole image": (WholeImageConfig(hidden_size=3, num_pixels=36), Classification(num_scored=10)),
        "Inpainter": (
            InpainterConfig(image_size=6, channels=1, levels=2, width=4, layers=2),
            Inpainting(mask="orderless", hole_size=6, validation_masks=4),
        ),
    }
    return [
        Job(name=kind, data=DATA, model=model, task=task, settings=settings)
        for kind, (model, task) in kinds.items()
    ]


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def by_name(jobs, folder):
    """What `fit_all` gives, a dict by the names of the jobs."""
    return {job.name: run for job, run in zip(jobs, fit_all(jobs, folder))}


def same_weights(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))


def test_jobs_side_by_side_end_as_they_do_alone_and_are_taken_up_when_finished(tmp_path, one_thread):
    runs = by_name(jobs(), tmp_path / "together")
    assert list(runs) == ["classifier", "predictor", "whole image", "Inpainter"]
    for job in jobs():
        alone = job.fit(tmp_path / "alone").model
        assert not alone.training
        assert same_weights(alone, runs[job.name].model)
    written = {name: run.checkpoint.stat().st_mtime_ns for name, run in runs.items()}
    again = by_name(jobs(), tmp_path / "together")
    assert written == {name: run.checkpoint.stat().st_mtime_ns for name, run in again.items()}


def test_the_weights_of_the_lowest_validation_loss_are_kept(tmp_path):
    (job,) = [job for job in jobs(20) if job.name == "classifier"]
    run = job.fit(tmp_path)
    tensors, _ = checkpoints.load(run.checkpoint)
    best = min(run.column("valid_loss"))
    splits, model = DATA.load(), run.model
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(
            model(digits.grey(splits.valid)[:10]), splits.valid.labels[:10]
        )
    assert float(loss) == pytest.approx(best, abs=1e-5)
    assert (
        set(checkpoints.part(tensors, "best"))
        == set(checkpoints.part(tensors, "model"))
        == set(model.state_dict())
    )


def test_the_best_weights_are_read_where_they_were_kept(tmp_path):
    (job,) = [job for job in jobs() if job.name == "Inpainter"]
    run = job.fit(tmp_path)
    tensors, description = checkpoints.load(run.checkpoint)
    best = {name: tensor + 1 for name, tensor in checkpoints.part(tensors, "model").items()}
    path = tmp_path / "other.safetensors"
    description = {name: value for name, value in description.items() if name != "digest"}
    checkpoints.save(path, tensors | {f"best.{name}": tensor for name, tensor in best.items()}, description)
    assert all(torch.equal(tensor, best[name]) for name, tensor in load(path).model.state_dict().items())


def test_a_checkpoint_of_another_kind_is_refused(tmp_path):
    checkpoints.save(tmp_path / "other.safetensors", {"model.x": torch.zeros(1)}, {"model": "PixelCNN"})
    with pytest.raises(
        checkpoints.CheckpointError, match="holds a PixelCNN, expected one of Inpainter, predictor"
    ):
        load(tmp_path / "other.safetensors")


def long_jobs():
    return [job for job in jobs(400) if job.name in ("classifier", "predictor")]


@pytest.mark.slow
def test_killed_in_the_middle_nothing_trains_on_and_the_next_run_ends_with_the_same_weights(tmp_path):
    whole = by_name(long_jobs(), tmp_path / "whole")
    here, folder = str(Path(__file__).parent), tmp_path / "cut"
    script = tmp_path / "train.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {here!r})\nimport test_digit_jobs as t\nif __name__ == "
        f"'__main__': t.fit_all(t.long_jobs(), {str(folder)!r})\n"
    )
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while len(list(folder.glob("*/checkpoint.safetensors"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    assert process.wait() == -9
    assert workers
    assert psutil.wait_procs(workers, timeout=10)[1] == []  # they ended with it
    left = list(
        folder.glob("*/checkpoint*.safetensors")
    )  # only the previous one where the kill fell between two renames
    assert (
        min(checkpoints.load(path)[1]["progress"]["step"] for path in left) < 398
    )  # it was really interrupted
    resumed = by_name(long_jobs(), folder)
    assert all(same_weights(run.model, resumed[name].model) for name, run in whole.items())
