"""Pixel models are distributions, learn what twenty pictures hold, and are scored as their tasks say."""

import itertools
import math

import pytest
import torch

from nbutils.data import digits
from nbutils.pixelrnn import objective
from nbutils.pixelrnn.models import (
    PixelClassifier,
    PixelPredictor,
    RecurrentConfig,
    WholeImageClassifier,
    pixel_nll,
)
from nbutils.pixelrnn.objective import ClassificationTask, PredictionTask
from nbutils.training.loop import TrainingSettings, train

CONFIGS = [dict(), dict(cell="lstm"), dict(num_layers=3), dict(cell="lstm", num_layers=2)]


def predictor(**config):
    torch.manual_seed(0)
    model = PixelPredictor(RecurrentConfig(**dict(hidden_size=6) | config)).double().eval()
    for parameter in model.parameters():
        parameter.data *= 3
    return model


@pytest.mark.parametrize("config", CONFIGS)
def test_the_probabilities_of_all_pictures_sum_to_one(config):
    every = torch.tensor(list(itertools.product((0.0, 1.0), repeat=9)), dtype=torch.float64)
    with torch.no_grad():
        probability = (-pixel_nll(predictor(**config), every).sum(1)).exp()
    assert float(probability.sum()) == pytest.approx(1, abs=1e-12)
    assert probability.std() > 1e-4  # and are not all the same


@pytest.mark.parametrize("config", CONFIGS)
def test_reading_on_from_a_carried_state_is_reading_the_whole(config):
    model, pixels = predictor(**config), (torch.rand(4, 30) > 0.5).double()
    whole, _ = model(pixels)
    state, parts = None, []
    for part in pixels.split([11, 1, 9, 9], dim=1):
        logits, state = model(part, state)
        parts.append(logits)
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-12)


def twenty():
    splits = digits.load("embedded", image_size=8, num_train=20, num_valid=20)
    return splits.train, splits.train


SETTINGS = dict(
    batch_size=20, schedule="constant", validate_every=50, checkpoint_every=1000, beta2=0.999, clip_norm=1.0
)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_classifier_learns_twenty_pictures_by_heart(tmp_path, cell):
    seen, held_out = twenty()
    torch.manual_seed(0)
    model = PixelClassifier(RecurrentConfig(cell=cell, hidden_size=24))
    task = ClassificationTask(
        pixels=digits.grey(seen),
        labels=seen.labels,
        held_out_pixels=digits.grey(held_out),
        held_out_labels=held_out.labels,
    )
    run = train(
        model, task, TrainingSettings(steps=150, learning_rate=0.01, **SETTINGS), tmp_path, {"name": "small"}
    )
    assert run.metrics[-1]["valid_train_accuracy"] == 1
    assert run.metrics[-1]["valid_train_loss"] < 0.1


def test_a_predictor_learns_twenty_pictures_by_heart(tmp_path):
    seen, held_out = twenty()
    torch.manual_seed(0)
    model = PixelPredictor(RecurrentConfig(hidden_size=64))
    task = PredictionTask(pixels=digits.binarise(seen), held_out_pixels=digits.binarise(held_out))
    run = train(
        model,
        task,
        TrainingSettings(steps=700, learning_rate=0.02, **SETTINGS | {"schedule": "cosine"}),
        tmp_path,
        {"name": "small"},
    )
    assert (
        run.metrics[-1]["valid_train_loss"] < math.log(20) / 63 + 0.02
    )  # twenty equally likely pictures cannot cost less than log 20 each


def test_validation_leaves_the_running_averages_alone_and_reestimates_a_copy():
    seen, held_out = twenty()
    model = PixelClassifier(RecurrentConfig(hidden_size=8)).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    task = ClassificationTask(
        pixels=digits.grey(seen),
        labels=seen.labels,
        held_out_pixels=digits.grey(held_out),
        held_out_labels=held_out.labels,
    )
    scores = task.validate(model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert scores["loss"] == pytest.approx(scores["train_loss"])  # the same pictures
    assert scores["loss"] == pytest.approx((scores["loss_a"] + scores["loss_b"]) / 2)
    features = objective.features_of(model, digits.grey(seen))
    head = objective.reestimated(model.head, features)
    assert torch.allclose(head[0].running_mean, features.mean(0), atol=1e-6)
    assert torch.allclose(head[0].running_var, features.var(0), atol=1e-6)
    assert not torch.allclose(model.head[0].running_var, features.var(0), atol=1e-2)


def test_without_batch_normalisation_both_scores_are_the_same():
    seen, held_out = twenty()
    model = PixelClassifier(RecurrentConfig(hidden_size=8), batch_norm=False).eval()
    task = ClassificationTask(
        pixels=digits.grey(seen),
        labels=seen.labels,
        held_out_pixels=digits.grey(held_out),
        held_out_labels=held_out.labels,
    )
    scores = task.validate(model)
    assert scores["loss"] == scores["running_loss"]


def test_prediction_leaves_out_the_first_pixel_and_accuracy_counts_the_likelier_value():
    pixels = (torch.rand(6, 12) > 0.5).float()
    model = predictor().float()
    scores = PredictionTask(pixels=pixels, held_out_pixels=pixels).validate(model)
    with torch.no_grad():
        nats = pixel_nll(model, pixels)[:, 1:]
    assert scores["loss"] == pytest.approx(float(nats.mean()))
    assert scores["accuracy"] == pytest.approx(float(((-nats).exp() > 0.5).float().mean()))


def test_the_whole_image_net_has_the_parameters_it_was_asked_for():
    for asked, num_pixels in ((64_670, 784), (20_000, 64)):
        model = WholeImageClassifier(WholeImageClassifier.hidden_size_for(asked, num_pixels), num_pixels)
        assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(asked, rel=0.01)


@pytest.mark.parametrize(
    "wrong",
    [dict(cell="rnn"), dict(initialisation="zeros"), dict(hidden_size=0), dict(num_layers=0), dict(memory=2)],
)
def test_impossible_configurations_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RecurrentConfig(**wrong)
