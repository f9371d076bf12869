"""Random search over the hyper-parameters of inpainters, as in the post of 2017-04-09: one study for each
loss, all in one journal.

Any number of processes, on one machine or on several with a common disk, do the trials of a journal together.
Trial n of every loss has the same hyper-parameters, whoever does it, so that losses can be compared trial by
trial. A trial whose process was killed goes on from its checkpoint.
"""

import contextlib
import hashlib
import io
import math
import shutil
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache

import joblib
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from .. import devices, identity
from ..nade.inpainter import KINDS, MERGERS
from ..nade.losses import LOSSES, WEIGHTINGS
from ..processes import side_by_side, single_threaded
from . import checkpoints
from .job import Job
from .journal import Journal

# What can be searched: by choice, or between two ends, of which the least is given and how what lies between
# them is drawn.
CHOICES = {
    "kind": KINDS,
    "merger": MERGERS,
    "weighting": WEIGHTINGS,
    "bidirectional": (False, True),
    "reader_normalize": (False, True),
    "optimize_given": (False, True),
}
NUMBERS = {
    "width": (1, "log"),
    "layers": (1, "log"),
    "kernel_size": (1, "evenly"),
    "reader_kernel": (1, "log"),
    "reader_size": (2, "by two"),
    "num_merges": (0, "evenly"),
    "merger_planes": (1, "log"),
    "batch_size": (2, "evenly"),
    "learning_rate": (1e-12, "log"),
    "readout": (0, "evenly"),
}
# Those of the post of 2017-04-09; of the learning rate and the weighting it says nothing.
RANGES = {
    "width": (64, 512),
    "layers": (4, 48),
    "kernel_size": (2, 7),
    "kind": ("straight", "residual", "dilated"),
    "reader_kernel": (4, 32),
    "reader_size": (32, 256),
    "merger": MERGERS,
    "num_merges": (1, 5),
    "merger_planes": (4, 64),
    "batch_size": (5, 30),
    "learning_rate": (1e-4, 1e-2),
    "weighting": WEIGHTINGS,
}
SEARCHED = (*CHOICES, *NUMBERS)
SET_BY_SEARCH = ("loss", "steps", "validate_every", "checkpoint_every")
_VALIDATIONS = 10  # in a trial, and as many checkpoints
_MOST_STARTS = 3  # of a trial that gets no further


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is searched.

    Args:
        job: Job of an inpainter, for what is not searched. Its loss and its numbers of steps give way to
            those of the search.
        ranges: dict from names of `NUMBERS` to both ends, of `CHOICES` to some of them.
        budget: training examples of a trial.
        max_work: most multiplications that a trial's convolutions may make in forward passes, see `work`. A
            trial that would make more is trained on fewer examples and counts as unfinished. Unlike a limit
            in seconds it cuts off the same trials on every machine.
    Raises:
        ValueError: an impossible value, named.
    """

    job: Job
    ranges: dict
    budget: int
    max_work: float = math.inf

    def __post_init__(self):
        for name in ("budget", "max_work"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: {getattr(self, name)}; expected a positive number")
        if not self.distributions:
            raise ValueError(f"ranges: nothing to search; expected some of {', '.join(NUMBERS | CHOICES)}")
        largest = max(self.ranges.get("batch_size", [self.job.settings.batch_size]))
        if self.budget < largest:
            raise ValueError(f"budget: {self.budget} examples; expected at least a batch, {largest}")

    @property
    def distributions(self):
        """The ranges as Optuna's distributions, dict by name."""
        return {name: _distribution(name, self.ranges[name]) for name in sorted(self.ranges)}

    @property
    def description(self):
        """What the trials of a loss depend on, as a dict that JSON can hold, with a hash of the code they
        run."""
        given = (*self.ranges, *SET_BY_SEARCH)
        fixed = {name: value for name, value in self.job.values().items() if name.split(".")[-1] not in given}
        ranges = {f"range of {name}": list(self.ranges[name]) for name in sorted(self.ranges)}
        limit = None if math.isinf(self.max_work) else self.max_work
        code = identity.of_modules("nbutils.training.inpainting", "nbutils.training.loop")
        return fixed | ranges | {"budget": self.budget, "max_work": limit, "code": code}

    @property
    def name(self):
        """A short name that no other search has."""
        return hashlib.blake2b(repr(sorted(self.description.items())).encode(), digest_size=6).hexdigest()

    def hyperparameters(self, number):
        """The values that trial `number` has, of every loss: a dict by name, drawn by Optuna's random
        sampler."""
        digest = hashlib.blake2b(f"{self.job.settings.seed} {number}".encode(), digest_size=4).digest()
        seed = int.from_bytes(digest)
        return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed)).ask(self.distributions).params

    def job_of(self, loss, hyperparameters):
        """The Job of a trial, with as many steps as its budget and `max_work` allow, one at least."""
        job = self.job.vary(loss=loss, **hyperparameters)
        examples = min(self.budget, self.max_work / max(1, work(job.model)))
        steps = max(1, int(examples // job.settings.batch_size))
        every = math.ceil(steps / _VALIDATIONS)
        return job.vary(steps=steps, validate_every=every, checkpoint_every=every)

    def run(self, journal, trials, losses=tuple(LOSSES), jobs=None):
        """Do the trials that are missing, and take up those whose process was killed.

        Other processes that search in the same journal are doing their share meanwhile; trials that they hold
        are left to them.

        Args:
            journal: path of the file; it and the folder beside it are made where they are missing.
            trials: how many of each loss there shall be in all.
            losses: of `losses.LOSSES`.
            jobs: how many trials at a time, each on one processor core; None for as many as there are cores,
                one where there is an accelerator.
        Yields:
            Trial: those that have ended, as they end; where a worker was killed, in the end those too that
                other processes have ended meanwhile.
        Raises:
            ValueError: an impossible value; a journal of something else; as `checkpoints.load`, a damaged
                checkpoint of a trial.
            OSError: the journal or a checkpoint cannot be written.
            RuntimeError: workers are killed before they get anywhere.
        """
        if not trials >= 1:
            raise ValueError(f"trials: {trials}; expected at least 1")
        if not losses or not set(losses) <= set(LOSSES):
            raise ValueError(f"losses: {', '.join(losses) or 'none'}; expected some of {', '.join(LOSSES)}")
        if jobs is not None and not jobs >= 1:
            raise ValueError(f"jobs: {jobs}; expected at least 1")
        opened = Journal(journal)
        with opened.lock:
            for loss in losses:
                opened.study(loss, self.description)
        return self._run(
            opened,
            trials,
            tuple(losses),
            jobs or (1 if devices.default().type != "cpu" else joblib.cpu_count()),
        )

    def _run(self, journal, trials, losses, jobs):
        calls = [(self, journal.path, trials, losses)] * (trials * len(losses))
        at_a_time, broken_at, told = jobs, None, set(_ended(journal))
        while True:
            # After a break the trials that it cut off are tried again one at a time, with all the memory
            # there is, then the rest as before.
            now = calls if at_a_time == jobs else calls[:jobs]
            try:
                for trial in filter(None, side_by_side(next_trial, now, at_a_time)):
                    told.add((trial.loss, trial.number))
                    yield trial
                if now is calls:
                    if (
                        broken_at is not None
                    ):  # a worker may have entered the end of a trial and have been gone before it said so
                        yield from (trial for place, trial in _ended(journal).items() if place not in told)
                    return
                at_a_time = jobs
            except BrokenProcessPool as error:  # a worker was killed, as happens for want of memory
                size = journal.path.stat().st_size
                if size == broken_at:
                    raise RuntimeError(
                        f"{journal.path}: its workers are killed before they get anywhere; see that "
                        "there is memory for them"
                    ) from error
                at_a_time, broken_at = 1, size


def work(config):
    """Multiplications that an inpainter's convolutions after the first, which looks rows up, make for one
    example in a forward pass."""
    return (config.layers - 1) * (config.width * config.kernel_size * config.image_size) ** 2


def divided(settings):
    """What a user sets, a dict by name, as ranges and what is fixed: lists are ranges and take the place of
    those in `RANGES`, other values are fixed.

    Raises:
        ValueError: the name of something that the search sets itself.
    """
    for name in SET_BY_SEARCH:
        if name in settings:
            raise ValueError(
                f"{name}: cannot be set; a search tries the losses it is given, with steps that follow "
                "from budget and batch size"
            )
    ranges = {name: value for name, value in (RANGES | settings).items() if isinstance(value, list | tuple)}
    return ranges, {name: value for name, value in settings.items() if name not in ranges}


def next_trial(search, path, trials, losses):
    """Do one trial, the next that nobody else does, of at most `trials` of each loss.

    Returns:
        Trial, or None where nothing is left to do.
    Raises:
        ValueError, OSError: as `Search.run`.
    """
    journal = Journal(path)
    with journal.lock:
        taken = _take(search, journal, trials, losses)
    if taken is None:
        return None
    study, trial, lock = taken
    try:
        state, facts = _perform(search, journal, study, trial)
        with journal.lock:
            return _end(journal, study, trial, state, facts)
    finally:
        lock.release()


def _take(search, journal, trials, losses):
    """A trial that is nobody's: the study, the trial and its lock; in order of numbers, so that all losses
    get on evenly."""
    studies = {loss: journal.study(loss, search.description) for loss in losses}
    for number in range(trials):
        for loss, study in studies.items():
            known = study.get_trials(deepcopy=False)
            if number < len(known) and known[number].state != TrialState.RUNNING:
                continue
            lock = journal.hold(loss, number)
            if lock is None:
                continue
            if number == len(known):
                begun = optuna.trial.create_trial(
                    state=TrialState.RUNNING,
                    params=search.hyperparameters(number),
                    distributions=search.distributions,
                    user_attrs={"starts": []},
                )
                study.add_trial(begun)
            trial = study.get_trials(deepcopy=False)[number]
            return study, optuna.trial.Trial(study, trial._trial_id), lock
    return None


def _perform(search, journal, study, trial):
    """Train a trial: how it ended, and what there is to tell of it."""
    folder = journal.place(study.study_name, trial.number)
    reached = max(
        (checkpoints.load(path)[1]["progress"]["step"] for path in folder.glob("*/checkpoint.safetensors")),
        default=0,
    )
    starts = trial.user_attrs["starts"]
    if starts.count(reached) >= _MOST_STARTS:
        return TrialState.PRUNED, {
            "reason": (
                f"its process ended {_MOST_STARTS} times at step {reached} without getting further, as for "
                "want of memory"
            )
        }
    trial.set_user_attr("starts", [*starts, reached])
    job = search.job_of(study.study_name, trial.params)
    try:
        with single_threaded(), contextlib.redirect_stdout(io.StringIO()):  # of the progress bar
            run = job.fit(folder, splits=_pictures(search.job.data))
    except checkpoints.CheckpointError:
        raise  # somebody else's damage, to be repaired, and no fault of the hyper-parameters
    except (ArithmeticError, ValueError, RuntimeError, MemoryError) as error:
        return TrialState.FAIL, {"reason": f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]}
    facts = {"metrics": run.metrics, "checkpoint": str(run.checkpoint.relative_to(journal.folder))}
    steps, batch_size = job.settings.steps, job.settings.batch_size
    if steps < search.budget // batch_size:
        examples = f"{steps * batch_size} of {search.budget} examples"
        return TrialState.PRUNED, facts | {"reason": f"cut off after {examples}, where max_work was reached"}
    return TrialState.COMPLETE, facts


def _ended(journal):
    """The trials that have come to an end, dict from (loss, number) to Trial."""
    return {
        (trial.loss, trial.number): trial
        for trials in journal.trials().values()
        for trial in trials
        if trial.ended
    }


@lru_cache(maxsize=1)
def _pictures(data):
    return data.load()


def _end(journal, study, trial, state, facts):
    """Enter the end of a trial, and clear away checkpoints: all but the best of the loss can be had again by
    training."""
    for name, fact in facts.items():
        trial.set_user_attr(name, fact)
    study.tell(trial, facts["metrics"][-1]["valid_loss"] if state == TrialState.COMPLETE else None, state)
    told = study.get_trials(deepcopy=False)
    finished = [other for other in told if other.state == TrialState.COMPLETE]
    best = min(finished, key=lambda other: (other.value, other.number)).number if finished else None
    for other in told:
        place = journal.place(study.study_name, other.number)
        if other.state != TrialState.RUNNING and other.number != best and place.exists():
            shutil.rmtree(place)
    return journal.told(study.study_name, told[trial.number])


def _distribution(name, given):
    """The Optuna distribution of a range."""
    if name not in NUMBERS | CHOICES:
        raise ValueError(
            f"ranges: {name} cannot be searched; expected some of {', '.join(NUMBERS | CHOICES)}"
        )
    given = tuple(given) if isinstance(given, list | tuple) else ()
    if name in CHOICES:
        if not given or not set(given) <= set(CHOICES[name]):
            allowed = ", ".join(map(str, CHOICES[name]))
            raise ValueError(f"ranges: {name} is {given}; expected some of {allowed}")
        return CategoricalDistribution(given)
    (least, drawn), whole = NUMBERS[name], name != "learning_rate"
    step = 2 if drawn == "by two" else 1
    numbers = len(given) == 2 and all(type(end) is int or (type(end) is float and not whole) for end in given)
    if (
        not numbers
        or not least <= given[0] <= given[1] < math.inf
        or any(end % step for end in given if whole)
    ):
        kind = "even whole numbers" if step == 2 else "whole numbers" if whole else "numbers"
        raise ValueError(
            f"ranges: {name} is {given}; expected two {kind} of at least {least}, the smaller first"
        )
    if not whole:
        return FloatDistribution(*map(float, given), log=True)
    return IntDistribution(*given, log=drawn == "log", step=step)
