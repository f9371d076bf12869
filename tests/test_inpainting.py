"""One training of inpainters, done once, and variants of the task."""

from dataclasses import asdict

import pytest
import torch

from nbutils.data import sources
from nbutils.nade import variants
from nbutils.nade.inpainter import InpainterConfig
from nbutils.nade.objective import Inpainting
from nbutils.training.inpainting import PictureData, encode
from nbutils.training.job import Job
from nbutils.training.loop import TrainingSettings

PICTURES = PictureData(source="scenes", image_size=8, num_train=20, num_valid=4)


def trained(folder, loss="cross_entropy", **choices):
    job = Job(
        name=loss,
        data=PICTURES,
        model=InpainterConfig(image_size=8, width=6, layers=2, embedding_size=4, reader_size=4),
        task=Inpainting(hole_size=4, loss=loss),
        settings=TrainingSettings(steps=3, batch_size=4, validate_every=3, schedule="cosine"),
        **choices,
    )
    return job.fit(folder)


def test_the_same_training_is_done_once_and_another_loss_elsewhere(tmp_path):
    state = torch.get_rng_state()
    run = trained(tmp_path)
    assert torch.equal(state, torch.get_rng_state())
    written = run.checkpoint.stat().st_mtime_ns
    same = trained(tmp_path)
    assert same.checkpoint == run.checkpoint
    assert same.checkpoint.stat().st_mtime_ns == written
    assert all(
        torch.equal(a, b) for a, b in zip(run.model.state_dict().values(), same.model.state_dict().values())
    )
    other = trained(tmp_path, "emd2")
    assert other.checkpoint != run.checkpoint


def test_a_training_can_go_on_from_the_weights_of_another(tmp_path):
    run = trained(tmp_path)
    scratch = trained(tmp_path, "emd2")
    continued = trained(tmp_path, "emd2", begin_with=run.checkpoint)
    assert continued.checkpoint != scratch.checkpoint
    assert continued.metrics[-1]["valid_loss"] != scratch.metrics[-1]["valid_loss"]


@pytest.fixture(scope="module")
def batch_of():
    """The training batch of a variant: what `InpaintingTask.batch` gives for 64 examples of one seed."""
    pictures, held_out = encode(sources.load("scenes", image_size=8, num_train=20, num_valid=4))

    def draw(variant, **choices):
        choices = Inpainting(hole_size=4, variant=variant, **choices)
        task = variants.task_of(choices, pictures, held_out)
        assert {name: getattr(task, name) for name in asdict(choices)} == asdict(choices)
        return task.batch(64, torch.Generator().manual_seed(0))

    return draw


def hidden(known):
    return (~known).flatten(1).sum(1)


def test_early_stages_hide_more_than_uniform_moments_and_never_nothing(batch_of):
    known = batch_of("early_stages")[3]
    assert int(hidden(known).min()) >= 1
    assert int(hidden(known).max()) <= 3 * 4**2
    early = (hidden(known) > 0.9 * 48).float().mean()
    uniform = (hidden(batch_of("plain")[3]) > 0.9 * 48).float().mean()
    assert early > uniform + 0.15


def test_scored_variables_are_those_that_early_stages_hide(batch_of):
    *_, known, index, weight = batch_of("early_stages")
    assert torch.equal(index, (~known).flatten().nonzero()[:, 0])
    per_example = torch.zeros(64).index_add_(0, index // known[0].numel(), weight)
    assert torch.allclose(per_example, torch.full((64,), 1 / 64))


def test_a_fixed_mask_is_the_central_square_and_scores_all_of_it_alike(batch_of):
    *_, known, index, weight = batch_of("central_square", mask="orderless")
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[2:6, 2:6] = True
    assert torch.equal(~known, inside.expand(known.shape))
    assert torch.equal(index, (~known).flatten().nonzero()[:, 0])
    assert torch.allclose(weight, torch.full(weight.shape, 1 / (64 * 48)))


def test_of_a_batch_the_longest_captions_are_read(batch_of):
    plain, length = batch_of("plain")[2], batch_of("longest_captions")[2]
    longest = plain.max()
    assert torch.equal(length, torch.where(plain == longest, longest, 0))
    assert 0 < int((length > 0).sum()) < 64
