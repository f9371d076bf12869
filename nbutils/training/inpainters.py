"""Trains an inpainter on captioned pictures: what the notebooks have in common when they need a model."""

from pathlib import Path

import torch

from .. import identity
from ..data.augmentation import Augmentation
from ..nade.inpainter import Inpainter, InpainterConfig
from ..nade.objective import EncodedPictures
from . import checkpoints
from .loop import train


def encode(splits):
    """The training and the held-out pictures of `sources.Splits`, as `EncodedPictures`."""
    return tuple(
        EncodedPictures(part.images, *splits.vocabulary.encode(part.captions))
        for part in (splits.train, splits.valid)
    )


def fit(name, splits, folder, *, config, task, settings, begin_with=None):
    """Train a model, take up its training where it stopped, or take what the same training left before.

    Args:
        name: what the progress bar calls it.
        splits: sources.Splits.
        folder: trainings live in sub-folders of it, see `training.train`.
        config: dict of `InpainterConfig`'s arguments, without the vocabulary's size.
        task: InpaintingTask, on pictures from `encode(splits)`.
        settings: TrainingSettings; its seed also draws the initial weights.
        begin_with: path of the checkpoint of an equal model whose weights to begin with instead.
    Returns:
        the model in evaluation mode, and the TrainingRun.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = Inpainter(InpainterConfig(vocabulary_size=len(splits.vocabulary), **config))
    if begin_with:
        model.load_state_dict(checkpoints.load_inpainter(begin_with)[0].state_dict())
    description = {
        "name": name,
        "model": "Inpainter",
        "config": vars(model.config),
        "vocabulary": splits.vocabulary.words,
        "data": splits.fingerprint,
        "task": task.choices,
        "begin_with": Path(begin_with).parent.name if begin_with else None,
        "augmentation": identity.of_class(type(task.augment)) if task.augment else None,
        "code": identity.of_modules(__name__),
    }
    return model, train(model, task, settings, folder, description)


def augmentation(splits):
    """How to change training pictures at random: not at all for scenes, of which new ones are easily drawn;
    photographs see `Augmentation`."""
    return Augmentation.of(splits.vocabulary) if splits.train.indices is None else None
