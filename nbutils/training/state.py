"""What a training has to remember, kept in a folder that one process at a time works in."""

import csv
import io
import math
import statistics
from contextlib import contextmanager
from dataclasses import asdict

import torch
from filelock import FileLock, Timeout

from ..files import write_text
from . import checkpoints


@contextmanager
def alone(folder):
    """Keep the folder of a training to one process at a time: another waits, and then finds what the first
    has left."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(
                f"{folder.name}: another process works on the same training; waiting for it to end",
                flush=True,
            )
            lock.acquire()
    except OSError as error:
        raise OSError(
            error.errno,
            (
                f"{folder}: no place for checkpoints ({error.strerror or error}); give a folder that can "
                "be written, with space"
            ),
        ) from error
    try:
        for left in folder.glob(".*.part"):  # of a process that was killed while it wrote
            left.unlink()
        yield
    finally:
        lock.release()


class MedianPlateau:
    """Counts how often a loss, median-filtered over the last 10 values, has gone `patience` steps without a
    new best."""

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


class TrainingState:
    """What a run has to remember: where it is, its metrics, and the plateau's memory; kept in a folder."""

    def __init__(self, folder, settings, description):
        self.folder, self.settings, self.description = folder, settings, description
        self.path = folder / "checkpoint.safetensors"
        self.step = self.saved_step = 0
        self.seconds = 0.0
        self.best = {}  # the weights of the lowest validation loss, where they are kept
        self.losses, self.metrics = [], []  # training losses since the last validation; a row per validation
        self.unread = []  # losses and gradient norms of the last steps, still on their device
        self.plateau = MedianPlateau(settings.patience)

    def note(self, loss, gradient_norm):
        """Keep the loss and the gradient's norm of the step that is under way, scalars, where they were
        computed."""
        self.unread.append(torch.stack([loss, gradient_norm]))

    def read(self):
        """Wait for what was noted, and refuse what is not finite; weights may be validated or saved after
        that alone.

        Raises:
            FloatingPointError: naming the first such step.
        """
        if not self.unread:
            return
        noted, self.unread = torch.stack(self.unread).tolist(), []
        for step, (loss, gradient_norm) in enumerate(noted, start=self.step - len(noted)):
            self.refuse_unless_finite("loss", loss, step)
            self.refuse_unless_finite("gradient", gradient_norm, step)
            self.losses.append(loss)

    def refuse_unless_finite(self, name, value, step):
        if not math.isfinite(value):
            saved = f"the weights of step {self.saved_step} are in {self.path}"
            kept = saved if self.path.exists() else "no checkpoint had been written yet"
            advice = "try a lower learning rate, clip_norm, or precision 32-true"
            raise FloatingPointError(f"the {name} became {value} at step {step}; {kept}; {advice}")

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
        progress = {
            "step": self.step,
            "seconds": self.seconds,
            "losses": self.losses,
            "metrics": self.metrics,
            "plateau": vars(self.plateau),
        }
        checkpoints.save(
            self.path, tensors, self.description | {"settings": asdict(self.settings), "progress": progress}
        )
        self.saved_step = self.step

    def find(self):
        """What an earlier run left: tensors and description of its checkpoint, or None."""
        left = [
            path for path in (self.path, checkpoints.previous(self.path)) if path.exists()
        ]  # only the second, where a kill fell between two renames
        return checkpoints.load(left[0]) if left else None

    def restore(self, found, model, optimizer):
        """Go on from what `find` found."""
        if found is None:
            return
        tensors, description = found
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
                if (
                    tensor.dim()
                ):  # the fused optimiser walks through memory, so moments must lie as their parameter does
                    tensor = torch.empty_like(parameters[int(number)]).copy_(tensor)
                moments.setdefault(int(number), {})[moment] = tensor
        optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})

    def write_metrics(self):
        """The metrics as CSV, for people, spreadsheets, and notebooks that watch; a resumed run takes them
        from the checkpoint."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.metrics[-1]))
        writer.writeheader()
        writer.writerows(self.metrics)
        write_text(self.folder / "metrics.csv", text.getvalue())
