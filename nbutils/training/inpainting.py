"""What a `Job` needs of inpainters: captioned pictures by name, the task on them, and the model."""

from dataclasses import asdict, dataclass, replace

import torch

from .. import identity
from ..data import digits, sources
from ..data.augmentation import Augmentation
from ..data.captions import PADDING, UNKNOWN
from ..data.fingerprints import fingerprint
from ..nade import variants
from ..nade.inpainter import Inpainter, InpainterConfig
from ..nade.objective import EncodedPictures, Inpainting
from .digit_data import DigitData
from .loop import TrainingSettings

# What checkpoints call a model: its configuration, and what builds it.
MODELS = {"Inpainter": (InpainterConfig, Inpainter)}


@dataclass(frozen=True, kw_only=True)
class PictureData:
    """Captioned pictures to train on; see `sources.load`."""

    source: str = "scenes"
    image_size: int = 32
    num_train: int = 6000
    num_valid: int = 96
    seed: int = 0

    def load(self):
        """The pictures, `sources.Splits`."""
        values = asdict(self)
        return sources.load(values.pop("source"), **values)


def encode(splits):
    """The pictures to train on and those held out, two `EncodedPictures`, of `sources.Splits` or
    `digits.Splits`."""
    if isinstance(splits, digits.Splits):
        return tuple(_without_captions(part) for part in (splits.train, splits.valid))
    return tuple(
        EncodedPictures(part.images, *splits.vocabulary.encode(part.captions))
        for part in (splits.train, splits.valid)
    )


def pictures_of(part):
    """Digits as an `Inpainter` of two levels reads them: uint8 (N, 1, H, W) of 0 and 1."""
    return digits.binarise(part).to(torch.uint8).view(len(part), 1, *part.images.shape[1:])


def _without_captions(part):
    nothing = torch.zeros(len(part), dtype=torch.long)
    return EncodedPictures(pictures_of(part), nothing[:, None][:, :0], nothing)


def augmentation(splits):
    """How to change training pictures at random: not at all for scenes, of which new ones are easily drawn,
    and for digits; photographs see `Augmentation`."""
    if isinstance(splits, digits.Splits) or splits.train.indices is not None:
        return None
    return Augmentation.of(splits.vocabulary)


def check(job):
    """Refuse, with a ValueError, parts of a job that do not go together."""
    if not isinstance(job.data, PictureData | DigitData) or not isinstance(job.model, InpainterConfig):
        raise ValueError(
            f"{job.name}: in-painting with {type(job.model).__name__} on {type(job.data).__name__}; expected "
            "an InpainterConfig, and PictureData or DigitData"
        )
    job.task.fits(job.data.image_size)
    if job.model.image_size != job.data.image_size:
        raise ValueError(
            f"image_size: a model for {job.model.image_size} and pictures of {job.data.image_size} pixels; "
            "expected the same"
        )
    channels, levels = (1, 2) if isinstance(job.data, DigitData) else (3, 256)
    if (job.model.channels, job.model.levels) != (channels, levels):
        raise ValueError(
            f"channels and levels: a model of {job.model.channels} and {job.model.levels}; expected "
            f"{channels} and {levels} for {type(job.data).__name__}"
        )


def model_of(config):
    """What checkpoints call the model of a configuration."""
    return "Inpainter"


def usual(kind):
    """The parts of a usual job, a dict; see `job.usual`."""
    common = dict(width=48, layers=5, kind="dilated_residual")
    if kind == "digit inpainter":
        return dict(
            data=DigitData(image_size=12),
            model=InpainterConfig(image_size=12, channels=1, levels=2, **common),
            task=Inpainting(mask="orderless", hole_size=12, validation_masks=4),
            settings=TrainingSettings(steps=1000, learning_rate=0.003, schedule="cosine", keep_best=True),
        )
    reader = dict(embedding_size=48, reader_size=48, reader_kernel=3)
    how = dict(steps=1250, batch_size=8, learning_rate=0.008, schedule="cosine", validate_every=250)
    return dict(
        data=PictureData(),
        model=InpainterConfig(image_size=32, readout=256, **common, **reader),
        task=Inpainting(hole_size=16, caption_dropout=0.1, scored_variables=192),
        settings=TrainingSettings(precision="auto", **how),
    )


def prepare(job, splits):
    """What `Job.fit` trains: the model's configuration with the size of the vocabulary, the task, and what
    describes them beside, a dict."""
    pictures, held_out = encode(splits)
    augment = augmentation(splits)
    task = variants.task_of(job.task, pictures, held_out, augment)
    facts = {"augmentation": identity.of_class(type(augment)) if augment else None}
    if isinstance(splits, digits.Splits):
        content = fingerprint(pictures.images, held_out.images)
        return job.model, task, facts | {"vocabulary": [PADDING, UNKNOWN], "data": content}
    config = replace(job.model, vocabulary_size=len(splits.vocabulary))
    return config, task, facts | {"vocabulary": splits.vocabulary.words, "data": splits.fingerprint}
