"""Finished trainings that are kept for others, such as in the repository: weights in half precision and all
that tells how they were made. `Job.fit` takes one of the very same job instead of training for hours.
"""

import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch

from ..files import write_json, written_whole
from . import checkpoints

_REACHED = {  # by kind of model: the column of its metrics, how it is written
    "Inpainter": ("valid_bits", "{:.3f} bits a variable"),
    "predictor": ("valid_loss", "{:.4f} nats a pixel"),
    "classifier": ("valid_accuracy", "{:.1%} named rightly"),
    "whole image": ("valid_accuracy", "{:.1%} named rightly"),
}
_ITS_OWN = {"name", "code", "augmentation"}  # what a training is called, and by what code it was made


def keep(checkpoint, to, name, *, commit, processor):
    """Keep a finished training: `name`.safetensors, and `name`.json for people, with how it went.

    Args:
        checkpoint: path of the checkpoint, in the folder where it was trained.
        to: folder.
        name: of the two files.
        commit: of the repository, by whose code it was trained; no checkpoint tells.
        processor: what it was trained on, as a sentence goes on after "on", such as "one core of a Xeon".
    Returns:
        Path of the first of them.
    Raises:
        FileNotFoundError, CheckpointError: as `checkpoints.load`.
        ValueError: a training that has not ended.
        OSError: no place for the files; each is there whole or as it was before.
    """
    tensors, description = checkpoints.load(checkpoint)
    step, steps = description["progress"]["step"], description["settings"]["steps"]
    if step < steps:
        raise ValueError(f"{checkpoint}: is at step {step:,} of {steps:,}; keep it when it has ended")
    facts = {
        "trained_in": Path(checkpoint).absolute().parent.name,
        "commit": commit,
        "processor": processor,
    }
    place = Path(to) / f"{name}.safetensors"
    with written_whole(place) as beside:
        beside.write_bytes(halved(tensors, description | facts))
    told = ("name", "model", "config", "task", "settings", "versions")
    of_people = {key: description[key] for key in told if key in description}
    hours = round(description["progress"]["seconds"] / 3600, 3)
    curve = [_short(row) for row in description["progress"]["metrics"]]
    write_json(
        place.with_suffix(".json"),
        facts | _sayable(of_people) | {"steps": step, "hours": hours, "curve": curve},
    )
    return place


def listed(folder):
    """The trainings kept in a folder: list of dicts with `name`, that of the files, `steps`, `hours`,
    `processor`, `commit` and `reached`, what held-out pictures said at the end, a text."""
    rows = []
    for path in sorted(Path(folder).glob("*.safetensors")):
        training = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        column, form = _REACHED[training["model"]]
        row = {key: training[key] for key in ("steps", "hours", "processor", "commit")}
        rows.append({"name": path.stem, "reached": form.format(training["curve"][-1][column])} | row)
    return rows


def halved(tensors, description):
    """The bytes of a checkpoint with what it takes to use the model and to know how it was trained.

    Args:
        tensors, description: from `checkpoints.load`. The weights are the best, where they were kept, in half
            precision; whole numbers, and numbers too large for it, stay as they are.
    """
    progress = {name: description["progress"][name] for name in ("step", "seconds", "metrics")}
    made_from = description.get("made_from", description["digest"])
    kept = {key: value for key, value in description.items() if key not in ("format", "digest")}
    kept |= {"progress": progress, "weights": "float16", "made_from": made_from}
    weights = {f"model.{name}": _half(tensor) for name, tensor in checkpoints.weights(tensors).items()}
    with tempfile.TemporaryDirectory(prefix="nbutils-") as folder:
        small = Path(folder) / "checkpoint.safetensors"
        checkpoints.save(small, weights, kept)
        return small.read_bytes()


def _half(tensor):
    half = tensor.half() if tensor.is_floating_point() else tensor
    return half if torch.isfinite(half).all() else tensor


def _short(row):
    """A row of metrics in six digits, as people read it."""
    return {name: float(f"{value:.6g}") if type(value) is float else value for name, value in row.items()}


def _sayable(value):
    """A value as JSON has it, which has no infinity."""
    return json.loads(json.dumps(value), parse_constant=str)


def find(kept, description, **parts):
    """The training among those kept in a folder that is the one described, whatever code it was made by.

    Args:
        kept: folder.
        description: dict, as a training's checkpoint holds it.
        parts: its `config`, `task` and `settings`, dataclasses.
    Returns:
        path of its checkpoint, or None where there is none.
    Raises:
        CheckpointError: a file there cannot be read, or is no kept training.
    """
    wanted = {key: value for key, value in description.items() if key not in _ITS_OWN | {*parts}}
    wanted = json.loads(json.dumps(wanted))  # lists, as JSON has them
    for path in sorted(Path(kept).glob("*.safetensors")):
        found = checkpoints.description(path)
        if "trained_in" not in found:
            raise checkpoints.CheckpointError(
                f"{path}: is no kept training; `nbutils keep` makes one of a checkpoint, move this elsewhere"
            )
        same = all(found.get(key) == value for key, value in wanted.items())
        as_augmented = bool(found.get("augmentation")) == bool(description.get("augmentation"))
        if same and as_augmented and all(_is(part, found[key]) for key, part in parts.items()):
            return path
    return None


def _is(part, values):
    """Whether a dataclass has these values; what it has gained since they were written is as usual there."""
    try:
        return asdict(type(part)(**values)) == asdict(part)
    except (TypeError, ValueError):  # a name or a value of old, which none has today
        return False


def take(path, folder):
    """Copy a kept training among those of a folder, and give its `metrics` and `checkpoint`, a dict.

    Raises:
        CheckpointError: its contents have changed.
    """
    try:
        description = checkpoints.load(path)[1]
    except checkpoints.CheckpointError as error:
        raise checkpoints.CheckpointError(f"{error}, or restore it") from None
    # under the name of the folder in which it was trained
    place = Path(folder) / "beforehand" / description["trained_in"] / "checkpoint.safetensors"
    with written_whole(place) as beside:
        shutil.copyfile(path, beside)
    return {"metrics": description["progress"]["metrics"], "checkpoint": place}
