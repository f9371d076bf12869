"""What a run tells while it goes on: how long it will take, an index to read at once, lines in a terminal."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from concurrent.futures import Future

import pytest
from test_browser import WIDTHS, faults_of
from test_faults import COMMAND
from test_reports import books, notebook  # noqa: F401  a fixture

from nbutils.reports.run import progress, records, runner, workers
from nbutils.reports.run.execution import Execution, Outcome
from nbutils.reports.run.run_index import RunIndex

NEEDS = {"01_first": (), "02_second": ("01_first",), "03_third": (), "04_fourth": ("02_second", "03_third")}
SECONDS = {"01_first": 10, "02_second": 20, "03_third": 40, "04_fourth": 5}


def followed(out=None, capacity=2, expected=SECONDS, said=None):
    report = (said if said is not None else []).append
    index = RunIndex(out, list(NEEDS), {}, report) if out else None
    return progress.Progress(NEEDS, expected, capacity, report=report, index=index)


def test_the_time_left_is_that_of_the_longest_chain_or_of_the_work_shared_out():
    assert followed().chains() == {"01_first": 35, "02_second": 25, "03_third": 45, "04_fourth": 5}
    assert followed().left() == 45
    assert followed(capacity=1).left() == 75
    assert followed(expected={"01_first": 10}).left() is None
    watched = followed(capacity=1)
    watched.ended(
        "01_first", Outcome("01_first", "done", 20.0)
    )  # twice as long as expected, so the others are too
    assert watched.left() == pytest.approx(130)
    watched.stages["03_third"].began = time.time() - 1000
    assert watched.left() == pytest.approx(50)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5940, "99 min"), (7500, "2 h 5 min")]
)
def test_times_are_said_as_people_say_them(seconds, text):
    assert progress.spelled(seconds) == text


def test_a_time_is_expected_from_the_last_run_with_these_parameters_or_else_from_the_profile(tmp_path):
    def keep(**facts):
        facts = {"error": "", "seconds": 7.5, "parameters": {"steps": 3, "lengths": [1, 2]}} | facts
        (tmp_path / "01_first.ipynb").write_text(json.dumps({"metadata": {"nbutils": facts}}))

    values = {"steps": 3, "lengths": (1, 2), "reports": "../reports"}
    assert progress.expected_seconds(tmp_path, "01_first", values, 60) == 60
    keep()
    assert progress.expected_seconds(tmp_path, "01_first", values, 60) == 7.5
    assert progress.expected_seconds(tmp_path, "01_first", values | {"steps": 4}, 60) == 60
    keep(error="ValueError")
    assert progress.expected_seconds(tmp_path, "01_first", values, 60) == 60
    (tmp_path / "01_first.ipynb").write_text("[")
    assert progress.expected_seconds(tmp_path, "01_first", values) is None


def test_the_published_run_tells_what_its_profile_takes(books, tmp_path):  # noqa: F811
    assert progress.usual_seconds("standard") == progress.usual_seconds(None) == {}
    (tmp_path / "docs").mkdir()
    published = {"profile": "standard", "notebooks": {"01_first": {"seconds": 26.0}}}
    (tmp_path / "docs" / "published.json").write_text(json.dumps(published))
    notebook(books, "01_first", "1", usual_seconds={"quick": 5})
    notebook(books, "02_second", "1")
    assert progress.usual_seconds("standard") == {"01_first": 26.0}
    assert progress.usual_seconds("quick") == {"01_first": 5}
    assert progress.usual_seconds("mine.yaml") == {}


def test_what_others_wait_for_longest_runs_first(books, tmp_path):  # noqa: F811
    """Two at a time, both places always taken: 03 and the chain from 01 begin, though 00 stands before
    them."""
    needs, order = {"00_short": ()} | NEEDS, []
    for name in needs:
        notebook(books, name, "1", needs=needs[name])

    def submit(tell, work, path, *_):
        order.append(path.stem)
        tell(1, 1)
        future = Future()
        future.set_result(Execution(Outcome(path.stem, "done", 1.0)))
        return future

    works = {name: runner.Work(name, books / f"{name}.ipynb", {}, tmp_path, needs[name]) for name in needs}
    watched = progress.Progress(needs, SECONDS | {"00_short": 1}, 2, report=lambda line: None)
    runner.run_all(works, workers.Pool(submit, 2), watched, apart=False, force=False, timeout=None)
    assert set(order[:2]) == {"03_third", "01_first"}
    assert order.index("02_second") < order.index("00_short")
    assert all(stage.cells == (1, 1) for stage in watched.stages.values())
    assert records.recorded(tmp_path, "04_fourth").outcome.status == "done"


@pytest.fixture
def under_way(books, tmp_path):  # noqa: F811
    """A run of four in the middle, and the index that it has written."""
    for name, needs in NEEDS.items():
        notebook(books, name, "1", needs=needs)
    out = tmp_path / "out"
    out.mkdir()
    watched = followed(out)
    watched.ended("01_first", Outcome("01_first", "failed", 2.0, error="ValueError: <b>"))
    watched.began("03_third")
    watched.cells("03_third", 2, 5)
    watched.beat()
    return watched, out / "index.html"


def test_the_index_says_what_runs_since_when_and_what_is_to_come(under_way):
    page = under_way[1].read_text()
    assert "1 of 4 notebooks have ended, about 45 s left" in page
    assert "ValueError: &lt;b&gt;" in page
    assert re.search(
        r"running</span> since \d\d:\d\d:\d\d on \d{4}-\d\d-\d\d, 2 of 5 cells, about (40|39) s left", page
    )
    assert "to come</span>, about 20 s" in page
    assert "An abstract." in page


@pytest.mark.parametrize(
    ("error", "said"),
    [(KeyboardInterrupt(), "was stopped"), (OSError("no space"), "ended with an error (no space)")],
)
def test_an_index_says_that_its_run_has_broken_off(under_way, error, said):
    watched, path = under_way
    watched.__exit__(type(error), error, None)
    page = path.read_text()
    assert f"This run {said}" in page
    assert page.count("stopped</span>, had been running since") == 2  # in the list and on the card
    assert "location.reload" not in page


@pytest.mark.parametrize("scheme", WIDTHS)
def test_an_index_under_way_has_no_faults(browser, under_way, scheme):
    assert faults_of(browser, [under_way[1]], scheme) == []


def test_an_index_under_way_is_shown_anew_where_it_was_scrolled_to_unless_it_is_in_use(browser, under_way):
    watched, path = under_way
    page = browser.new_context(viewport={"width": 390, "height": 300}).new_page()
    page.clock.install()
    page.goto(path.as_uri())
    page.mouse.wheel(0, 200)
    page.wait_for_function("scrollY === 200")
    watched.ended("03_third", Outcome("03_third", "done", 40.0))
    watched.beat()
    page.locator("#renew").uncheck()
    page.evaluate("document.activeElement.blur()")
    page.clock.run_for(25_000)
    assert "1 of 4" in page.locator("section.run").inner_text()
    page.locator("#renew").check()
    page.locator("a").first.focus()
    page.clock.run_for(25_000)
    assert "1 of 4" in page.locator("section.run").inner_text()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 200)")
    page.clock.run_for(11_000)
    page.locator("section.run", has_text="2 of 4").wait_for()
    page.wait_for_function("scrollY === 200")


def test_a_killed_run_is_known_by_the_age_of_its_index(browser, under_way):
    page = browser.new_page()
    page.goto(under_way[1].as_uri())
    assert not page.locator("#stale").is_visible()
    page.clock.install(time=time.time() + 3600)
    page.reload()
    assert page.locator("#stale").is_visible()


def test_a_terminal_has_a_line_with_a_bar_for_what_runs(books, tmp_path):  # noqa: F811
    notebook(books, "01_first", "import time\ntime.sleep(3)", "time.sleep(3)")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", COMMAND, str(books), "run", "--out", str(tmp_path / "out")]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=environment)
    os.close(theirs)
    said = b""
    try:
        while piece := os.read(ours, 4096):
            said += piece
    except OSError:  # how Linux says that nobody writes any more
        pass
    os.close(ours)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    text = said.decode()
    assert re.search(r"01_first .*━.* 3/4 cells", text)
    assert "0 of 1 notebooks have ended" in text
    assert "01_first: done in" in text
    assert "01_first: running" not in text
