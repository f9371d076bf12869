"""One training loop for every model. It knows batches, losses and metrics, and no architecture.

A task supplies `batch(size, generator)`, `loss_of(model, batch)` and `validate(model)`, and where a batch is shared out also
`part(batch, number, parts)`. Everything random about step n comes from a generator seeded with (seed, n), so that a run which was
stopped and resumed goes on exactly as if it had not been.
"""

import hashlib
import json
import logging
import math
import os
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from .files import source_digest
from .side_by_side import end_with_parent
from .training_state import TrainingState, alone

SCHEDULES = ("plateau", "cosine", "constant")
PRECISIONS = ("32-true", "bf16-mixed", "64-true")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How to train: Adam, with the learning rate divided by 10 on a plateau, falling along a cosine over the run's steps, or constant.

    `beta2`: how long Adam remembers squared gradients. `keep_best`: end with the weights of the lowest validation loss, not the last.
    `patience`: steps without improvement of the validation loss, median-filtered over 10 validations, before a division.
    `micro_batches`: equal parts of a batch that are worked through one after the other, for want of memory; batch normalisation sees a part
    at a time, of all processes. `clip_norm`: largest gradient norm, infinite for none. `precision`: "bf16-mixed" runs the convnet in bfloat16.

    Raises:
        ValueError: an impossible value, named.
    """

    steps: int
    batch_size: int = 20
    micro_batches: int = 1
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
        for name in ("steps", "batch_size", "micro_batches", "patience", "validate_every", "checkpoint_every", "learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: {getattr(self, name)!r}; expected a positive number")
        if not 0 < self.beta2 < 1:
            raise ValueError(f"beta2: {self.beta2!r}; expected a number between 0 and 1")
        for name, allowed in (("schedule", SCHEDULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}: {getattr(self, name)!r}; expected one of {', '.join(allowed)}")


_STARTS = ("cli", "__main__", "console", "reports/", "recipes", "search", "journal", "importance", "side_by_side")  # trainings and shows them; has no part in one


def code_digest(unrelated=()):
    """A hash of the code that a training runs; `unrelated` as of `train`."""
    return source_digest((*_STARTS, *unrelated))


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

    Started by `torchrun`, the processes share every step: each works on its part of the batch, on its own device, and the losses and
    weights are those of one process up to rounding, however many there are.

    Args:
        model: torch.nn.Module; its initial weights are part of what a resumed run repeats.
        task: see the module's docstring; one that is trained in parts also has `part(batch, number, parts)`, whose losses add up to the whole.
        settings: TrainingSettings.
        folder: a sub-folder named by what is trained, how and with what code is made in it, so nothing else ever meets this checkpoint.
        description: dict that JSON can hold: what is trained (`model`, `config`, `vocabulary`, data ...).
        unrelated: places in this package whose code has no part in this training, besides the reports.
    Returns:
        TrainingRun; the model is left in evaluation mode on the CPU.
    Raises:
        ValueError: a batch that cannot be cut into equal parts for the processes.
        FloatingPointError: the loss, the gradient or the validation loss became NaN or infinite; the last checkpoint keeps the weights before.
        CheckpointError: the folder's checkpoint cannot be read.
        OSError: a checkpoint cannot be written, for want of space or permission; the one before it stands.
    """
    identity = json.dumps([description, asdict(settings), code_digest(unrelated)], sort_keys=True, default=str)
    folder = Path(folder) / hashlib.blake2b(identity.encode(), digest_size=6).hexdigest()
    fabric = _fabric(settings.precision)
    with alone(folder) if fabric.is_global_zero else nullcontext():
        return _train(fabric, model, task, settings, TrainingState(folder, settings, description))


def _fabric(precision):
    """Devices and processes: one, or as many as `torchrun` has started."""
    from lightning.fabric import Fabric  # takes seconds to import, which only training should pay
    from lightning.fabric.strategies import DDPStrategy
    from lightning_utilities.core import rank_zero

    rank_zero.log.setLevel(logging.WARNING)  # it announces the precision at every start
    processes = int(os.environ.get("WORLD_SIZE", 1))
    if processes == 1:
        return Fabric(accelerator="auto", devices=1, precision=precision)
    end_with_parent()  # torchrun gives each of its processes a session of its own, in which it would go on when torchrun is killed
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    fabric = Fabric(accelerator="auto", devices=here, num_nodes=processes // here, strategy=DDPStrategy(broadcast_buffers=False), precision=precision)
    fabric.launch()
    return fabric


def _train(fabric, model, task, settings, state):
    processes, leads = fabric.world_size, fabric.is_global_zero
    parts = processes * settings.micro_batches
    if settings.batch_size % parts:
        raise ValueError(f"batch_size: {settings.batch_size} cannot be cut into {parts} equal parts, {settings.micro_batches} for each of {processes} processes")
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, betas=(0.9, settings.beta2), fused=True)
    wrapped, wrapped_optimizer = fabric.setup(model.to(memory_format=torch.channels_last), optimizer)
    found = state.find() if leads else None
    state.restore(fabric.broadcast(found) if processes > 1 else found, model, optimizer)
    name = str(state.description.get("name", "training"))
    bar = tqdm(total=settings.steps, initial=state.step, desc=name, file=sys.stdout, mininterval=2, dynamic_ncols=False, ncols=84, disable=not leads)
    while state.step < settings.steps:
        began = time.perf_counter()
        wrapped.train()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, state.step, state.plateau.divisions)
        batch = task.batch(settings.batch_size, step_generator(settings.seed, state.step))
        wrapped_optimizer.zero_grad()
        total = 0.0
        for number in range(settings.micro_batches):
            own = task.part(batch, number * processes + fabric.global_rank, parts) if parts > 1 else batch
            with fabric.no_backward_sync(wrapped, enabled=number + 1 < settings.micro_batches):
                loss = task.loss_of(wrapped, fabric.to_device(own))
                fabric.backward(loss * processes)  # gradients are averaged over processes
            total += loss.detach()
        if processes > 1:
            total = fabric.all_reduce(total, reduce_op="sum")
        state.refuse_unless_finite("loss", total)
        norm = fabric.clip_gradients(wrapped, wrapped_optimizer, max_norm=settings.clip_norm, error_if_nonfinite=False)
        state.refuse_unless_finite("gradient", norm)
        wrapped_optimizer.step()
        state.step += 1
        state.losses.append(total.item())
        state.seconds += time.perf_counter() - began
        bar.update()
        if state.step % settings.validate_every == 0 or state.step == settings.steps:
            wrapped.eval()
            scores = task.validate(wrapped)  # by every process for itself, so that all know what the learning rate depends on
            state.refuse_unless_finite("validation loss", scores["loss"])
            state.plateau.update(state.step, scores["loss"])
            state.record(scores, optimizer, norm, model)
            if settings.keep_best and scores["loss"] == min(row["valid_loss"] for row in state.metrics):
                state.best = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
            bar.set_postfix({"train": f"{state.metrics[-1]['train_loss']:.3f}", "valid": f"{scores['loss']:.3f}"}, refresh=False)
            if leads:
                state.write_metrics()
        if leads and (state.step % settings.checkpoint_every == 0 or state.step == settings.steps):
            state.save(model, optimizer)
    bar.close()
    fabric.barrier()
    model.cpu().eval()
    if settings.keep_best:
        model.load_state_dict(state.best)
    return TrainingRun(state.metrics, state.path)
