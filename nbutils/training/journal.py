"""The journal of a search: one Optuna study for each loss in one file, to which several processes append, and
the locks that tell who does what.

Optuna tells the dead from the living by heartbeats, which only its databases have, and a database for several
machines is a server. So the locks are the kernel's, which lets go of them when their holder is killed: one of
the file, taken to look and to write, and one of each trial, held while it is trained. Optuna's own lock of a
journal would stay for half a minute, and a line that a kill or a full disk cut short would spoil the next.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.trial import TrialState

FORMAT = 1
STATUSES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "unfinished",
    TrialState.RUNNING: "unfinished",
    TrialState.FAIL: "failed",
}
optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study that it opens


@dataclass(frozen=True)
class Trial:
    """A trial as its journal has it.

    Args:
        loss: of `losses.LOSSES`; a loss's trials are numbered from 0.
        status: "finished"; "unfinished", cut off by the search's limit or by the end of its process;
            "failed", it raised.
        ended: whether it has come to its end, however; otherwise it is under way, or is taken up again.
        hyperparameters: dict from name to value.
        value: the held-out loss at its end; None where it had no end.
        reason: why it did not finish, one line.
        metrics: rows of the training's metrics.
        checkpoint: where the model is; None unless it is the best finished one of its loss, whose checkpoint
            alone is kept.
    """

    loss: str
    number: int
    status: str
    ended: bool
    hyperparameters: dict
    value: float | None
    reason: str
    metrics: list[dict]
    checkpoint: Path | None

    def __str__(self):
        parts = [f"{self.loss} {self.number}: {self.status}"]
        if self.value is not None:
            parts.append(
                f"loss {self.value:.4g} after {self.metrics[-1]['examples']:,} examples in "
                f"{self.metrics[-1]['seconds']:.0f} s"
            )
        parts += [self.reason] if self.reason else []
        chosen = (
            f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in self.hyperparameters.items()
        )
        return f"{', '.join(parts)}; {', '.join(chosen)}"


class _AppendLock:
    """What Optuna holds while it appends: the lock of a journal, over whole lines; a cut one is removed."""

    def __init__(self, path, lock):
        self.path, self.lock = path, lock
        self.release = lock.release

    def acquire(self):
        self.lock.acquire()
        content = self.path.read_bytes()
        if not content.endswith(b"\n"):
            os.truncate(self.path, content.rfind(b"\n") + 1)
        return True


class Journal:
    """A file of studies. Beside it lie `<name>.trials`, a folder for each trial that is under way or the
    best, and the locks.

    Raises:
        ValueError: the file is no journal of a search, or a newer one.
        OSError: it cannot be read or written.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.folder = self.path.with_name(f"{self.path.name}.trials")
        if self.path.exists():
            _refuse_other_files(self.path)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(
            f"{self.path}.lock"
        )  # held, briefly, by who looks what there is to do, or writes
        appending = _AppendLock(self.path, self.lock)
        backend = optuna.storages.journal.JournalFileBackend(str(self.path), lock_obj=appending)
        try:
            self.storage = optuna.storages.JournalStorage(backend)
        except (ValueError, LookupError, TypeError, AssertionError) as error:  # from lines of other programs
            raise ValueError(
                f"{self.path}: not a journal of a search ({error!r}); name another file"
            ) from None

    def study(self, loss, description):
        """The Optuna study of a loss, made where it is missing; call it with `lock` held.

        Args:
            description: dict that JSON can hold: what its trials depend on.
        Raises:
            ValueError: the study there is of another search; the message names what differs.
        """
        known = loss in optuna.get_all_study_names(self.storage)  # where it is, `create_study` would write
        opens = optuna.load_study if known else optuna.create_study
        study = opens(study_name=loss, storage=self.storage)
        if "search" not in study.user_attrs and not study.get_trials(deepcopy=False):
            study.set_user_attr("format", FORMAT)
            study.set_user_attr("search", description)
        self._check(study)
        held, wanted = study.user_attrs["search"], json.loads(json.dumps(description))
        for name in held | wanted:
            if held.get(name) != wanted.get(name):
                differs = f"{name} {_short(held.get(name))}, not {_short(wanted.get(name))}"
                raise ValueError(
                    f"{self.path}: its {loss} trials were made with {differs}; go on as it began, or "
                    "name another journal"
                )
        return study

    def _check(self, study):
        written = study.user_attrs.get("format")
        if isinstance(written, int) and written > FORMAT:
            raise ValueError(
                f"{self.path}: written in format {written}, this version reads up to {FORMAT}; update "
                "nbutils to read it"
            )
        if written is None or "search" not in study.user_attrs:
            raise ValueError(
                f"{self.path}: not a journal of a search (its study {study.study_name!r} was made by "
                "another program); name another file"
            )

    def place(self, loss, number):
        """The folder of a trial."""
        return self.folder / f"{loss}_{number:04d}"

    def hold(self, loss, number):
        """The lock of a trial, held; None where a living process holds it. Call it with `lock` held."""
        lock = FileLock(self.folder / f"{loss}_{number:04d}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock

    def trials(self):
        """All trials so far, dict from loss to list of Trial in order of their numbers.

        Raises:
            ValueError: see the class.
        """
        with self.lock:
            studies = [
                optuna.load_study(study_name=name, storage=self.storage)
                for name in optuna.get_all_study_names(self.storage)
            ]
            for study in studies:
                self._check(study)
            return {
                study.study_name: [
                    self.told(study.study_name, trial) for trial in study.get_trials(deepcopy=False)
                ]
                for study in studies
            }

    def told(self, loss, trial):
        """A trial of Optuna's as a `Trial`; call it with `lock` held."""
        reason, checkpoint, metrics = (
            trial.user_attrs.get(name) for name in ("reason", "checkpoint", "metrics")
        )
        if trial.state == TrialState.RUNNING:
            lock = self.hold(loss, trial.number)
            reason = (
                "its process has ended; a search that goes on takes it up"
                if lock
                else "under way in another process"
            )
            if lock:
                lock.release()
        kept = self.folder / checkpoint if checkpoint and (self.folder / checkpoint).exists() else None
        value = metrics[-1]["valid_loss"] if metrics else None
        return Trial(
            loss,
            trial.number,
            STATUSES[trial.state],
            trial.state.is_finished(),
            dict(trial.params),
            value,
            reason or "",
            metrics or [],
            kept,
        )


def _refuse_other_files(path):
    """Optuna passes over a last line that it cannot read, and would take a small file of anything for an
    empty journal."""
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            operation = json.loads(line)["op_code"]
        except (ValueError, LookupError, TypeError):
            raise ValueError(
                f"{path}: not a journal of a search (line {number} is "
                f"{_short(line.decode(errors='replace'))}); name another file"
            ) from None
        if not isinstance(operation, int):
            raise ValueError(
                f"{path}: not a journal of a search (line {number} has op_code {_short(operation)}); "
                "name another file"
            )


def _short(value):
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
