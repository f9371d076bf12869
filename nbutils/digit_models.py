"""Trains models of digits, as many at a time as there are processor cores, each on one: what the notebooks of part B have in common."""

import sys
from dataclasses import dataclass

import joblib
import torch
from tqdm import tqdm

from . import checkpoints
from .data import digits
from .data.fingerprints import fingerprint
from .pixelrnn.models import PixelClassifier, PixelPredictor, RecurrentConfig, WholeImageClassifier
from .pixelrnn.objective import ClassificationTask, PredictionTask
from .side_by_side import side_by_side
from .training import TrainingSettings, train

MODELS = ("classifier", "predictor", "whole image")
_UNRELATED = ("nade/", "inpainting", "pixelrnn/inpainting", "data/", "digit_models")  # a job and its data are part of the description


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training.

    Args:
        name: what tables and curves call it.
        model: "classifier", "predictor" or "whole image".
        config: arguments of `RecurrentConfig`, with `batch_norm` for a classifier; of `WholeImageClassifier` for that.
        data: arguments of `digits.load`.
        settings: TrainingSettings; its seed also draws the initial weights.
        binary: whether a classifier reads binarised pixels; a predictor always does.
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
    if model == "whole image":
        return WholeImageClassifier(**config)
    config = dict(config)
    batch_norm = config.pop("batch_norm", True)
    return PixelClassifier(RecurrentConfig(**config), batch_norm) if model == "classifier" else PixelPredictor(RecurrentConfig(**config))


def fit(job, folder):
    """Train, go on with, or take up the finished training of a job.

    Returns:
        TrainingRun; `load` reads its checkpoint.
    """
    splits = digits.load(**job.data)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.settings.seed)
        model = build(job.model, job.config)
    read = digits.binarise if job.binary or job.model == "predictor" else digits.grey
    seen, held_out = read(splits.train), read(splits.valid)
    if job.model == "predictor":
        task = PredictionTask(pixels=seen, held_out_pixels=held_out, num_scored=job.num_scored)
    else:
        task = ClassificationTask(pixels=seen, labels=splits.train.labels, held_out_pixels=held_out, held_out_labels=splits.valid.labels, num_scored=job.num_scored)
    content = fingerprint(seen, splits.train.labels, held_out, splits.valid.labels)
    description = {"name": job.name, "model": job.model, "config": job.config, "data": content, "num_scored": job.num_scored}
    return train(model, task, job.settings, folder, description, unrelated=_UNRELATED)


def fit_all(jobs, folder):
    """`fit` several jobs: on a CPU as many at a time as there are cores, one thread each, which for recurrent nets beats one job on all cores.

    Returns:
        the models in evaluation mode and their TrainingRuns, two dicts by name of the job.
    """
    calls = [(job, folder) for job in jobs]
    finished = (_named(*call) for call in calls) if torch.accelerator.is_available() else side_by_side(_named, calls, min(len(jobs), joblib.cpu_count()))
    found = dict(tqdm(finished, total=len(jobs), desc="trainings", file=sys.stdout, ncols=84))
    runs = {job.name: found[job.name] for job in jobs}
    return {name: load(run.checkpoint) for name, run in runs.items()}, runs


def _named(job, folder):
    return job.name, fit(job, folder)


def load(path):
    """The model of a checkpoint, with its best weights where they were kept, in evaluation mode.

    Raises:
        CheckpointError: as `checkpoints.load`, or the checkpoint is of another kind of model.
    """
    tensors, description = checkpoints.load(path)
    if description.get("model") not in MODELS:
        raise checkpoints.CheckpointError(f"{path}: holds a {description.get('model')}, expected one of {', '.join(MODELS)}")
    model = build(description["model"], description["config"])
    model.load_state_dict(checkpoints.part(tensors, "best") or checkpoints.part(tensors, "model"))
    return model.eval()
