"""Models of digits train side by side as they would alone, and are read back or refused."""

import pickle
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from nbutils.nade import likelihood
from nbutils.training import checkpoints, digit_models
from nbutils.training.loop import TrainingSettings

DATA = dict(source="embedded", image_size=6, num_train=40, num_valid=20)


def jobs(steps=6):
    settings = TrainingSettings(
        steps=steps, batch_size=8, schedule="constant", validate_every=2, checkpoint_every=2, keep_best=True
    )
    kinds = {
        "classifier": dict(hidden_size=5, batch_norm=False),
        "predictor": dict(cell="lstm", hidden_size=4),
        "whole image": dict(hidden_size=3, num_pixels=36),
    }
    kinds["Inpainter"] = dict(image_size=6, channels=1, levels=2, width=4, layers=2)
    return [
        digit_models.Job(name=kind, model=kind, config=config, data=DATA, settings=settings, num_scored=10)
        for kind, config in kinds.items()
    ]


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_jobs_side_by_side_end_as_they_do_alone_and_are_taken_up_when_finished(tmp_path, one_thread):
    models, runs = digit_models.fit_all(jobs(), tmp_path / "together")
    assert list(models) == ["classifier", "predictor", "whole image", "Inpainter"]
    for job in jobs():
        alone = digit_models.load(digit_models.fit(job, tmp_path / "alone").checkpoint)
        assert not alone.training
        assert all(
            torch.equal(a, b)
            for a, b in zip(alone.state_dict().values(), models[job.name].state_dict().values())
        )
    written = {name: run.checkpoint.stat().st_mtime_ns for name, run in runs.items()}
    _, again = digit_models.fit_all(jobs(), tmp_path / "together")
    assert written == {name: run.checkpoint.stat().st_mtime_ns for name, run in again.items()}


def test_the_weights_of_the_lowest_validation_loss_are_kept(tmp_path):
    (job,) = [job for job in jobs(20) if job.name == "classifier"]
    run = digit_models.fit(job, tmp_path)
    tensors, _ = checkpoints.load(run.checkpoint)
    best = min(run.column("valid_loss"))
    splits = digit_models.digits.load(**DATA)
    model = digit_models.load(run.checkpoint)
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(
            model(digit_models.digits.grey(splits.valid)[:10]), splits.valid.labels[:10]
        )
    assert float(loss) == pytest.approx(best, abs=1e-5)
    assert (
        set(checkpoints.part(tensors, "best"))
        == set(checkpoints.part(tensors, "model"))
        == set(model.state_dict())
    )


def test_likelihoods_of_several_orders_are_those_of_one_after_the_other(monkeypatch):
    torch.manual_seed(0)
    model = digit_models.build(
        "Inpainter", dict(image_size=4, channels=1, levels=2, width=5, layers=3)
    ).eval()
    pictures = digit_models.pictures_of(
        digit_models.digits.load("embedded", image_size=4, num_test=5).test
    ).long()
    orders = [torch.arange(16), torch.randperm(16), torch.randperm(16)]
    monkeypatch.setattr(digit_models, "_AT_ONCE", 2)
    found = digit_models.nll_by_order(model, pictures, orders)
    one_by_one = [
        torch.stack(
            [
                likelihood.hole_nll(model, picture[None], picture[None] < 0, ordering=order)[0]
                for picture in pictures
            ]
        )
        for order in orders
    ]
    assert torch.allclose(found, torch.stack(one_by_one), atol=1e-5)
    assert not torch.allclose(found[0], found[1], atol=1e-3)


def test_a_worker_is_sent_the_pictures_that_it_reads_and_no_others(monkeypatch):
    model = digit_models.build(
        "Inpainter", dict(image_size=4, channels=1, levels=2, width=5, layers=3)
    ).eval()
    sizes = []

    def here(function, calls, jobs):
        for call in calls:
            sizes.append(len(pickle.dumps(call[1])))
            yield function(*call)

    monkeypatch.setattr(digit_models, "side_by_side", here)
    monkeypatch.setattr(digit_models, "_AT_ONCE", 2)
    found = digit_models.nll_by_order(model, torch.zeros(100, 1, 4, 4, dtype=torch.int64), [torch.arange(16)])
    assert found.shape == (1, 100)
    assert (
        max(sizes) < 100 * 16 * 8 / 10
    )  # a tenth of what all pictures take; a call reads a fiftieth of them


def test_both_loaders_read_the_weights_of_the_lowest_validation_loss(tmp_path):
    (job,) = [job for job in jobs() if job.name == "Inpainter"]
    run = digit_models.fit(job, tmp_path)
    tensors, description = checkpoints.load(run.checkpoint)
    best = {name: tensor + 1 for name, tensor in checkpoints.part(tensors, "model").items()}
    path = tmp_path / "other.safetensors"
    description = {name: value for name, value in description.items() if name != "digest"}
    checkpoints.save(path, tensors | {f"best.{name}": tensor for name, tensor in best.items()}, description)
    for model in (digit_models.load(path), checkpoints.load_inpainter(path)[0]):
        assert all(torch.equal(tensor, best[name]) for name, tensor in model.state_dict().items())


def test_a_checkpoint_of_another_kind_is_refused(tmp_path):
    checkpoints.save(tmp_path / "other.safetensors", {"model.x": torch.zeros(1)}, {"model": "PixelCNN"})
    with pytest.raises(checkpoints.CheckpointError, match="holds a PixelCNN, expected one of classifier"):
        digit_models.load(tmp_path / "other.safetensors")


def long_jobs():
    return [job for job in jobs(400) if job.name in ("classifier", "predictor")]


@pytest.mark.slow
def test_killed_in_the_middle_nothing_trains_on_and_the_next_run_ends_with_the_same_weights(tmp_path):
    whole, _ = digit_models.fit_all(long_jobs(), tmp_path / "whole")
    here, folder = str(Path(__file__).parent), tmp_path / "cut"
    script = tmp_path / "train.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {here!r})\nimport test_digit_models as t\nif __name__ == "
        f"'__main__': t.digit_models.fit_all(t.long_jobs(), {str(folder)!r})\n"
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
    resumed, _ = digit_models.fit_all(long_jobs(), folder)
    for name, model in whole.items():
        assert all(
            torch.equal(a, b)
            for a, b in zip(model.state_dict().values(), resumed[name].state_dict().values())
        )
