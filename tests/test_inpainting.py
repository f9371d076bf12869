"""One way to train an inpainter, shared by the notebooks."""

import torch

from nbutils.data import sources
from nbutils.nade.objective import InpaintingTask
from nbutils.training import inpainters
from nbutils.training.loop import TrainingSettings


def trained(folder, loss="cross_entropy", **choices):
    splits = sources.load("scenes", image_size=8, num_train=20, num_valid=4)
    train_set, valid_set = inpainters.encode(splits)
    task = InpaintingTask(pictures=train_set, held_out=valid_set, hole_size=4, loss=loss)
    settings = TrainingSettings(steps=3, batch_size=4, validate_every=3, schedule="cosine")
    config = dict(image_size=8, width=6, layers=2, embedding_size=4, reader_size=4)
    return inpainters.fit(loss, splits, folder, config=config, task=task, settings=settings, **choices)


def test_the_same_training_is_done_once_and_another_loss_elsewhere(tmp_path):
    state = torch.get_rng_state()
    model, run = trained(tmp_path)
    assert torch.equal(state, torch.get_rng_state())
    written = run.checkpoint.stat().st_mtime_ns
    again, same = trained(tmp_path)
    assert same.checkpoint == run.checkpoint
    assert same.checkpoint.stat().st_mtime_ns == written
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values()))
    _, other = trained(tmp_path, "emd2")
    assert other.checkpoint != run.checkpoint


def test_a_training_can_go_on_from_the_weights_of_another(tmp_path):
    _, run = trained(tmp_path)
    _, scratch = trained(tmp_path, "emd2")
    _, continued = trained(tmp_path, "emd2", begin_with=run.checkpoint)
    assert continued.checkpoint != scratch.checkpoint
    assert continued.metrics[-1]["valid_loss"] != scratch.metrics[-1]["valid_loss"]
