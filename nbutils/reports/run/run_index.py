"""The index of a run, written again while it goes on, and the page of every notebook that has ended."""

import contextlib
import time
from datetime import datetime

from ..render import rendering
from ..render.index_page import spelled

_RENEWED = 10  # seconds until the index is written anew; one much older is of a run that was killed


class RunIndex:
    """Keeps the index in the folder `out` true to a Progress.

    Args:
        out: folder of the reports.
        order: names of all notebooks that the index may show.
        before: dict from name to what became of those that earlier runs left, as dicts.
        report: called with a line of text for a page that could not be rendered.
    """

    def __init__(self, out, order, before, report):
        self.out, self.order, self.before, self.report = out, order, before, report
        self.rendered, self.written, self.stood = set(), 0.0, None

    def follow(self, progress):
        """Write the pages of what has ended since, and the index, if it has changed or become old."""
        for name, stage in progress.stages.items():
            if stage.outcome and name not in self.rendered:
                self.rendered.add(name)
                if not stage.outcome.cached:
                    self._render(name, progress)
        stands = [(stage.running, stage.outcome) for stage in progress.stages.values()]
        if stands != self.stood or time.time() - self.written > _RENEWED:
            self.stood = stands
            self._write(progress)

    def broken_off(self, progress, error):
        """Say in the index that the run has ended before its end, by an error or because it was stopped."""
        how = f"ended with an error ({error})" if isinstance(error, Exception) else "was stopped"
        with contextlib.suppress(OSError):  # of a full disk, which is being told; the page says how old it is
            self._write(progress, how)

    def _render(self, name, progress):
        if reason := rendering.write_page(
            self.out, name, self._outcomes(progress)
        ):  # which fails the notebook at the end, and is said now
            self.report(f"{name}: {reason}")

    def _write(self, progress, broken_off=None):
        self.written = time.time()
        shown = self._outcomes(progress, broken_off)
        run = {"counted": progress.counted(), "stages": list(progress.stages), "broken_off": broken_off}
        rendering.write_index(self.out, shown, run | {"now": _clock(self.written), "renewed": _RENEWED})

    def _outcomes(self, progress, broken_off=None):
        """What became or becomes of every notebook, dict by name; those that have not ended have a `note`."""
        remaining, found = progress.remaining(), {}
        for name, stage in progress.stages.items():
            left = spelled(remaining[name]) if remaining[name] else ""
            if stage.outcome:
                found[name] = vars(stage.outcome)
                continue
            waiting = {"status": "to come", "error": "", "note": f", about {left}" if left else ""}
            if broken_off:
                waiting |= {"status": "not begun", "note": ""}
                if stage.began:
                    since = _clock(stage.began)["text"]
                    waiting |= {"status": "stopped", "note": f", had been running since {since}"}
            elif stage.began:
                done, total = stage.cells
                notes = [f"{done} of {total} cells" if total else "", f"about {left} left" if left else ""]
                note = ", ".join([f" since {_clock(stage.began)['text']}", *filter(None, notes)])
                waiting |= {"status": "running", "cells": stage.cells, "note": note}
            found[name] = waiting
        known = self.before | found
        return {name: known[name] for name in self.order if name in known}


def _clock(seconds):
    """A time for people, in their zone, and for programs."""
    at = datetime.fromtimestamp(seconds).astimezone()
    return {"text": at.strftime("%H:%M:%S on %Y-%m-%d"), "iso": at.isoformat(timespec="seconds")}
