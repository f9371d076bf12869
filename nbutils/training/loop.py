"""One training loop for every model. It knows batches, losses and metrics, and no architecture.

A task supplies `batch(size, generator)`, `loss_of(model, batch)` and `validate(model)`, and where a batch is
shared out also `part(batch, number, parts)`. Everything random about step n comes from a generator seeded
with (seed, n), so that a run which was stopped and resumed goes on exactly as if it had not been.
"""

import atexit
import hashlib
import json
import math
import os
import sys
import time
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from .. import devices, identity
from ..processes import end_with_parent
from .state import TrainingState, alone

SCHEDULES = ("plateau", "cosine", "constant")
_READ_EVERY = 10  # steps; reading a number waits for the device that computes it


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How to train: Adam, with the learning rate divided by 10 on a plateau, falling along a cosine over the
    run's steps, or constant.

    `beta2`: how long Adam remembers squared gradients. `keep_best`: end with the weights of the lowest
    validation loss, not the last. `patience`: steps without improvement of the validation loss,
    median-filtered over 10 validations, before a division. `micro_batches`: equal parts of a batch that are
    worked through one after the other, for want of memory; batch normalisation sees a part at a time, of all
    processes. `clip_norm`: largest gradient norm, infinite for none. `precision`: "32-true"; "bf16-mixed",
    which runs the model in bfloat16 with weights and loss in float32; "64-true"; "auto", which becomes what
    `devices.resolved` makes of it here and now, so that settings say what was computed.

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
        for name in (
            "steps",
            "batch_size",
            "micro_batches",
            "patience",
            "validate_every",
            "checkpoint_every",
            "learning_rate",
            "clip_norm",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: {getattr(self, name)!r}; expected a positive number")
        if not 0 < self.beta2 < 1:
            raise ValueError(f"beta2: {self.beta2!r}; expected a number between 0 and 1")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule: {self.schedule!r}; expected one of {', '.join(SCHEDULES)}")
        object.__setattr__(self, "precision", devices.resolved(self.precision))


def learning_rate(settings, step, divisions):
    """The learning rate of a step: constant, or a linear rise over the first 50 steps, then the plateau's
    divisions or the cosine's fall."""
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


def train(model, task, settings, folder, description):
    """Train `model` in place, or resume or reuse the training that `folder` holds.

    Started by `torchrun`, the processes share every step: each works on its part of the batch, on its own
    device, and the losses and weights are those of one process up to rounding, however many there are.

    Args:
        model: torch.nn.Module; its initial weights are part of what a resumed run repeats.
        task: see the module's docstring; one that is trained in parts also has `part(batch, number, parts)`,
            whose losses add up to the whole.
        settings: TrainingSettings.
        folder: a sub-folder named by what is trained, how and with what code is made in it, so nothing else
            ever meets this checkpoint.
        description: dict that JSON can hold: what is trained (`model`, `config`, `vocabulary`, data ...).
    Returns:
        TrainingRun; the model is left in evaluation mode on the device where it was trained.
    Raises:
        ValueError: a batch that cannot be cut into equal parts for the processes.
        FloatingPointError: the loss, the gradient or the validation loss became NaN or infinite; the last
            checkpoint keeps the weights before.
        CheckpointError: the folder's checkpoint cannot be read.
        OSError: a checkpoint cannot be written, for want of space or permission; the one before it stands.
    """
    folder = Path(folder) / name_of(model, task, settings, description)
    processes = _Processes.started()
    with (
        alone(folder) if processes.leads else nullcontext(),
        _in_precision(model, settings.precision, processes.device),
    ):
        return _train(processes, model, task, settings, TrainingState(folder, settings, description))


def name_of(model, task, settings, description):
    """The name of a training's folder: a hash of what is trained, how, and by what code, that of its model
    and its task included."""
    code = [identity.of_modules(__name__), identity.of_class(type(model)), identity.of_class(type(task))]
    depends = json.dumps([description, asdict(settings), code], sort_keys=True, default=str)
    return hashlib.blake2b(depends.encode(), digest_size=6).hexdigest()


@dataclass(frozen=True)
class _Processes:
    """This process among those that share a training, `number` from 0 of `count`, and the device that it
    works on."""

    number: int
    count: int
    device: torch.device

    @classmethod
    def started(cls):
        """One, or as many as `torchrun` has started, which then meet here."""
        count, device = int(os.environ.get("WORLD_SIZE", 1)), devices.default()
        if count == 1:
            return cls(0, 1, device)
        # torchrun gives each process a session of its own, where it would go on when torchrun is killed
        end_with_parent()
        on_cuda = device.type == "cuda"
        if on_cuda:
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(device)
        if not distributed.is_initialized():
            distributed.init_process_group(
                "nccl" if on_cuda else "gloo", device_id=device if on_cuda else None
            )
            atexit.register(distributed.destroy_process_group)
        return cls(distributed.get_rank(), count, device)

    @property
    def leads(self):
        """Whether this is the process that writes files and speaks."""
        return self.number == 0

    def place(self, tensor):
        """A tensor of the CPU on the device of this process."""
        return tensor if self.device.type == "cpu" else tensor.pin_memory().to(self.device, non_blocking=True)

    def share(self, model):
        """The model as every process calls it: gradients are averaged; statistics are those of all already,
        see `BatchNorm2d`."""
        return DistributedDataParallel(model, broadcast_buffers=False) if self.count > 1 else model

    def told(self, found):
        """What the first process has found, to all."""
        values = [found]
        if self.count > 1:
            distributed.broadcast_object_list(values)
        return values[0]

    def sum(self, value):
        """A tensor's sum over all processes."""
        if self.count > 1:
            distributed.all_reduce(value)
        return value

    def wait(self):
        """Go on when all have come here."""
        if self.count > 1:
            distributed.barrier()


@contextmanager
def _in_precision(model, precision, device):
    """What calls of the model are computed in."""
    forward = model.forward
    if precision == "bf16-mixed":
        lowered = torch.autocast(device.type, torch.bfloat16)(forward)
        model.forward = lambda *inputs, **named: _each(_single, lowered(*inputs, **named))
    elif precision == "64-true":
        model.double()
        model.forward = lambda *inputs, **named: forward(*_each(_double, inputs), **named)
    try:
        yield
    finally:
        vars(model).pop("forward", None)  # the class has its own


def _each(change, value):
    """A value with all its tensors changed, also those within tuples."""
    if isinstance(value, tuple | list):
        return tuple(_each(change, entry) for entry in value)
    return change(value) if torch.is_tensor(value) else value


def _single(tensor):
    return tensor.float() if tensor.is_floating_point() else tensor


def _double(tensor):
    return tensor.double() if tensor.is_floating_point() else tensor


def _train(processes, model, task, settings, state):
    parts = _parts(processes, settings, task)
    model.to(processes.device, memory_format=torch.channels_last)
    adam = dict(lr=settings.learning_rate, betas=(0.9, settings.beta2), fused=True)
    optimizer = torch.optim.Adam(model.parameters(), **adam)
    shared = processes.share(model)
    state.restore(processes.told(state.find() if processes.leads else None), model, optimizer)
    with _bar(processes, settings, state) as bar:
        while state.step < settings.steps:
            validates, saves = _due(settings, state.step + 1)
            began = time.perf_counter()
            norm = _step(processes, shared, task, settings, state, optimizer, parts)
            if validates or saves or state.step % _READ_EVERY == 0:
                state.read()
            state.seconds += time.perf_counter() - began
            bar.update()
            if validates:
                _validate(model, task, settings, state, optimizer, norm)
                last = state.metrics[-1]
                bar.set_postfix(
                    train=f"{last['train_loss']:.3f}", valid=f"{last['valid_loss']:.3f}", refresh=False
                )
            if processes.leads and validates:
                state.write_metrics()
            if processes.leads and saves:
                state.save(model, optimizer)
    processes.wait()
    model.eval()
    if settings.keep_best:
        model.load_state_dict(state.best)
    return TrainingRun(state.metrics, state.path)


def _parts(processes, settings, task):
    """Into how many equal parts a batch is cut, micro-batches of all processes."""
    parts = processes.count * settings.micro_batches
    if parts > 1 and not hasattr(task, "part"):
        raise ValueError(
            f"micro_batches: {settings.micro_batches} for each of {processes.count} processes; a training on "
            "sequences of pixels has one process and whole batches"
        )
    if settings.batch_size % parts:
        shares = f"{settings.micro_batches} for each of {processes.count} processes"
        raise ValueError(
            f"batch_size: {settings.batch_size} cannot be cut into {parts} equal parts, {shares}"
        )
    return parts


def _bar(processes, settings, state):
    name = str(state.description.get("name", "training"))
    shown = dict(file=sys.stdout, mininterval=2, dynamic_ncols=False, ncols=84, disable=not processes.leads)
    return tqdm(total=settings.steps, initial=state.step, desc=name, **shown)


def _due(settings, step):
    """Whether a validation and a checkpoint follow when so many steps are done."""
    ends = step == settings.steps
    return ends or step % settings.validate_every == 0, ends or step % settings.checkpoint_every == 0


def _step(processes, shared, task, settings, state, optimizer, parts):
    """One step of Adam; gives the gradient's norm, which like the loss stays where it was computed."""
    shared.train()
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(settings, state.step, state.plateau.divisions)
    batch = task.batch(settings.batch_size, step_generator(settings.seed, state.step))
    optimizer.zero_grad()
    total = 0.0
    for number in range(settings.micro_batches):
        own = task.part(batch, number * processes.count + processes.number, parts) if parts > 1 else batch
        last = number + 1 == settings.micro_batches
        with shared.no_sync() if processes.count > 1 and not last else nullcontext():
            loss = task.loss_of(shared, _each(processes.place, own))
            (loss * processes.count).backward()  # gradients are averaged over processes
        total += loss.detach()
    norm = torch.nn.utils.clip_grad_norm_(shared.parameters(), settings.clip_norm)
    state.note(processes.sum(total), norm)
    optimizer.step()
    state.step += 1
    return norm


def _validate(model, task, settings, state, optimizer, norm):
    """Score and record; by every process for itself, so that all know what the learning rate depends on."""
    model.eval()
    scores = task.validate(model)
    state.refuse_unless_finite("validation loss", scores["loss"], state.step)
    state.plateau.update(state.step, scores["loss"])
    state.record(scores, optimizer, norm, model)
    if settings.keep_best and scores["loss"] == min(row["valid_loss"] for row in state.metrics):
        state.best = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
