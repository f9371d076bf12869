"""The whole series at the smoke profile, run as a user would, and its pages."""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import nbformat
import pytest

from nbutils.reports import series


class Page(HTMLParser):
    """What a page asks a browser for, and what it lacks."""

    def __init__(self, text):
        super().__init__()
        self.fetched, self.without_alt, self.ids, self.links, self.h1 = [], 0, [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.h1 += tag == "h1"
        self.without_alt += tag == "img" and not attributes.get("alt")
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if tag == "a" and "href" in attributes else []
        address = attributes.get("src", "") or (attributes.get("href", "") if tag == "link" else "")
        self.fetched += [address] if address and not address.startswith("data:") else []


def test_every_page_stands_alone(smoke):
    pages = sorted(smoke.glob("*.html"))
    ids = {path.name: Page(path.read_text()).ids for path in pages}
    assert len(pages) == 3 + len(series.in_series())  # with the index, the status and the search
    for path in pages:
        text = path.read_text()
        page = Page(text)
        assert page.fetched == []
        assert page.without_alt == 0
        assert page.h1 == 1
        assert len(page.ids) == len(set(page.ids))
        assert path.stat().st_size < 12e6
        for link in page.links:
            if not link.startswith("http"):
                file, _, anchor = link.partition("#")
                assert not file or (smoke / file).exists()
                assert not anchor or anchor in ids[file or path.name], link
        assert "$$" not in text
        assert "\\frac" not in text


def test_every_notebook_says_what_it_found_and_left_its_results(smoke):
    for path in smoke.glob("*.ipynb"):
        assert (smoke / f"{path.stem}.json").exists()
        facts = nbformat.read(path, as_version=4).metadata.nbutils
        assert facts.parameters
        assert facts.seconds > 0
    index = (smoke / "index.html").read_text()
    assert index.count('class="status done"') == len(list(smoke.glob("*.ipynb")))


def test_every_claim_is_settled_by_a_rule_that_stands_above_its_number(smoke):
    entries = json.loads((smoke / "claims.json").read_text())
    count = {"A": 20, "B": 13, "E": 8}
    assert [entry["id"] for entry in entries] == [
        f"{part}{n:02}" for part, most in count.items() for n in range(1, most + 1)
    ]
    for entry in entries:
        assert {"id", "verdict", "effect", "interval", "repeats", "rule"} <= set(entry)
        assert entry["notebook"], f"{entry['id']} is measured by no notebook"
        page = (smoke / f"{entry['notebook']}.html").read_text()
        stated = page.index(f'id="claim-{entry["id"]}"')
        settled = page.index(f'<a href="#claim-{entry["id"]}">claim {entry["id"]}</a>.</strong>')
        assert stated < settled
        bold = page[page.rindex("<strong>", 0, settled) : settled]
        assert entry["verdict"].capitalize() in bold  # which the glossary may explain
        if entry["interval"] and entry["verdict"] != "undecided":
            low, high = entry["interval"]
            assert not low <= entry["null"] <= high


@pytest.mark.slow
def test_the_same_run_again_gives_the_same_numbers(smoke, tmp_path):
    """What was run two at a time is run again one at a time: results are equal but for measured seconds."""
    arguments = ["run", "03", "12", "--profile", "smoke", "--jobs", "1", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "nbutils", *arguments]
    assert subprocess.run(command, capture_output=True).returncode == 0
    for name in ("03_losses", "11_pixel_prediction", "12_exact_inpainting"):
        assert without_seconds(tmp_path / f"{name}.json") == without_seconds(smoke / f"{name}.json")


def without_seconds(path):
    """Results without what depends on how fast the machine is."""

    def walk(value):
        if isinstance(value, dict):
            return {name: walk(entry) for name, entry in value.items() if "seconds" not in name}
        if isinstance(value, str):
            return re.sub(r"[\d.]+ m?s\b", "some time", value)
        return [walk(entry) for entry in value] if isinstance(value, list) else value

    return walk(json.loads(path.read_text()))


@pytest.mark.slow
@pytest.mark.real_data
def test_the_series_runs_on_photographs_without_running_again_what_does_not_see_them(smoke, tmp_path):
    environment = os.environ | {"NBUTILS_DATA": os.environ["NBUTILS_TEST_DATA"]}
    shutil.copytree(smoke, tmp_path, dirs_exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "nbutils",
        "run",
        "--profile",
        "smoke",
        "--set",
        "data=photos",
        "--jobs",
        "2",
        "--out",
        str(tmp_path),
    ]
    process = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert process.returncode == 0, process.stdout + process.stderr
    assert "10_cells_and_classification: done, nothing changed" in process.stdout
    assert "Captioned photographs" in (tmp_path / "04_training.html").read_text()
