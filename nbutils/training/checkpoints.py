"""Checkpoints: one safetensors file whose header carries a JSON description, read back whole or refused."""

import hashlib
import importlib.metadata
import json
import os
import platform
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from ..files import flush, written_whole

FORMAT = 1
_PACKAGES = ("torch", "numpy", "safetensors")


class CheckpointError(ValueError):
    """A file that is not a whole checkpoint of this project; the message names it and says what to do."""


def versions():
    """Versions of Python and of the packages that numbers depend on."""
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in _PACKAGES
    }


def _digest(tensors):
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        digest.update(name.encode())
        bytes_of = tensors[name].contiguous().view(-1).view(torch.uint8)  # NumPy knows no bfloat16
        digest.update(bytes_of.numpy())
    return digest.hexdigest()


def save(path, tensors, description):
    """Write named tensors and a description (anything JSON can say), whole or not at all; what stood at
    `path` becomes `previous(path)`.

    Raises:
        OSError: naming `path`, where it cannot be written; what stood there before still does, there or at
            `previous(path)`.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    description = {"format": FORMAT, "digest": _digest(tensors), "versions": versions()} | description
    # its own writer maps the file, which a full disk turns into a crash
    content = safetensors.torch.save(tensors, {"description": json.dumps(description)})
    with written_whole(path) as beside:
        beside.write_bytes(content)
        flush(beside)  # now, so that hardly any time passes between the two renames
        if Path(path).exists():
            os.replace(path, previous(path))


def previous(path):
    """Where the checkpoint before the one at `path` is kept."""
    return Path(path).with_suffix(".previous.safetensors")


def load(path):
    """Read what `save` wrote.

    Returns:
        tensors: dict of name to tensor, on the CPU.
        description: dict.
    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: truncated, altered, not a checkpoint, or of a newer format; it offers the previous
            one where that is whole.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such checkpoint; run the notebook that trains it first")
    try:
        return _read(path)
    except CheckpointError as error:
        try:
            step = _read(previous(path))[1].get("progress", {}).get("step")
        except (OSError, CheckpointError):
            raise CheckpointError(f"{error}; delete it and train again") from None
        raise CheckpointError(
            f"{error}; the one before it, {previous(path).name} of step {step}, is whole: delete the "
            "damaged file and run again to go on from there"
        ) from None


def description(path):
    """What a checkpoint says of itself, a dict; its tensors are not read.

    Raises:
        CheckpointError: cut short, not a checkpoint, or of a newer format.
    """
    return _read(path, whole=False)[1]


def _read(path, whole=True):
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {})["description"])
            names = file.keys() if whole else ()
            tensors = {name: file.get_tensor(name) for name in names}
        written_format, digest = int(description["format"]), description["digest"]
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a checkpoint, or cut short ({error!r})") from None
    if written_format > FORMAT:
        raise CheckpointError(
            f"{path}: written in format {written_format}, this version reads up to {FORMAT}; update "
            "nbutils to read it"
        )
    if whole and digest != _digest(tensors):
        raise CheckpointError(f"{path}: its contents have changed since it was written")
    return tensors, description


def part(tensors, name):
    """Those of a checkpoint's tensors that stand under `name`: "model", "best" (where it was kept) or
    "optimizer"."""
    return {
        key.removeprefix(f"{name}."): tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")
    }


def weights(tensors):
    """The weights of the model among a checkpoint's tensors: the best, where they were kept, or else the
    last."""
    return part(tensors, "best") or part(tensors, "model")
