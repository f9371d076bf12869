"""A random search loses no trial and does none twice, whoever is killed, and tells its journals from other
files."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import optuna
import psutil
import pytest
from filelock import FileLock
from optuna.trial import TrialState
from scipy.stats import spearmanr

from nbutils.evidence import importance
from nbutils.training.job import usual
from nbutils.training.journal import Journal
from nbutils.training.search import Search, divided, next_trial

JOB = usual().vary(
    image_size=8, hole_size=4, num_train=12, num_valid=4, readout=0, reader_size=4, precision="32-true"
)
RANGES = {
    "width": (4, 8),
    "layers": (2, 4),
    "learning_rate": (1e-3, 1e-2),
    "batch_size": (2, 6),
    "kind": ("straight", "dilated"),
}
SEARCH = Search(job=JOB, ranges=RANGES, budget=24)
LONG = replace(SEARCH, budget=320)
LOSSES = ("cross_entropy", "emd1")
CODE = (
    f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_search; "
    "test_search.work(*sys.argv[1:])"
)


def work(name, journal, trials):
    """Do trials until none is left; what the processes of these tests run."""
    while next_trial(globals()[name], journal, int(trials), LOSSES):
        pass


def start(name, journal, trials):
    return subprocess.Popen(
        [sys.executable, "-c", CODE, name, str(journal), str(trials)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def ends(journal):
    """What has to be equal of two searches: numbers, hyper-parameters and losses."""
    return {
        loss: [(trial.number, trial.status, trial.hyperparameters, trial.value) for trial in trials]
        for loss, trials in Journal(journal).trials().items()
    }


def every(journal):
    return list(chain(*Journal(journal).trials().values()))


def starts(journal):
    """The steps at which each trial was begun and taken up."""
    return [
        trial.user_attrs["starts"]
        for loss in LOSSES
        for trial in optuna.load_study(study_name=loss, storage=Journal(journal).storage).trials
    ]


def wait_for(condition, *processes):
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A journal with two trials of each of two losses; tests leave it as it is."""
    journal = tmp_path_factory.mktemp("done") / "journal.log"
    work("SEARCH", journal, 2)
    return journal


def copied(journal, folder):
    target = folder / "journal.log"
    target.write_bytes(journal.read_bytes())
    return target


def test_the_trials_are_numbered_finished_and_their_best_kept(done):
    trials = Journal(done).trials()
    assert list(trials) == list(LOSSES)
    for loss, found in trials.items():
        assert [(trial.number, trial.status, trial.reason) for trial in found] == [
            (0, "finished", ""),
            (1, "finished", ""),
        ]
        best = min(found, key=lambda trial: trial.value)
        assert [trial.checkpoint is not None for trial in found] == [trial is best for trial in found]
        assert best.checkpoint.exists()
        assert [trial.metrics[-1]["examples"] for trial in found] == [
            24 // trial.hyperparameters["batch_size"] * trial.hyperparameters["batch_size"] for trial in found
        ]
        assert str(found[0]).startswith(f"{loss} 0: finished, loss {found[0].value:.4g} after")


def test_asking_for_the_same_number_does_nothing_and_for_more_goes_on(done, tmp_path):
    journal = copied(done, tmp_path)
    before = journal.read_bytes()
    assert next_trial(SEARCH, journal, 2, LOSSES) is None
    assert next_trial(SEARCH, journal, 1, LOSSES) is None
    assert journal.read_bytes() == before
    work("SEARCH", journal, 3)
    assert journal.read_bytes().startswith(before)
    assert {loss: found[:2] for loss, found in ends(journal).items()} == ends(done)
    assert [trial.number for trial in Journal(journal).trials()["emd1"]] == [0, 1, 2]


def test_another_loss_joins_a_journal(done, tmp_path):
    journal = copied(done, tmp_path)
    trial = next_trial(SEARCH, journal, 1, ("emd2",))
    assert (trial.loss, trial.number, trial.status) == ("emd2", 0, "finished")
    assert {loss: found for loss, found in ends(journal).items() if loss != "emd2"} == ends(done)


def test_hyperparameters_depend_on_the_number_of_the_trial_alone(done):
    other_order = replace(SEARCH, ranges=dict(reversed(RANGES.items())))
    for trials in Journal(done).trials().values():
        for trial in trials:
            assert (
                trial.hyperparameters
                == SEARCH.hyperparameters(trial.number)
                == other_order.hyperparameters(trial.number)
            )
    assert SEARCH.hyperparameters(0) != SEARCH.hyperparameters(1)
    assert SEARCH.hyperparameters(0) != replace(SEARCH, job=JOB.vary(seed=1)).hyperparameters(0)


