"""What a user types means what it means where it was typed, and is read by the parameter's own type."""

import os
import re

import pytest

from nbutils.reports import parameters, series
from nbutils.reports.values import ParameterError, typed

TAKEN = [
    ("photos #2", "scenes", "photos #2"),
    ("a: b", "scenes", "a: b"),
    ("2024", "scenes", "2024"),
    ("no", "scenes", "no"),
    ("010", "scenes", "010"),
    ("[x", "scenes", "[x"),
    ("010", 3, 10),
    ("1_000", 3, 1000),
    ("-5", 3, -5),
    ("1e-3", 0.1, 0.001),
    ("5", 0.1, 5.0),
    (".5E+1", 0.1, 5.0),
    ("True", False, True),
    ("false", True, False),
    ("1, 010", (1, 2), (1, 10)),
    ("[1e-4, 1]", (0.1,), (1e-4, 1.0)),
    ("emd1,no", ("emd2",), ("emd1", "no")),
    (
        "{width: [010, 8], rate: [1e-3, 1], kind: [no], flag: [true]}",
        {"width": [1], "kind": ["a"]},
        {"width": [10, 8], "rate": [0.001, 1.0], "kind": ["no"], "flag": [True]},
    ),
]
REFUSED = [
    ("1:30", 3),
    ("3.0", 3),
    ("0x10", 3),
    ("", 3),
    ("1__0", 3),
    ("1:30", 0.1),
    ("nan", 0.1),
    ("1e999", 0.1),
    ("yes", True),
    ("1", True),
    ("1,", (1,)),
    ("[]", (1,)),
    ("[1]", {}),
]


@pytest.mark.parametrize(("text", "default", "value"), TAKEN)
def test_a_text_is_read_by_the_type_of_its_parameter(text, default, value):
    read = typed("01_first", "name", text, default)
    assert (read, type(read)) == (value, type(default))


@pytest.mark.parametrize(("text", "default"), REFUSED)
def test_a_text_that_says_nothing_to_the_type_is_refused(text, default):
    with pytest.raises(parameters.ParameterError, match="01_first: name is "):
        typed("01_first", "name", text, default)


def test_a_path_is_meant_from_where_it_was_typed(tmp_path, monkeypatch):
    for folder in ("here/photos #2", "here/sub", "profiles/2024", "pics"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "profiles" / "mine.yaml").write_text("01_first: {data: 2024, rate: 1e-3}")
    usual = {"data": "scenes", "rate": 0.1, "other": "scenes"}
    for text, folder in (
        ("photos #2", "here/photos #2"),
        ("../pics", "pics"),
        ("~/pics", "pics"),
        (".", "here"),
        (f"{tmp_path}/pics", "pics"),
    ):
        chosen = parameters.parse_settings([f"data={text}", f"other={text}"])
        assert parameters.merge("01_first", usual, chosen) == usual | {
            "data": str(tmp_path / folder),
            "other": text,
        }
    for name in (
        "../profiles/mine.yaml",
        str(tmp_path / "profiles" / "mine.yaml"),
    ):  # in a profile, from its folder
        read = parameters.merge("01_first", usual, parameters.read_profile(name)["01_first"])
        assert os.path.samefile(read["data"], tmp_path / "profiles" / "2024")
        assert read["rate"] == 0.001


def test_names_of_data_are_no_paths(tmp_path, monkeypatch):
    for folder in ("photos", "data/photos64"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NBUTILS_DATA", "data")
    assert parameters.merge("01_first", {"data": "scenes"}, {"data": "photos"}) == {"data": "photos"}


def test_every_parameter_of_the_series_is_checked_before_it_runs():
    free = {"reports", "early_stages", "optimize_given", "ranges", "own_caption", "panel"}
    declared = {name for path in series.in_series().values() for name in parameters.declared(path)}
    assert declared - free == {*parameters._LEAST, *parameters._CHOICES, *parameters.PATHS}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hole_at": (3,)}, "hole_at: (3,); expected a row and a column"),
        ({"grid_losses": ("emd2", "foo")}, "grid_losses: 'foo'; expected one of cross_entropy, emd1, emd2"),
        ({"temperature": -0.1}, "temperature: -0.1; expected at least 0"),
    ],
)
def test_what_a_parameter_cannot_be_is_refused_at_the_door(values, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        parameters.check(values)
