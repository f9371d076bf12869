"""A training written down, everything it depends on under one roof, and the one way to fit one, to fit
several side by side, to share one among processes, and to read back what came of it.

Notebooks, the command line and searches all train through this. What is particular to a kind of model stands
in modules that are imported by name when they are used, so that a training or notebook of one kind does not
hang on the code of the other.
"""

import csv
import importlib
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml

from .. import devices, identity
from ..data import digits, sources
from ..data.captions import Vocabulary
from ..files import write_text
from ..processes import by_key
from . import checkpoints, kept
from .loop import TrainingRun, TrainingSettings, train

SECTIONS = ("data", "model", "task", "settings")
# The modules beside this one that know a task, a model of a checkpoint, and the usual job of a kind.
_OF_TASK = {"Inpainting": "inpainting", "Prediction": "pixels", "Classification": "pixels"}
_OF_MODEL = {
    "Inpainter": "inpainting",
    "predictor": "pixels",
    "classifier": "pixels",
    "whole image": "pixels",
}
_OF_KIND = {"inpainter": "inpainting", "digit inpainter": "inpainting"} | {
    name: "pixels" for name in ("predictor", "classifier", "whole image")
}


def _module(name):
    return importlib.import_module(f"{__package__}.{name}")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training.

    Args:
        name: what bars, tables and curves call it.
        data: `inpainting.PictureData` or `digit_data.DigitData`.
        model: InpainterConfig, whose vocabulary's size becomes that of the data; of digits also
            RecurrentConfig, for a predictor of the next pixel, ClassifierConfig or WholeImageConfig.
        task: `objective.Inpainting`, `pixels.Prediction` or `pixels.Classification`, as the model can do.
        settings: TrainingSettings; its seed also draws the initial weights.
        begin_with: path of the checkpoint of an equal model, whose weights to begin with instead.
    Raises:
        ValueError: parts that do not go together, named.
    """

    name: str
    data: Any
    model: Any
    task: Any
    settings: TrainingSettings
    begin_with: str | Path | None = None

    def __post_init__(self):
        self._of_kind.check(self)

    @property
    def _of_kind(self):
        task = type(self.task).__name__
        if task not in _OF_TASK:
            raise ValueError(f"task: {task}; expected one of {', '.join(_OF_TASK)}")
        return _module(_OF_TASK[task])

    def vary(self, **values):
        """This job with other values.

        Args:
            values: by the name of a field, which sets it in every part that has it, such as `image_size` of
                data and model; or by `part.name` in one alone. `data` is the name or path of the source. For
                inpainters `num_merges` spreads so many merging layers evenly, as many as before where
                `layers` changes, and `reader_size` sets `embedding_size` too, unless they are given.
        Raises:
            ValueError: a name that no part has, or an impossible value.
        """
        changes = {section: {} for section in (*SECTIONS, "")}
        merges = hasattr(self.model, "merge_layers")
        num_merges = values.pop("num_merges", None) if merges else None
        for name, value in values.items():
            for section, entry in self._places(name):
                changes[section][entry] = value
        model = changes["model"]
        if "reader_size" in model:
            model.setdefault("embedding_size", model["reader_size"])
        if num_merges is not None or "layers" in model:
            count = len(self.model.merge_layers) if num_merges is None else num_merges
            model.setdefault("merge_layers", spread(count, model.get("layers", self.model.layers)))
        parts = {section: replace(getattr(self, section), **changes[section]) for section in SECTIONS}
        return replace(self, **parts, **changes[""])

    def _places(self, name):
        """The (part, field) pairs that a name stands for."""
        if name in ("name", "begin_with"):
            return [("", name)]
        if name == "data":
            return [("data", "source")]
        found = [
            (section, entry.name)
            for section in SECTIONS
            for entry in fields(getattr(self, section))
            if name in (entry.name, f"{section}.{entry.name}")
        ]
        if not found:
            raise ValueError(f"{name}: no part of a training of this kind has it")
        return found

    def has_parts_of(self, other):
        """Whether data, model and task are of the same kinds as those of another job."""
        return all(
            type(getattr(self, part)) is type(getattr(other, part)) for part in ("data", "model", "task")
        )

    def values(self):
        """All that can be varied, a dict by `part.name`."""
        parts = asdict(self)
        values = {f"{part}.{name}": value for part in SECTIONS for name, value in parts[part].items()}
        return {"name": self.name, "begin_with": self.begin_with} | values

    def fit(self, folder, splits=None, beforehand=None):
        """Train, take up the training where it stopped, or take what the same training left before.

        Args:
            folder: trainings live in sub-folders of it, see `loop.train`.
            splits: what `data.load()` gives, for a caller that has it.
            beforehand: a folder of kept trainings, see `kept`; one that is this job is taken as it is.
        Returns:
            Trained.
        Raises:
            ValueError: an impossible value, named; and as `loop.train`.
            CheckpointError: a kept training cannot be read.
        """
        of_kind = self._of_kind
        config, task, facts = of_kind.prepare(self, splits or self.data.load())
        kind = of_kind.model_of(config)
        description = facts | {
            "name": self.name,
            "model": kind,
            "config": asdict(config),
            "task": asdict(self.task),
            "begin_with": _made_as(self.begin_with) if self.begin_with else None,
            "code": identity.of_modules(of_kind.__name__),
        }
        parts = {"config": config, "task": self.task, "settings": self.settings}
        if beforehand and (found := kept.find(beforehand, description, **parts)):
            return Trained(**kept.take(found, folder))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            model = of_kind.MODELS[kind][1](config)
        if self.begin_with:
            model.load_state_dict(load(self.begin_with, "cpu").model.state_dict())
        return Trained(**vars(train(model, task, self.settings, folder, description)))


def _made_as(path):
    """What tells the weights of a checkpoint from others, also of one that is kept in half precision."""
    description = checkpoints.description(path)
    return description.get("made_from", description["digest"])


def usual(kind="inpainter"):
    """The job that one from the command line varies; the inpainter is that of notebook 04 at `quick`.

    Args:
        kind: "inpainter", "digit inpainter", "predictor", "classifier" or "whole image".
    Raises:
        ValueError: no such kind.
    """
    if kind not in _OF_KIND:
        raise ValueError(f"job: {kind!r}; expected one of {', '.join(_OF_KIND)}")
    return Job(name=kind, **_module(_OF_KIND[kind]).usual(kind))


def spread(num_merges, layers):
    """The layers that merge a caption: `num_merges` of 1 to `layers`, evenly from the first to the last;
    fewer where there are fewer layers."""
    if not num_merges >= 0:
        raise ValueError(f"num_merges: {num_merges}; expected at least 0")
    return tuple(sorted({1 + round(i * (layers - 1) / max(1, num_merges - 1)) for i in range(num_merges)}))


class Loaded(NamedTuple):
    """A model in evaluation mode, and the vocabulary that it reads captions with, None where it is no
    inpainter."""

    model: torch.nn.Module
    vocabulary: Vocabulary | None


@dataclass(frozen=True)
class Trained(TrainingRun):
    """A finished training: its `metrics` and `checkpoint`, and the model as `load` reads it."""

    @cached_property
    def model(self):
        """The model in evaluation mode, on the default device."""
        return load(self.checkpoint).model


def load(path, device=None):
    """The model of a checkpoint of any kind, with its best weights where they were kept.

    Args:
        device: where the model goes, such as "cpu"; None for `devices.default()`.
    Returns:
        Loaded.
    Raises:
        CheckpointError: as `checkpoints.load`, or the checkpoint is of another kind of model.
    """
    tensors, description = checkpoints.load(path)
    kind = description.get("model")
    if kind not in _OF_MODEL:
        raise checkpoints.CheckpointError(f"{path}: holds a {kind}, expected one of {', '.join(_OF_MODEL)}")
    config, build = _module(_OF_MODEL[kind]).MODELS[kind]
    model = build(config(**description["config"]))
    model.load_state_dict(checkpoints.weights(tensors))
    words = description.get("vocabulary")
    return Loaded(model.to(device or devices.default()).eval(), Vocabulary(tuple(words)) if words else None)


def fit_all(jobs, folder, beforehand=None):
    """`Job.fit` several: on a CPU as many at a time as there are cores, one thread each, which beats one job
    on all cores.

    Args:
        jobs: list of Job; what they are trained on is read or drawn once.
        folder, beforehand: as in `Job.fit`.
    Returns:
        list of Trained, in the order of the jobs.
    """
    splits = {data: data.load() for data in {job.data: None for job in jobs}}
    calls = {number: (job, folder, splits[job.data], beforehand) for number, job in enumerate(jobs)}
    return list(by_key(Job.fit, calls, devices.default().type, "trainings").values())


def watch(job, folder, processes=1):
    """Train a job in a program of its own, shared by several processes of this machine, and tell how it goes.

    Args:
        job: Job.
        folder: a folder for this training alone: the job, what the program says, the checkpoint and its
            metrics.
        processes: how many; where there are accelerators, at most as many as there are.
    Yields:
        dicts of numbers, the rows of the training's metrics, as they are measured.
    Raises:
        RuntimeError: the program failed; the message has its last line and says where the rest is.
    """
    folder = Path(folder)
    write_text(folder / "job.yaml", _written(job, folder))
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *launch, "-m", "nbutils", "train", folder / "job.yaml", "--out", folder]
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // processes))}
    told = 0
    with open(folder / "said.txt", "w", encoding="utf-8") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=os.environ | threads)
        try:
            running = True
            while running:
                running = process.poll() is None
                rows = _rows(folder)
                yield from rows[told:]
                told = len(rows)
                time.sleep(0.2 if running else 0)
        finally:
            process.terminate()
            process.wait()
    if process.returncode:
        raise RuntimeError(
            f"training ended with exit code {process.returncode}: {_last_words(folder / 'said.txt')}; all it "
            f"said is in {folder / 'said.txt'}"
        )


def _written(job, folder):
    """A job as `nbutils train` reads it from a file in `folder`."""
    kind = next(kind for kind in _OF_KIND if usual(kind).has_parts_of(job))
    usually = usual(kind).values()
    given = ("model.embedding_size", "model.merge_layers")  # which follow from others where they are not
    values = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in job.values().items()
        if value != usually[name] or name in given
    }
    if job.data.source not in {*digits.SOURCES, *sources.SOURCES}:
        values["data.source"] = os.path.relpath(job.data.source, folder)  # as the file means it
    if job.begin_with:
        values["begin_with"] = os.path.abspath(job.begin_with)
    return yaml.safe_dump({"job": kind} | values)


def _rows(folder):
    """The rows of metrics in a folder, with numbers."""
    return [
        {name: float(value) for name, value in row.items()}
        for path in folder.glob("*/metrics.csv")
        for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    ]


def _last_words(path):
    """The error that a program said, or the last line where it said none."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error:")]
    return (errors[:1] or lines[-1:] or ["it said nothing"])[0]
