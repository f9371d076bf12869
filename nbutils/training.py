"""One training loop for every model. It knows batches, losses and metrics, and no architecture.

A task supplies `batch(size, generator)`, `loss_of(model, batch)` and `validate(model)`. Everything random about step n comes from a
generator seeded with (seed, n), so that a run which was stopped and resumed goes on exactly as if it had not been.
"""

import csv
import hashlib
import io
import json
import logging
import math
import statistics
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from . import checkpoints
from .files import source_digest, write_text

SCHEDULES = ("plateau", "cosine", "constant")
PRECISIONS = ("32-true", "bf16-mixed", "64-true")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How to train: Adam, with the learning rate divided by 10 on a plateau, falling along a cosine over the run's steps, or constant.

    `beta2`: how long Adam remembers squared gradients. `keep_best`: end with the weights of the lowest validation loss, not the last.
    `patience`: steps without improvement of the validation loss, median-filtered over 10 validations, before a division.
    `clip_norm`: largest gradient norm, infinite for none. `precision`: "bf16-mixed" runs the convnet in bfloat16.

    Raises:
        ValueError: an impossible value, named.
    """

    steps: int
    batch_size: int = 20
    learning_rate: float = 1e-3
    beta2: float = 0.99
    schedule: str = "plateau"
    patience: int = 1000
    clip_norm: float = math.inf
    precision: str = "32-true"
    validate_every: int = 100
    checkpoint_every: int = 500
    keep_best: bool = False
    seed: int = 0

    def __post_init__(self):
        for name in ("steps", "batch_size", "patience", "validate_every", "checkpoint_every", "learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: {getattr(self, name)!r}; expected a positive number")
        if not 0 < self.beta2 < 1:
            raise ValueError(f"beta2: {self.beta2!r}; expected a number between 0 and 1")
        for name, allowed in (("schedule", SCHEDULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}: {getattr(self, name)!r}; expected one of {', '.join(allowed)}")


class MedianPlateau:
    """Counts how often a loss, median-filtered over the last 10 values, has gone `patience` steps without a new best."""

    def __init__(self, patience):
        self.patience, self.losses, self.best, self.best_step, self.divisions = patience, [], math.inf, 0, 0

    def update(self, step, loss):
        """Take the validation loss at `step`."""
        self.losses = [*self.losses, loss][-10:]
        median = statistics.median(self.losses)
        if median < self.best:
            self.best, self.best_step = median, step
        elif step - self.best_step >= self.patience:
            self.divisions, self.best_step = self.divisions + 1, step


def learning_rate(settings, step, divisions):
    """The learning rate of a step: constant, or a linear rise over the first 50 steps, then the plateau's divisions or the cosine's fall."""
    if settings.schedule == "constant":
        return settings.learning_rate
    rise = min(1.0, (step + 1) / 50)
    if settings.schedule == "plateau":
        return settings.learning_rate * rise * 0.1**divisions
    return settings.learning_rate * rise * (0.505 + 0.495 * math.cos(math.pi * step / settings.steps))


def step_generator(seed, step):
    """The generator of a training step, seeded with a hash of (seed, step)."""
    digest = hashlib.blake2b(f"{seed} {step}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


@dataclass(frozen=True)
class TrainingRun:
    """A finished training: `metrics`, one dict per validation, and the `checkpoint` path."""

    metrics: list[dict]
    checkpoint: Path

    def column(self, name):
        """The values of one metric, in order of steps."""
        return [row[name] for row in self.metrics]


def train(model, task, settings, folder, description, unrelated=()):
    """Train `model` in place, or resume or reuse the training that `folder` holds.

    Args:
        model: torch.nn.Module; its initial weights are part of what a resumed run repeats.
        task: see the module's docstring.
        settings: TrainingSettings.
        folder: a sub-folder named by what is trained, how and with what code is made in it, so nothing else ever meets this checkpoint.
        description: dict that JSON can hold: what is trained (`model`, `config`, `vocabulary`, data ...).
        unrelated: places in this package whose code has no part in this training, besides the reports.
    Returns:
        TrainingRun; the model is left in evaluation mode on the CPU.
    Raises:
        FloatingPointError: the loss, the gradient or the validation loss became NaN or infinite; the last checkpoint keeps the weights before.
        CheckpointError: the folder's checkpoint cannot be read.
        OSError: a checkpoint cannot be written, for want of space or permission; the one before it stands.
    """
    identity = json.dumps([description, asdict(settings), source_digest(("cli", "__main__", "reports/", *unrelated))], sort_keys=True, default=str)
    folder = Path(folder) / hashlib.blake2b(identity.encode(), digest_size=6).hexdigest()
    with _alone(folder):
        return _train(model, task, settings, _State(folder, settings, description))


@contextmanager
def _alone(folder):
    """Keep the folder of a training to one process at a time: another waits, and then finds what the first has left."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"{folder.name}: another process works on the same training; waiting for it to end", flush=True)
            lock.acquire()
    except OSError as error:
        raise OSError(error.errno, f"{folder}: no place for checkpoints ({error.strerror or error}); give a folder that can be written, with space") from error
    try:
        for left in folder.glob(".*.part"):  # of a process that was killed while it wrote
            left.unlink()
        yield
    finally:
        lock.release()


