"""How far a run has come and how long it will still take; in a terminal, a line for each notebook that
runs."""

import json
import time
from dataclasses import dataclass

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .. import parameters, publications, series
from ..render.index_page import spelled
from .execution import Outcome


@dataclass
class Stage:
    """Where a notebook of a run stands.

    `expected`: seconds, None where nothing is known. `began`: seconds since the epoch, None before.
    `cells`: how many are executed and of how many, 0 where that is not known. `outcome`: None until it has
    ended.
    """

    expected: float | None
    began: float | None = None
    cells: tuple = (0, 0)
    outcome: Outcome | None = None

    @property
    def running(self):
        return self.began is not None and self.outcome is None


def usual_seconds(profile):
    """Seconds that notebooks take at a profile, by name: in the published run, if it had that, else as they
    say themselves."""
    published = series.NOTEBOOKS.parent / "docs" / publications.MANIFEST
    manifest = json.loads(published.read_text(encoding="utf-8")) if published.is_file() else {}
    if manifest and manifest["profile"] == profile:
        return {name: made["seconds"] for name, made in manifest["notebooks"].items()}
    said = {name: series.said(path, "usual_seconds", {}) for name, path in series.in_series().items()}
    return {name: seconds[profile] for name, seconds in said.items() if profile in seconds}


def expected_seconds(out, name, values, usual=None):
    """Seconds of a notebook when it was last run into `out` with the parameters `values`; else `usual`."""
    path = out / f"{name}.ipynb"
    if not path.is_file():
        return usual
    try:
        facts = json.loads(path.read_bytes())["metadata"]["nbutils"]
        alike = not facts["error"] and _comparable(facts["parameters"]) == _comparable(values)
        return float(facts["seconds"]) if alike else usual
    except (ValueError, KeyError, TypeError, AttributeError):  # damaged, which the run says
        return usual


def _comparable(values):
    return json.loads(
        json.dumps({name: value for name, value in values.items() if not _is_place(name, value)})
    )


def _is_place(name, value):
    """Whether the value of a parameter is where something lies on one machine."""
    return name == "reports" or value not in parameters.PATHS.get(name, (value,))


class Progress:
    """Follows a run and tells of every event; while entered and `live`, its lines stand in the terminal.

    Args:
        needs: dict from notebook to those it needs, which stand before it.
        expected: dict from notebook to seconds, for those of which something is known.
        capacity: how many run at a time, None where nobody knows.
        report: called with a line of text for every event.
        index: run_index.RunIndex to keep up to date too; None for none.
        live: the output is a terminal.
    """

    def __init__(self, needs, expected, capacity, *, report, index=None, live=False):
        self.stages = {name: Stage(expected.get(name)) for name in needs}
        self.capacity, self.report, self.index, self.live = capacity or len(needs), report, index, live
        self.needed_by = {name: [] for name in needs}
        for name, needed in needs.items():
            for need in needed:
                self.needed_by[need].append(name)
        self.display = Live(get_renderable=self.lines, refresh_per_second=2, transient=True) if live else None

    def __enter__(self):
        if self.display:
            self.display.start()
        return self

    def __exit__(self, kind, error, trace):
        if self.display:
            self.display.stop()
        if error and self.index:
            self.index.broken_off(self, error)

    def began(self, name):
        self.stages[name].began = time.time()
        if not self.live:
            self.report(f"{name}: running")

    def cells(self, name, done, total):
        self.stages[name].cells = (done, total)

    def ended(self, name, outcome):
        self.stages[name].outcome = outcome
        how = ", nothing changed" if outcome.cached else f" in {outcome.seconds:.0f} s"
        self.report(f"{name}: {outcome.status}{how}" + (f", {outcome.error}" if outcome.error else ""))

    def beat(self):
        """What there is to do every few seconds."""
        if self.index:
            self.index.follow(self)

    def pace(self):
        """How many times as long as expected notebooks have taken in this run."""
        ended = [stage for stage in self.stages.values() if stage.outcome and stage.expected]
        run = [stage for stage in ended if stage.outcome.status == "done" and not stage.outcome.cached]
        took, expected = sum(stage.outcome.seconds for stage in run), sum(stage.expected for stage in run)
        return took / expected if run else 1.0

    def remaining(self):
        """Seconds that every notebook will still take, by name; None where nothing is known."""
        pace, now, found = self.pace(), time.time(), {}
        for name, stage in self.stages.items():
            gone = now - stage.began if stage.began else 0
            known = stage.expected is not None
            found[name] = 0 if stage.outcome else max(0, stage.expected * pace - gone) if known else None
        return found

    def chains(self):
        """Seconds of every notebook and the longest chain that waits for it, by name, as far as known."""
        remaining, longest = self.remaining(), {}
        for name in reversed(self.stages):
            after = max((longest[other] for other in self.needed_by[name]), default=0)
            longest[name] = (remaining[name] or 0) + after
        return longest

    def left(self):
        """About how many seconds are left: of the longest chain, or the work shared out; None if unknown."""
        remaining = self.remaining().values()
        return None if None in remaining else max(*self.chains().values(), sum(remaining) / self.capacity)

    def counted(self):
        """How many notebooks have ended and of how many, and about how long the others will take."""
        ended, left = sum(stage.outcome is not None for stage in self.stages.values()), self.left()
        about = f", about {spelled(left)} left" if left else ""
        return f"{ended} of {len(self.stages)} notebooks have ended{about}"

    def lines(self):
        """The lines of a terminal: what runs, and how far the run has come."""
        table, now, remaining = Table.grid(padding=(0, 2, 0, 0)), time.time(), self.remaining()
        for name, stage in self.stages.items():
            if stage.running:
                done, total = stage.cells
                bar = ProgressBar(total=total, completed=done, width=20) if total else Text()
                cells = f"{done}/{total} cells" if total else ""
                left = f"about {spelled(remaining[name])} left" if remaining[name] else ""
                words = map(Text, (cells, spelled(now - stage.began), left))
                table.add_row(Text(name, overflow="ellipsis", no_wrap=True), bar, *words)
        outer = Table.grid()
        outer.add_row(table)
        outer.add_row(Text(self.counted()))
        return outer
