"""What is kept is taken again exactly where what computed it is the same: its code, all that this imports,
what a notebook defines."""

import types

import nbformat
import pytest
from in_process import without_kernels  # noqa: F401
from test_reports import books, invoke, notebook  # noqa: F401

from nbutils import identity
from nbutils.processes import side_by_side
from nbutils.reports import series

MODULES = {
    "__init__.py": "",
    "clip.py": "NORM = 1\n",
    "clipping.py": "NORM = 2\n",
    "train/__init__.py": "from .loop import fit\n",
    "train/loop.py": (
        "from ..data import (\n    scenes,\n)\n\ndef fit():\n    from .. import clip\n    return clip.NORM\n"
    ),
    "train/shows.py": "import toy.train\n",
    "data/__init__.py": "",
    "data/scenes.py": "",
    "data/digits.py": "",
}
USED = {"__init__.py", "clip.py", "train/__init__.py", "train/loop.py", "data/__init__.py", "data/scenes.py"}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A package in the place of this one."""
    for name, text in MODULES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(identity, "_ROOT", tmp_path)
    monkeypatch.setattr(identity, "_PACKAGE", "toy")
    return tmp_path


@pytest.mark.parametrize(
    "program", ["import toy.train", "from toy.train import loop", "def later():\n    from toy import train"]
)
def test_code_depends_on_what_it_imports_by_way_of_others_and_on_nothing_else(toy, program):
    before = identity.of_source(program)
    for name, text in MODULES.items():
        (toy / name).write_text(text + "# changed\n")
        assert (identity.of_source(program) != before) == (name in USED), name
        (toy / name).write_text(text)
    assert identity.of_source(program) == before == identity.of_modules("toy.train")
    assert identity.of_source("import os") != before


def test_what_only_checks_has_no_part_in_what_is_computed(toy, monkeypatch):
    program = "import toy.train"
    monkeypatch.setattr(identity, "_APART", frozenset({"clip", "data.scenes"}))
    before = identity.of_source(program)
    for name, same in [("clip.py", True), ("data/scenes.py", True), ("train/loop.py", False)]:
        (toy / name).write_text(MODULES[name] + "# changed\n")
        assert (identity.of_source(program) == before) == same, name
        (toy / name).write_text(MODULES[name])


@pytest.mark.parametrize("name", series.in_series())
def test_nothing_that_runs_checks_or_renders_has_a_part_in_what_a_notebook_computes(name):
    book = nbformat.read(series.in_series()[name], as_version=4)
    code = "\n".join(cell.source for cell in book.cells if cell.cell_type == "code")
    used = {path.relative_to(identity._ROOT).as_posix() for path in identity.files_of_source(code)}
    allowed = {"reports/__init__.py", "reports/publications.py"}
    panels = "reports/live/"  # what a notebook shows of them stands in its outputs
    apart = {path for path in used if path.startswith("reports/") and not path.startswith(panels)}
    assert apart <= allowed
    assert not used & {"cli.py", "console.py", "identity.py"}


def test_modules_that_are_not_there_are_named(toy):
    with pytest.raises(ModuleNotFoundError, match=r"toy\.clips: is no module of toy"):
        identity.of_modules("toy.clips")


TASK = """
from nbutils.nade.objective import InpaintingTask
SHARE = 0.5
def drawn(size):
    return size * SHARE
class EarlyStages(InpaintingTask):
    '''Half of the examples from near the beginning.'''
    def batch(self, size, generator):
        return drawn(size)
"""


def class_of(text):
    """The class that a notebook defines."""
    module = types.ModuleType("cells")
    exec(text, vars(module))
    return module.EarlyStages


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("return drawn(size)", "return drawn(size + 1)", False),
        ("size * SHARE", "size / SHARE", False),
        ("SHARE = 0.5", "SHARE = 0.25", False),
        ("InpaintingTask)", "InpaintingTask, dict)", False),
        ("return drawn(size)", "# says the same\n        return drawn(\n            size)", True),
        ("Half of the examples", "Some of the examples", True),
        ("def drawn", "def unused():\n    pass\ndef drawn", True),
    ],
)
def test_a_class_of_a_notebook_is_told_from_another_by_what_it_computes(old, new, same):
    assert TASK.count(old) == 1
    one, other = class_of(TASK), class_of(TASK.replace(old, new))
    assert (identity.of_class(one) == identity.of_class(other)) == same
    assert identity.of_class(one) != identity.of_class(one.__base__)


def test_a_class_of_a_notebook_is_the_same_in_a_worker_process():
    here = class_of(TASK)
    here.__module__ = here.batch.__module__ = "__main__"  # as in a kernel, which is why it travels by value
    assert list(side_by_side(identity.of_class, [(here,)], 1)) == [identity.of_class(here)]


def test_corrected_prose_is_shown_and_runs_nothing_again(books, without_kernels, tmp_path):  # noqa: F811
    notebook(
        books,
        "01_first",
        "from nbutils.evidence import results\nresults.save(reports, '01_first', {'n': steps}, [])",
    )
    notebook(books, "02_second", "1", needs=["01_first"])
    assert invoke("--out", tmp_path / "out").exit_code == 0
    path = books / "01_first.ipynb"
    book = nbformat.read(path, as_version=4)
    book.cells[0].source = book.cells[0].source + "\n\nA corrected sentence."
    book.cells.append(nbformat.v4.new_markdown_cell("The last words."))
    nbformat.write(book, path)
    said = invoke("--out", tmp_path / "out").output
    assert said.count("done, nothing changed") == 2
    page = (tmp_path / "out" / "01_first.html").read_text()
    assert "A corrected sentence." in page
    assert "The last words." in page
    assert (
        invoke("--out", tmp_path / "out").output.count("done, nothing changed") == 2
    )  # and its record is whole
    book.cells[-2].source += "\n1 + 1"
    nbformat.write(book, path)
    assert "nothing changed" not in invoke("--out", tmp_path / "out").output


def test_results_whose_upstream_has_been_run_anew_are_shown_as_out_of_date(books, without_kernels, tmp_path):  # noqa: F811
    notebook(books, "01_first", "steps")
    notebook(books, "02_second", "1", needs=["01_first"])
    notebook(books, "03_third", "1", needs=["02_second"])
    notebook(books, "04_other", "1")
    out = tmp_path / "out"

    def shown():
        pages = {path.stem: path.read_text() for path in out.glob("*.html")}
        names = ("01_first", "02_second", "03_third", "04_other")
        assert [name for name in names if "This page is out of date" in pages[name]] == list(old)
        for page in ("index", "status"):
            assert pages[page].count("out of date") == len(old)
        for name, why in old.items():
            assert f"This page is out of date: {why}." in pages[name]
            assert pages["index"].count(f"out of date: {why}<") == 1

    old = {}
    assert invoke("--out", out).exit_code == 0
    shown()
    assert invoke("--out", out, "01", "--force").exit_code == 0  # the same again
    shown()
    assert invoke("--out", out, "01", "--set", "steps=4").exit_code == 0
    old = {
        "02_second": "01_first has been run anew since",
        "03_third": "made from 02_second, which is",
    }
    shown()
    assert invoke("--out", out, "04").exit_code == 0  # which has no part in it
    shown()
    assert invoke("--out", out, "--set", "steps=4").exit_code == 0
    old = {}
    shown()