def _train(model, task, settings, state):
    from lightning.fabric import Fabric  # takes seconds to import, which only training should pay
    from lightning_utilities.core import rank_zero

    rank_zero.log.setLevel(logging.WARNING)  # it announces the precision at every start
    description = state.description
    fabric = Fabric(accelerator="auto", devices=1, precision=settings.precision)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, betas=(0.9, settings.beta2), fused=True)
    wrapped, wrapped_optimizer = fabric.setup(model.to(memory_format=torch.channels_last), optimizer)
    state.restore(model, optimizer)
    bar = tqdm(total=settings.steps, initial=state.step, desc=str(description.get("name", "training")), file=sys.stdout, mininterval=2, dynamic_ncols=False, ncols=84)
    while state.step < settings.steps:
        began = time.perf_counter()
        wrapped.train()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, state.step, state.plateau.divisions)
        batch = fabric.to_device(task.batch(settings.batch_size, step_generator(settings.seed, state.step)))
        loss = task.loss_of(wrapped, batch)
        state.refuse_unless_finite("loss", loss.detach())
        wrapped_optimizer.zero_grad()
        fabric.backward(loss)
        validates = (state.step + 1) % settings.validate_every == 0 or state.step + 1 == settings.steps
        norm = fabric.clip_gradients(wrapped, wrapped_optimizer, max_norm=settings.clip_norm, error_if_nonfinite=False)
        state.refuse_unless_finite("gradient", norm)
        wrapped_optimizer.step()
        state.step += 1
        state.losses.append(loss.item())
        state.seconds += time.perf_counter() - began
        bar.update()
        if validates:
            wrapped.eval()
            scores = task.validate(wrapped)
            state.refuse_unless_finite("validation loss", scores["loss"])
            state.plateau.update(state.step, scores["loss"])
            state.record(scores, optimizer, norm, model)
            if settings.keep_best and scores["loss"] == min(row["valid_loss"] for row in state.metrics):
                state.best = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
            bar.set_postfix({"train": f"{state.metrics[-1]['train_loss']:.3f}", "valid": f"{scores['loss']:.3f}"}, refresh=False)
        if state.step % settings.checkpoint_every == 0 or state.step == settings.steps:
            state.save(model, optimizer)
    bar.close()
    model.cpu().eval()
    if settings.keep_best:
        model.load_state_dict(state.best)
    return TrainingRun(state.metrics, state.path)


class _State:
    """What a run has to remember: where it is, its metrics, and the plateau's memory; kept in a folder."""

    def __init__(self, folder, settings, description):
        self.folder, self.settings, self.description = folder, settings, description
        self.path = folder / "checkpoint.safetensors"
        self.step = self.saved_step = 0
        self.seconds = 0.0
        self.best = {}  # the weights of the lowest validation loss, where they are kept
        self.losses, self.metrics = [], []  # training losses since the last validation; a row per validation
        self.plateau = MedianPlateau(settings.patience)

    def refuse_unless_finite(self, name, value):
        if not math.isfinite(value):
            kept = f"the weights of step {self.saved_step} are in {self.path}" if self.path.exists() else "no checkpoint had been written yet"
            raise FloatingPointError(f"the {name} became {float(value)} at step {self.step}; {kept}; try a lower learning rate, clip_norm, or precision 32-true")

    def record(self, scores, optimizer, gradient_norm, model):
        parameter_norm = torch.nn.utils.get_total_norm(list(model.parameters()))
        row = {
            "step": self.step,
            "examples": self.step * self.settings.batch_size,
            "seconds": round(self.seconds, 2),
            "learning_rate": optimizer.param_groups[0]["lr"],
            "train_loss": statistics.fmean(self.losses),
            "gradient_norm": float(gradient_norm),
            "parameter_norm": float(parameter_norm),
        }
        self.metrics.append(row | {f"valid_{name}": value for name, value in scores.items()})
        self.losses = []

    def save(self, model, optimizer):
        tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        for number, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in moments.items()}
        progress = {"step": self.step, "seconds": self.seconds, "losses": self.losses, "metrics": self.metrics, "plateau": vars(self.plateau)}
        checkpoints.save(self.path, tensors, self.description | {"settings": asdict(self.settings), "progress": progress})
        self.saved_step = self.step
        self._write_metrics()

    def restore(self, model, optimizer):
        left = [path for path in (self.path, checkpoints.previous(self.path)) if path.exists()]  # only the second, where a kill fell between two renames
        if not left:
            return
        tensors, description = checkpoints.load(left[0])
        progress = description["progress"]
        self.step = self.saved_step = progress["step"]
        self.seconds, self.losses, self.metrics = progress["seconds"], progress["losses"], progress["metrics"]
        vars(self.plateau).update(progress["plateau"])
        model.load_state_dict(checkpoints.part(tensors, "model"))
        self.best = checkpoints.part(tensors, "best")
        parameters, moments = list(model.parameters()), {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, number, moment = name.split(".", 2)
                if tensor.dim():  # the fused optimiser walks through memory, so moments must lie as their parameter does
                    tensor = torch.empty_like(parameters[int(number)]).copy_(tensor)
                moments.setdefault(int(number), {})[moment] = tensor
        optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})

    def _write_metrics(self):
        """The metrics as CSV for people and spreadsheets; the checkpoint holds the same, so the file is never read back."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.metrics[-1])) if self.metrics else None
        if writer:
            writer.writeheader()
            writer.writerows(self.metrics)
        write_text(self.folder / "metrics.csv", text.getvalue())