def test_values_fill_their_ranges():
    drawn = [SEARCH.hyperparameters(number) for number in range(100)]
    assert {trial["batch_size"] for trial in drawn} == {2, 3, 4, 5, 6}
    assert {trial["kind"] for trial in drawn} == {"straight", "dilated"}
    rates = [trial["learning_rate"] for trial in drawn]
    assert all(1e-3 <= rate <= 1e-2 for rate in rates)
    assert np.mean(np.log10(rates)) == pytest.approx(
        -2.5, abs=0.1
    )  # even on a log scale; a flat one would have -2.3
    even = replace(SEARCH, ranges={"reader_size": (4, 10)})
    assert {even.hyperparameters(number)["reader_size"] for number in range(50)} == {4, 6, 8, 10}


@pytest.mark.parametrize(
    ("ranges", "changes", "reason"),
    [
        (
            {"learning_rate": (1e18, 1e19)},
            {},
            r"FloatingPointError: the (loss|gradient|validation loss) became .* at step ",
        ),
        ({"width": (4, 8)}, {"reader_size": 5}, r"ValueError: reader_size: 5; expected an even number"),
        ({"layers": (2, 3)}, {"width": 10**13}, r"RuntimeError: .*allocate"),
    ],
)
def test_a_trial_that_raises_is_kept_as_failed_with_its_reason(tmp_path, ranges, changes, reason):
    search = replace(SEARCH, job=JOB.vary(**changes), ranges=ranges)
    journal = tmp_path / "journal.log"
    trial = next_trial(search, journal, 1, ("emd1",))
    assert (trial.status, trial.value) == ("failed", None)
    (kept,) = Journal(journal).trials()["emd1"]
    assert kept == trial
    assert re.match(reason, kept.reason), kept.reason
    study = optuna.load_study(study_name="emd1", storage=Journal(journal).storage)
    assert study.trials[0].state == TrialState.FAIL
    assert study.trials[0].user_attrs["reason"] == kept.reason
    assert next_trial(search, journal, 1, ("emd1",)) is None
    assert not list(tmp_path.glob("journal.log.trials/emd1_0000"))


def test_a_trial_that_would_be_too_much_work_is_cut_off_and_kept_as_unfinished(tmp_path):
    limited = replace(SEARCH, ranges=RANGES | {"layers": (1, 12)}, max_work=2e6)
    journal = tmp_path / "journal.log"
    while next_trial(limited, journal, 6, ("emd1",)):
        pass
    trials = Journal(journal).trials()["emd1"]
    assert {trial.status for trial in trials} == {"finished", "unfinished"}
    for trial in trials:
        made = (
            trial.metrics[-1]["examples"]
            * (trial.hyperparameters["layers"] - 1)
            * (trial.hyperparameters["width"] * 3 * 8) ** 2
        )
        whole = trial.metrics[-1]["examples"] > 24 - trial.hyperparameters["batch_size"]
        assert (trial.status == "finished") == whole
        assert made <= 2e6 or trial.metrics[-1]["step"] == 1
        assert trial.reason == (
            ""
            if whole
            else f"cut off after {trial.metrics[-1]['examples']} of 24 examples, where max_work was reached"
        )
    assert next(trial for trial in trials if trial.checkpoint).status == "finished"


def test_a_line_that_was_cut_short_costs_nothing_else(done, tmp_path):
    for cut in (1, 30):
        journal = copied(done, tmp_path)
        whole = journal.read_bytes()
        journal.write_bytes(whole[:-cut])
        last = Journal(journal).trials()["emd1"][-1]  # its end is what was cut off
        assert (last.number, last.status, last.reason) == (
            1,
            "unfinished",
            "its process has ended; a search that goes on takes it up",
        )
        assert next_trial(SEARCH, journal, 2, LOSSES).number == 1
        assert ends(journal) == ends(done)
        assert all(json.loads(line) for line in journal.read_bytes().splitlines())


