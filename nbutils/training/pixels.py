"""What a `Job` needs of models that read digits pixel by pixel: the configuration of each kind of model, and
the tasks on them."""

from dataclasses import dataclass

from ..data import digits
from ..data.fingerprints import fingerprint
from ..pixelrnn.models import PixelClassifier, PixelPredictor, RecurrentConfig, WholeImageClassifier
from ..pixelrnn.objective import ClassificationTask, PredictionTask
from .digit_data import DigitData
from .loop import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(RecurrentConfig):
    """Of a `PixelClassifier`; see there."""

    batch_norm: bool = True


@dataclass(frozen=True, kw_only=True)
class WholeImageConfig:
    """Of a `WholeImageClassifier`; see there."""

    hidden_size: int = 64
    num_pixels: int = 784


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Predict the next binary pixel; `num_scored` pictures in a validation."""

    num_scored: int = 800

    def __post_init__(self):
        _refuse_few(self.num_scored)


@dataclass(frozen=True, kw_only=True)
class Classification:
    """Name the digit; `num_scored` pictures in a validation, and whether it reads binarised pixels."""

    num_scored: int = 800
    binary: bool = False

    def __post_init__(self):
        _refuse_few(self.num_scored)


def _refuse_few(num_scored):
    if num_scored < 2:
        raise ValueError(f"num_scored: {num_scored}; expected 2 or more pictures, half of which choose")


def _classifier(config):
    return PixelClassifier(config, config.batch_norm)


def _whole_image(config):
    return WholeImageClassifier(config.hidden_size, config.num_pixels)


# What checkpoints call a model: its configuration, and what builds it.
MODELS = {
    "predictor": (RecurrentConfig, PixelPredictor),
    "classifier": (ClassifierConfig, _classifier),
    "whole image": (WholeImageConfig, _whole_image),
}
_TASKS = {"predictor": Prediction, "classifier": Classification, "whole image": Classification}


def model_of(config):
    """What checkpoints call the model of a configuration; None where it is none of these."""
    return next((name for name, (of, _) in MODELS.items() if of is type(config)), None)


def check(job):
    """Refuse, with a ValueError, parts of a job that do not go together."""
    task = type(job.task)
    if not isinstance(job.data, DigitData) or _TASKS.get(model_of(job.model)) is not task:
        raise ValueError(
            f"{job.name}: {task.__name__} with {type(job.model).__name__} on {type(job.data).__name__}; "
            "expected DigitData, and Prediction with RecurrentConfig or Classification with ClassifierConfig "
            "or WholeImageConfig"
        )
    if isinstance(job.model, WholeImageConfig) and job.model.num_pixels != job.data.image_size**2:
        raise ValueError(
            f"num_pixels: {job.model.num_pixels}; expected {job.data.image_size**2}, those of pictures of "
            f"{job.data.image_size} x {job.data.image_size}"
        )


def usual(kind):
    """The parts of a usual job, a dict; see `job.usual`."""
    side = 12
    config = {
        "classifier": dict(initialisation="chrono", memory=side**2),
        "whole image": dict(num_pixels=side**2),
    }
    how = dict(
        steps=1000, batch_size=64, learning_rate=0.003, schedule="cosine", clip_norm=1.0, keep_best=True
    )
    return dict(
        data=DigitData(image_size=side),
        model=MODELS[kind][0](**config.get(kind, {})),
        task=_TASKS[kind](),
        settings=TrainingSettings(**how),
    )


def prepare(job, splits):
    """What `Job.fit` trains: the model's configuration, the task, and what describes them beside, a dict.

    Raises:
        ValueError: a classifier, and digits without labels.
    """
    classifies = isinstance(job.task, Classification)
    if classifies and splits.train.labels.min() < 0:
        raise ValueError(
            f"digit_data: {job.data.source!r} has no labels, which {job.name} is to learn; expected "
            "embedded, mnist or a folder of IDX files"
        )
    read = digits.grey if classifies and not job.task.binary else digits.binarise
    seen, held_out = read(splits.train), read(splits.valid)
    facts = {"data": fingerprint(seen, splits.train.labels, held_out, splits.valid.labels)}
    common = dict(pixels=seen, held_out_pixels=held_out, num_scored=job.task.num_scored)
    if not classifies:
        return job.model, PredictionTask(**common), facts
    labels = dict(labels=splits.train.labels, held_out_labels=splits.valid.labels)
    return job.model, ClassificationTask(**common, **labels), facts
