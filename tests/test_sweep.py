"""A grid over a notebook: its cells, their page, and the same results wherever they run."""

import csv

import pytest
from test_reports import notebook

from nbutils.files import write_json
from nbutils.reports import parameters
from nbutils.reports.run import sweep
from nbutils.reports.run.execution import Outcome


def test_a_grid_is_every_combination_with_the_last_name_varying_fastest():
    grid = sweep.parse_grid(["alpha=0.1,1e-3", "loss=emd1,emd2"])
    assert grid == {"alpha": ["0.1", "1e-3"], "loss": ["emd1", "emd2"]}
    named = sweep.cells(grid | {"alpha": [0.1, 0.001]})
    assert list(named) == [
        "alpha=0.1,loss=emd1",
        "alpha=0.1,loss=emd2",
        "alpha=0.001,loss=emd1",
        "alpha=0.001,loss=emd2",
    ]
    assert named["alpha=0.001,loss=emd1"] == {"alpha": 0.001, "loss": "emd1"}
    assert sweep.parse_grid(["lengths=[1, 10],[5]", "data=a: b,c #2"]) == {
        "lengths": ["[1, 10]", "[5]"],
        "data": ["a: b", "c #2"],
    }


def test_values_of_a_grid_are_of_the_parameters_types(tmp_path, without_kernels):
    code = (
        "from nbutils.evidence import results\nresults.save(reports, '01_first', {'all': rate * seed + "
        "sum(lengths)}, [])"
    )
    notebook(tmp_path, "01_first", code, given="rate = 0.5\nseed = 0\nlengths = (1,)\nreports = '../reports'")
    books, texts = (
        {"01_first": tmp_path / "01_first.ipynb"},
        ["rate=1e-3,2", "seed=010,9", "lengths=[1, 010],[5]"],
    )
    sweep.run(books, "01_first", {}, {}, sweep.parse_grid(texts), tmp_path / "out", report=lambda line: None)
    with open(tmp_path / "out" / "sweep.csv", newline="") as file:
        rows = [(row["rate"], row["seed"], row["lengths"], float(row["all"])) for row in csv.DictReader(file)]
    assert rows[:3] == [
        ("0.001", "10", "(1, 10)", 11.01),
        ("0.001", "10", "(5,)", 5.01),
        ("0.001", "9", "(1, 10)", 11.009),
    ]
    for text, message in (
        ("seed=1,01", "stands there twice"),
        ("seed=1,1:30", "seed is '1:30'"),
        ("lengths=[1", "not readable as YAML"),
    ):
        with pytest.raises(parameters.ParameterError, match=message):
            sweep.run(
                books,
                "01_first",
                {},
                {},
                sweep.parse_grid([text]),
                tmp_path / "out",
                report=lambda line: None,
            )


def test_values_that_a_folder_cannot_be_named_by_are_numbered():
    assert list(sweep.cells({"data": ["a/b", "a b"]})) == ["000", "001"]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "expected at least one"),
        (["alpha"], "--grid alpha: expected name=value"),
        (["alpha="], "expected name=value,value"),
        (["alpha=1,1"], "no value twice"),
        (["alpha=1", "alpha=2"], "--grid alpha: given twice"),
        (["alpha=1,"], "expected name=value,value"),
    ],
)
def test_bad_grids_are_refused(texts, message):
    with pytest.raises(parameters.ParameterError, match=message):
        sweep.parse_grid(texts)


def test_the_page_compares_the_numbers_that_differ_and_links_to_the_cells(tmp_path):
    grid = {"alpha": [0.1, 0.2], "loss": ["emd1", "emd2"]}
    outcomes = {}
    for number, name in enumerate(sweep.cells(grid)):
        outcomes[name] = (
            Outcome("03_losses", "done", 2.5)
            if number != 2
            else Outcome("03_losses", "failed", 1.0, error="ValueError: <no>")
        )
        if number != 2:
            write_json(
                tmp_path / name / "03_losses.json",
                {"bits": {"mean": 3 + number, "n": 7}, "flag": True, "text": "x", "findings": []},
            )
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "03_losses.html").write_text("page")
    sweep.render(tmp_path, "03_losses", "What losses want", grid, outcomes)
    page = (tmp_path / "index.html").read_text()
    assert page.count('<a href="alpha=') == 4
    assert "ValueError: &lt;no&gt;" in page
    assert '<th scope="col">bits.mean</th>' in page
    assert "bits.n" not in page  # the same everywhere
    with open(tmp_path / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["alpha"], row["loss"], row["status"], row["bits.mean"], row["bits.n"]) for row in rows] == [
        ("0.1", "emd1", "done", "3.0", "7.0"),
        ("0.1", "emd2", "done", "4.0", "7.0"),
        ("0.2", "emd1", "failed", "", ""),
        ("0.2", "emd2", "done", "6.0", "7.0"),
    ]