def test_a_lock_ends_with_its_holder(done, tmp_path):
    journal = copied(done, tmp_path)
    names = [f"{journal}.lock", f"{journal}.trials/emd1_0002.lock"]
    Path(names[1]).parent.mkdir()
    code = (
        f"import time; from filelock import FileLock; a, b = map(FileLock, {names!r}); a.acquire(); "
        "b.acquire(); print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(TimeoutError):
            FileLock(names[0]).acquire(timeout=0.1)
        holder.kill()
    began = time.monotonic()
    assert next_trial(SEARCH, journal, 3, LOSSES).number == 2
    assert time.monotonic() - began < 20  # Optuna's own locks wait for 30 s


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"ranges": {"width": (8, 4)}},
            r"ranges: width is \(8, 4\); expected two whole numbers of at least 1, the smaller first",
        ),
        (
            {"ranges": {"width": (0, 4)}},
            r"ranges: width is \(0, 4\); expected two whole numbers of at least 1",
        ),
        ({"ranges": {"width": (4.5, 8)}}, r"ranges: width is \(4.5, 8\); expected two whole numbers"),
        ({"ranges": {"width": (4, 5, 6)}}, "expected two whole numbers"),
        ({"ranges": {"width": (True, 5)}}, "expected two whole numbers"),
        ({"ranges": {"width": 4}}, "expected two whole numbers"),
        (
            {"ranges": {"learning_rate": ("1e-3", "1e-2")}},
            "expected two numbers of at least 1e-12, the smaller first",
        ),
        ({"ranges": {"learning_rate": (0.1, math.inf)}}, "learning_rate is"),
        ({"ranges": {"learning_rate": (math.nan, 0.1)}}, "learning_rate is"),
        ({"ranges": {"reader_size": (3, 8)}}, "expected two even whole numbers"),
        (
            {"ranges": {"kind": ("straight", "round")}},
            "ranges: kind is .* expected some of straight, residual",
        ),
        ({"ranges": {"kind": ()}}, "ranges: kind is .* expected some of straight"),
        (
            {"ranges": {"data": ("scenes", "photos")}},
            "ranges: data cannot be searched; expected some of width",
        ),
        ({"ranges": {}}, "ranges: nothing to search; expected some of width"),
        ({"budget": -1}, "budget: -1; expected a positive number"),
        ({"budget": 5}, "budget: 5 examples; expected at least a batch, 6"),
        ({"max_work": 0}, "max_work: 0; expected a positive number"),
    ],
)
def test_impossible_searches_are_refused(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        replace(SEARCH, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trials": 0}, "trials: 0; expected at least 1"),
        ({"losses": ("emd3",)}, "losses: emd3; expected some of cross_entropy, emd1, emd2"),
        ({"losses": ()}, "losses: none; expected some of"),
        ({"jobs": 0}, "jobs: 0; expected at least 1"),
    ],
)
def test_impossible_numbers_are_refused_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        SEARCH.run(tmp_path / "journal.log", **{"trials": 1} | arguments)
    assert list(tmp_path.iterdir()) == []


def other_program(path):
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    optuna.create_study(storage=storage, study_name="emd1").optimize(
        lambda trial: trial.suggest_float("x", 0, 1), n_trials=1
    )


