"""The index of a run that goes on, written again as it goes on, and the page of every notebook as soon as that has ended."""

import contextlib
import time
from datetime import datetime

from . import html
from .progress import spelled

_RENEWED = 10  # seconds after which the index is written anew at the latest; a page much older than that is of a run that was killed


class RunIndex:
    """Keeps the index in the folder `out` true to a Progress while it is followed. `before` are outcomes of earlier runs, dict by name, as
    dicts; `order` all names that the index may show; `report` is called with a line of text for what went wrong."""

    def __init__(self, out, order, before, report):
        self.out, self.order, self.before, self.report = out, order, before, report
        self.rendered, self.written, self.stood = set(), 0.0, None

    def follow(self, progress):
        """Write the pages of what has ended since, and the index where something changed or it has become old."""
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
        with contextlib.suppress(OSError):  # such as a full disk, whose error is on its way already; the page says how old it is
            self._write(progress, how)

    def _render(self, name, progress):
        try:
            html.write_page(self.out, name, self._outcomes(progress))
        except ValueError as error:  # a page that refers to what it lacks; it ends the run when all are rendered, and is said now
            self.report(f"{name}: {error}")

    def _write(self, progress, broken_off=None):
        self.written = time.time()
        shown = self._outcomes(progress, broken_off)
        run = {"counted": progress.counted(), "stages": list(progress.stages), "broken_off": broken_off, "now": _clock(self.written), "renewed": _RENEWED}
        html.write_index(self.out, shown, run)

    def _outcomes(self, progress, broken_off=None):
        """What became, becomes or will become of every notebook, dict by name; those that have not ended have a `note`."""
        remaining, found = progress.remaining(), {}
        for name, stage in progress.stages.items():
            left = spelled(remaining[name]) if remaining[name] else ""
            if stage.outcome:
                found[name] = vars(stage.outcome)
                continue
            waiting = {"name": name, "status": "to come", "error": "", "note": f", about {left}" if left else ""}
            if broken_off:
                waiting |= {"status": "not begun", "note": ""}
                if stage.began:
                    waiting |= {"status": "stopped", "note": f", had been running since {_clock(stage.began)['text']}"}
            elif stage.began:
                done, total = stage.cells
                notes = [f"{done} of {total} cells" if total else "", f"about {left} left" if left else ""]
                note = ", ".join([f" since {_clock(stage.began)['text']}", *filter(None, notes)])
                waiting |= {"status": "running", "cells": stage.cells, "note": note}
            found[name] = waiting
        return {name: (self.before | found)[name] for name in self.order if name in found or name in self.before}


def _clock(seconds):
    """A time for people, in their zone, and for programs."""
    at = datetime.fromtimestamp(seconds).astimezone()
    return {"text": at.strftime("%H:%M:%S on %Y-%m-%d"), "iso": at.isoformat(timespec="seconds")}
