"""Trains models of digits, as many at a time as there are processor cores, each on one: what the notebooks on
digits have in common."""

import sys
from dataclasses import dataclass

import joblib
import torch
from tqdm import tqdm

from .. import devices
from ..data import digits
from ..data.captions import PADDING, UNKNOWN
from ..data.fingerprints import fingerprint
from ..nade import likelihood
from ..nade.inpainter import Inpainter, InpainterConfig
from ..nade.objective import EncodedPictures, InpaintingTask
from ..pixelrnn.models import PixelClassifier, PixelPredictor, RecurrentConfig, WholeImageClassifier
from ..pixelrnn.objective import ClassificationTask, PredictionTask
from ..processes import side_by_side
from . import checkpoints
from .loop import TrainingSettings, train

MODELS = ("classifier", "predictor", "whole image", "Inpainter")
_AT_ONCE = 250  # pictures whose activations are kept together


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training.

    Args:
        name: what tables and curves call it.
        model: "classifier", "predictor", "whole image" or "Inpainter", an Orderless NADE of the whole
            picture.
        config: arguments of `RecurrentConfig`, with `batch_norm` for a classifier; of `WholeImageClassifier`
            or `InpainterConfig` for those.
        data: arguments of `digits.load`.
        settings: TrainingSettings; its seed also draws the initial weights.
        binary: whether a classifier reads binarised pixels; a predictor and an `Inpainter` always do.
        num_scored: pictures in a validation.
    """

    name: str
    model: str
    config: dict
    data: dict
    settings: TrainingSettings
    binary: bool = False
    num_scored: int = 800


def build(model, config):
    """A new model of the kinds that a `Job` names."""
    if model == "Inpainter":
        return Inpainter(InpainterConfig(**config))
    if model == "whole image":
        return WholeImageClassifier(**config)
    config = dict(config)
    batch_norm = config.pop("batch_norm", True)
    return (
        PixelClassifier(RecurrentConfig(**config), batch_norm)
        if model == "classifier"
        else PixelPredictor(RecurrentConfig(**config))
    )


def fit(job, folder):
    """Train, go on with, or take up the finished training of a job.

    Returns:
        TrainingRun; `load` reads its checkpoint.
    Raises:
        ValueError: a classifier, and digits without labels.
    """
    splits = digits.load(**job.data)
    if job.model in ("classifier", "whole image") and splits.train.labels.min() < 0:
        raise ValueError(
            f"digit_data: {job.data['source']!r} has no labels, which {job.name} is to learn; expected "
            "embedded, mnist or a folder of IDX files"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.settings.seed)
        model = build(job.model, job.config)
    if job.model == "Inpainter":
        return _fit_inpainter(job, splits, model, folder)
    read = digits.binarise if job.binary or job.model == "predictor" else digits.grey
    seen, held_out = read(splits.train), read(splits.valid)
    if job.model == "predictor":
        task = PredictionTask(pixels=seen, held_out_pixels=held_out, num_scored=job.num_scored)
    else:
        task = ClassificationTask(
            pixels=seen,
            labels=splits.train.labels,
            held_out_pixels=held_out,
            held_out_labels=splits.valid.labels,
            num_scored=job.num_scored,
        )
    content = fingerprint(seen, splits.train.labels, held_out, splits.valid.labels)
    description = {
        "name": job.name,
        "model": job.model,
        "config": job.config,
        "data": content,
        "num_scored": job.num_scored,
    }
    return train(model, task, job.settings, folder, description)


def _fit_inpainter(job, splits, model, folder):
    pictures, held_out = pictures_of(splits.train), pictures_of(splits.valid[: job.num_scored])
    task = InpaintingTask(
        pictures=_without_captions(pictures),
        held_out=_without_captions(held_out),
        mask="orderless",
        hole_size=pictures.shape[2],
        validation_masks=4,
    )
    description = {
        "name": job.name,
        "model": "Inpainter",
        "config": vars(model.config),
        "vocabulary": [PADDING, UNKNOWN],
        "data": fingerprint(pictures, held_out),
        "task": task.choices,
    }
    return train(model, task, job.settings, folder, description)


def pictures_of(part):
    """Digits as an `Inpainter` of two levels reads them: uint8 (N, 1, H, W) of 0 and 1."""
    return digits.binarise(part).to(torch.uint8).view(len(part), 1, *part.images.shape[1:])


def _without_captions(pictures):
    return EncodedPictures(
        pictures,
        torch.zeros(len(pictures), 0, dtype=torch.long),
        torch.zeros(len(pictures), dtype=torch.long),
    )


def fit_all(jobs, folder):
    """`fit` several jobs: on a CPU as many at a time as there are cores, one thread each, which for recurrent
    nets beats one job on all cores.

    Returns:
        the models in evaluation mode and their TrainingRuns, two dicts by name of the job.
    """
    calls = [(job, folder) for job in jobs]
    finished = (
        (_named(*call) for call in calls)
        if devices.default().type != "cpu"
        else side_by_side(_named, calls, min(len(jobs), joblib.cpu_count()))
    )
    found = dict(tqdm(finished, total=len(jobs), desc="trainings", file=sys.stdout, ncols=84))
    runs = {job.name: found[job.name] for job in jobs}
    return {name: load(run.checkpoint) for name, run in runs.items()}, runs


def _named(job, folder):
    return job.name, fit(job, folder)


def nll_by_order(model, pictures, orders):
    """Exact negative log-likelihoods of whole pictures under several orders, as many at a time as there are
    processor cores.

    Args:
        model: `Inpainter` in evaluation mode.
        pictures: int64 (N, C, H, W).
        orders: list of int64 (C * H * W,), all variables in the order wanted.
    Returns:
        float64 (len(orders), N), nats.
    """
    found = torch.zeros(len(orders), len(pictures), dtype=torch.float64)
    parts = [
        list(range(first, min(first + _AT_ONCE, len(pictures))))
        for first in range(0, len(pictures), _AT_ONCE)
    ]
    count = len(parts) * len(orders)
    # a worker is sent the pictures it reads: indexed by a list they are a copy, where a slice would travel
    # with all of them
    calls = (
        (model, pictures[rows], order, number, rows) for rows in parts for number, order in enumerate(orders)
    )
    on_cpu = next(model.parameters()).device.type == "cpu"  # an accelerator is one, and does a call at a time
    finished = (
        side_by_side(_in_order, calls, min(count, joblib.cpu_count()))
        if on_cpu
        else (_in_order(*call) for call in calls)
    )
    for number, rows, nats in tqdm(finished, total=count, desc="likelihoods", file=sys.stdout, ncols=84):
        found[number, rows] = nats
    return found


def _in_order(model, pictures, order, number, rows):
    known = torch.zeros_like(pictures, dtype=torch.bool)
    return number, rows, likelihood.hole_nll(model, pictures, known, ordering=order)


def load(path, device=None):
    """The model of a checkpoint, with its best weights where they were kept, in evaluation mode.

    Args:
        device: where the model goes, such as "cpu"; None for `devices.default()`.
    Raises:
        CheckpointError: as `checkpoints.load`, or the checkpoint is of another kind of model.
    """
    tensors, description = checkpoints.load(path)
    if description.get("model") not in MODELS:
        raise checkpoints.CheckpointError(
            f"{path}: holds a {description.get('model')}, expected one of {', '.join(MODELS)}"
        )
    model = build(description["model"], description["config"])
    model.load_state_dict(checkpoints.weights(tensors))
    return model.to(device or devices.default()).eval()