FOREIGN = {
    "text": (
        lambda path: path.write_text("dear diary\nyesterday\n"),
        "not a journal of a search .line 1 is 'dear diary'",
    ),
    "one line": (lambda path: path.write_text("hello\n"), "not a journal of a search"),
    "other JSON": (lambda path: path.write_text('{"a": 1}\n'), "not a journal of a search"),
    "a list": (lambda path: path.write_text("[1]\n"), "not a journal of a search"),
    "binary": (lambda path: path.write_bytes(bytes(range(256)) * 9), "not a journal of a search"),
    "unknown operation": (
        lambda path: path.write_text('{"op_code": 99, "worker_id": "a"}\n'),
        "not a journal of a search",
    ),
    "operation without fields": (
        lambda path: path.write_text('{"op_code": 0, "worker_id": "a"}\n'),
        "not a journal of a search",
    ),
    "another program's": (other_program, "its study 'emd1' was made by another program"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_other_files_are_refused_and_left_alone(tmp_path, kind):
    make, message = FOREIGN[kind]
    path = tmp_path / "journal.log"
    make(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"{path}: .*{message}") as caught:
        SEARCH.run(path, 1, ("emd1",))
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_damage_in_the_middle_is_told_by_its_line(done, tmp_path):
    journal = copied(done, tmp_path)
    lines = journal.read_bytes().split(b"\n")
    lines[4] = lines[4][:20]
    journal.write_bytes(b"\n".join(lines))
    with pytest.raises(ValueError, match=r"journal.log: not a journal of a search .line 5 is"):
        Journal(journal)


def test_a_newer_journal_and_one_of_another_search_are_refused(done, tmp_path):
    journal = copied(done, tmp_path)
    with pytest.raises(
        ValueError,
        match=(
            r"journal.log: its cross_entropy trials were made with budget 24, not 320; go on as it began, "
            r"or name another journal"
        ),
    ):
        LONG.run(journal, 3)
    with pytest.raises(ValueError, match=r"made with data.image_size 8, not 16"):
        replace(SEARCH, job=JOB.vary(image_size=16)).run(journal, 3)
    with pytest.raises(ValueError, match=r"made with range of width \[4, 8\], not \[4, 9\]"):
        replace(SEARCH, ranges=RANGES | {"width": (4, 9)}).run(journal, 3)
    with pytest.raises(ValueError, match=r"made with model.readout 0, not None"):
        replace(SEARCH, ranges=RANGES | {"readout": (0, 4)}).run(journal, 3)
    journal.write_text(journal.read_text().replace('"format":1', '"format":2'))
    for read in (lambda: SEARCH.run(journal, 3), lambda: Journal(journal).trials()):
        with pytest.raises(
            ValueError, match=r"journal.log: written in format 2, this version reads up to 1; update nbutils"
        ):
            read()


def test_settings_are_ranges_or_fixed():
    ranges, fixed = divided({"width": [8, 16], "merger": "concat", "image_size": 16})
    assert ranges["width"] == [8, 16]
    assert ranges["layers"] == (4, 48)
    assert "merger" not in ranges
    assert fixed == {"merger": "concat", "image_size": 16}
    for name in ("loss", "steps"):
        with pytest.raises(ValueError, match=f"{name}: cannot be set"):
            divided({name: 1})


def command(journal, *arguments):
    return [sys.executable, "-m", "nbutils", "search", str(journal), *arguments]


SET = "image_size=8 hole_size=4 num_train=12 num_valid=4 readout=0 reader_size=4 precision=32-true"
SMALL = [part for setting in SET.split() for part in ("--set", setting)]
SMALL += [
    "--set",
    "width=[4, 8]",
    "--set",
    "layers=[2, 4]",
    "--set",
    "batch_size=[2, 6]",
    "--set",
    "reader_kernel=[2, 3]",
    "--set",
    "merger_planes=[2, 3]",
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--losses", "emd1,emd3"], "error: losses: emd1, emd3; expected some of cross_entropy, emd1, emd2"),
        (["--set", "widht=[3, 9]"], "error: job has no parameter 'widht'; did you mean 'width'?"),
        (["--set", "steps=9"], "error: steps: cannot be set"),
    ],
)
def test_the_command_refuses_in_one_line(tmp_path, arguments, message):
    process = subprocess.run(
        [*command(tmp_path / "journal.log", "--trials", "1", "--budget", "24", *SMALL), *arguments],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 2
    assert process.stderr.startswith(message)
    assert process.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_command_tells_every_trial_in_a_line_and_goes_on(tmp_path):
    def run(trials):
        process = subprocess.run(
            command(
                tmp_path / "journal.log", "--trials", trials, "--budget", "24", "--losses", "emd1", *SMALL
            ),
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr
        assert process.stderr == ""
        return process.stdout.splitlines()

    assert sorted(line.split(",")[0] for line in run("3")) == [
        "emd1 0: finished",
        "emd1 1: finished",
        "emd1 2: finished",
    ]
    assert run("3") == []
    assert [line.split(",")[0] for line in run("4")] == ["emd1 3: finished"]


@pytest.mark.slow
def test_four_processes_that_are_all_killed_lose_nothing(tmp_path):
    """Killed with -9 in the middle of their trials, gone on with by two workers: the search that nobody
    interrupted, done in one process."""
    journal, trials = tmp_path / "cut" / "journal.log", 4
    processes = [start("LONG", journal, trials) for _ in range(4)]

    def in_the_middle():
        return (
            journal.exists()
            and any(found.value is not None for found in every(journal))
            and list(journal.parent.rglob("checkpoint.safetensors"))
        )

    wait_for(in_the_middle, *processes)
    for (
        process
    ) in processes:  # all at once: one that lives a little longer takes up the trial of one that is gone
        os.killpg(process.pid, signal.SIGKILL)
    for process in processes:
        process.wait()
    cut = every(journal)
    under_way = [trial for trial in cut if trial.status == "unfinished"]
    assert len(under_way) >= 2
    assert {trial.reason for trial in under_way} == {
        "its process has ended; a search that goes on takes it up"
    }
    told = list(LONG.run(journal, trials, LOSSES, jobs=2))
    assert sorted((trial.loss, trial.number) for trial in told) == sorted(
        {(loss, number) for loss in LOSSES for number in range(trials)}
        - {(t.loss, t.number) for t in cut if t not in under_way}
    )
    work("LONG", tmp_path / "whole" / "journal.log", trials)
    assert ends(journal) == ends(tmp_path / "whole" / "journal.log")
    assert all(trial.status == "finished" for trial in every(journal))
    begun = [
        json.loads(line)["study_id"]
        for line in journal.read_text().splitlines()
        if json.loads(line)["op_code"] == 4
    ]
    assert len(begun) == trials * len(LOSSES)  # none was begun twice
    assert any(
        len(found) == 2 and found[1] > 0 for found in starts(journal)
    )  # gone on with from a checkpoint
    assert not any(len(found) > 2 for found in starts(journal))


@pytest.mark.slow
def test_a_trial_whose_process_dies_again_and_again_is_given_up(tmp_path):
    """As where memory is too small; the others are done."""
    journal = tmp_path / "journal.log"
    for attempt in range(1, 4):
        process = start("LONG", journal, 1)
        wait_for(
            lambda attempt=attempt: journal.exists() and journal.read_text().count('"starts"') == attempt + 1,
            process,
        )
        kill(process)
    trial = next_trial(LONG, journal, 1, LOSSES)
    assert (trial.number, trial.status) == (0, "unfinished")
    assert (
        trial.reason == "its process ended 3 times at step 0 without getting further, as for want of memory"
    )
    assert next_trial(LONG, journal, 1, LOSSES).loss == "emd1"


@pytest.mark.slow
def test_workers_that_are_killed_cost_the_search_nothing(tmp_path):
    journal = tmp_path / "journal.log"
    told = LONG.run(journal, 3, LOSSES, jobs=2)
    next(told)
    workers = [
        child
        for child in psutil.Process().children(recursive=True)
        if "loky" in " ".join(child.cmdline()) and "resource_tracker" not in " ".join(child.cmdline())
    ]
    wait_for(
        lambda: any(
            not trial.ended
            and any(Journal(journal).place(trial.loss, trial.number).glob("*/checkpoint.safetensors"))
            for trial in every(journal)
        )
    )
    for worker in (
        workers
    ):  # all of them at once: the other one's trial might be over before its pool hears of the first
        worker.kill()
    assert len(list(told)) == 5
    assert any(
        len(found) > 1 and found[-1] > 0 for found in starts(journal)
    )  # gone on with from a checkpoint
    work("LONG", tmp_path / "whole" / "journal.log", 3)
    assert ends(journal) == ends(tmp_path / "whole" / "journal.log")


def test_rank_correlations_are_those_of_scipy():
    rng = np.random.default_rng(0)
    trials = [
        {
            "width": int(rng.integers(4, 9)),
            "kind": str(rng.choice(["a", "b", "c"])),
            "merger": str(rng.choice(["x", "y"])),
            "fixed": 3,
        }
        for _ in range(30)
    ]
    columns = importance.columns(trials)
    assert list(columns) == ["width", "kind: a", "kind: b", "kind: c", "merger: y"]
    losses = [trial["width"] + 3 * (trial["kind"] == "b") + rng.normal() for trial in trials]
    found = importance.rank_correlations(columns, losses, rng)
    for name, column in columns.items():
        reference = spearmanr(column, losses)
        assert found[name]["correlation"] == pytest.approx(reference.statistic)
        assert found[name]["p"] == pytest.approx(reference.pvalue, abs=0.03)
        assert found[name]["low"] < found[name]["correlation"] < found[name]["high"]
    assert found["width"]["p"] < 1e-3
    assert found["width"]["low"] > 0


def test_chance_is_called_chance():
    """Hyper-parameters without influence fall below p = 0.05 in about a twentieth of all searches, also of
    small ones."""
    rng = np.random.default_rng(1)
    p = [
        importance.rank_correlations(
            {"a": rng.normal(size=8)}, rng.normal(size=8), rng, resamples=20, shuffles=199
        )["a"]["p"]
        for _ in range(400)
    ]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.035)


@pytest.mark.parametrize("losses", [[1.0, 2.0], [1.0, 2.0, math.nan], [1.0, 2.0, math.inf]])
def test_correlations_of_nothing_are_refused(losses):
    with pytest.raises(ValueError, match="expected at least three finite numbers"):
        importance.rank_correlations({"a": np.arange(len(losses))}, losses, np.random.default_rng(0))
    assert importance.columns([]) == {}


def test_few_trials_see_only_large_correlations():
    assert importance.least_seen(5, 0.05) == pytest.approx(0.878, abs=1e-3)  # the tables of Pearson's r
    assert importance.least_seen(30, 0.05) == pytest.approx(0.361, abs=1e-3)
    assert importance.least_seen(30, 0.05 / 14) > importance.least_seen(30, 0.05)
