"""The project's own papers agree with each other, and its notebooks keep their form."""

import ast
import json
import re
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml

from nbutils import identity
from nbutils.reports import parameters, series
from nbutils.reports.publish import front_page, leaks

ROOT = Path(__file__).parents[1]
NOTEBOOKS = list(series.in_series().values())  # what else lies in the folder is somebody's own


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def name_of(requirement):
    return re.match(r"[\w.-]+", requirement)[0].lower()


def test_environment_readme_and_pyproject_name_the_same_packages():
    wanted = project()["dependencies"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    packages = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert packages == [*wanted, "-e ."]
    assert f"python{project()['requires-python']}" in environment["dependencies"]
    readme = (ROOT / "README.md").read_text()
    (listed,) = re.findall(r"<!-- dependencies -->\n(.*?)\n<!-- end -->", readme, re.S)
    assert re.findall(r"`([\w.-]+)`", listed) == [name_of(requirement) for requirement in wanted]


def test_every_dependency_is_pinned_for_tests():
    pins = {name_of(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    extras = project()["optional-dependencies"]
    for requirement in project()["dependencies"] + extras["dev"] + extras["scale"]:
        assert name_of(requirement) in pins


def test_the_readme_names_the_two_commands():
    readme = (ROOT / "README.md").read_text()
    assert "make report" in readme
    assert "make test" in readme


def test_the_readme_has_a_line_for_every_notebook_as_its_metadata_give_it():
    readme = (ROOT / "README.md").read_text()
    table = front_page.table(series.in_series())
    wanted = front_page.with_block(readme, table, front_page.TABLE, front_page.TABLE_END)
    assert front_page.TABLE in readme
    assert readme == wanted, f"between its markers the README should have\n{table}"


def test_every_notebook_says_what_it_is_about():
    profiles = {path.stem for path in (ROOT / "notebooks" / "profiles").glob("*.yaml")}
    for path in NOTEBOOKS:
        facts = nbformat.read(path, as_version=4).metadata.nbutils
        assert set(facts) <= {"needs", "about", "telling", "usual_seconds", "entrance", "minutes", "plays"}
        assert facts.about
        assert "\n" not in facts.about
        assert set(facts.get("usual_seconds", {})) <= profiles
        assert all(seconds > 0 for seconds in facts.get("usual_seconds", {}).values())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_keep_their_form(path):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert book.metadata.kernelspec.name == "python3"
    assert book.cells[0].source.startswith("# ")
    assert parameters.declared(path)["reports"] == "../reports"
    for cell in book.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None
            assert len(cell.source.splitlines()) <= 15 or "parameters" in cell.metadata.get("tags", [])
            assert not re.search(r"^\s*[!%]|\binput\(", cell.source, re.M)
            ast.parse(cell.source)
    assert set(series.needs(path)) <= {p.stem for p in NOTEBOOKS}


@pytest.mark.parametrize("profile", ["smoke", "quick", "standard", "full"])
def test_profiles_fit_the_notebooks(profile, monkeypatch, tmp_path):
    (tmp_path / "photos64").mkdir()
    (tmp_path / "photos8k").mkdir()
    (tmp_path / "mnist").mkdir()
    (tmp_path / "binarized_mnist.npz").touch()
    monkeypatch.setenv("NBUTILS_DATA", str(tmp_path))
    values = parameters.read_profile(profile)
    assert set(values) <= {path.stem for path in NOTEBOOKS}
    assert all(values.values())  # what has no settings of its own has no line
    parameters.resolve({path.stem: path for path in NOTEBOOKS}, values, {})


# Each room may import those before it; those of one row know nothing of each other.
ROWS = [
    ("devices", "files", "identity", "processes", "console"),
    ("data",),
    ("nade", "pixelrnn"),
    ("training",),
    ("show",),
    ("evidence",),
    ("panels",),
    ("reports", "reports.values", "reports.series", "reports.parameters", "reports.publications"),
    ("reports.run", "reports.render"),
    ("reports.publish",),
    ("job_files",),
    ("cli",),
    ("__main__",),
]
ONE_ROOM = {"reports", "reports.run"}  # a row of which is one room


def imports():
    """What every module of the package imports of it: dict from name to set of names, without `nbutils.`."""
    found = {}
    for path in sorted((ROOT / "nbutils").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        imported = identity._imported(ast.parse(path.read_text()), name, is_package)
        here = {module.partition(".")[2] for module in imported} - {name.partition(".")[2], ""}
        found[name.partition(".")[2]] = here
    return found


def room(module):
    """Where a module stands in `ROWS`: the number of the row, and the room."""
    rooms = [(number, one) for number, row in enumerate(ROWS) for one in row]
    return max((len(one), number, one) for number, one in rooms if f"{module}.".startswith(f"{one}."))[1:]


def test_no_import_runs_upwards():
    upwards = []
    for module, imported in imports().items():
        for other in imported if module else ():
            if identity._file(f"nbutils.{other}").name == "__init__.py":
                continue  # a package; what is meant in it has a name of its own
            (row, one), (other_row, another) = room(module), room(other)
            between = row == other_row and one != another and ROWS[row][0] not in ONE_ROOM
            if other_row > row or between:
                upwards.append(f"{module} imports {other}")
    assert upwards == []


def test_no_import_runs_in_a_circle():
    modules = imports()
    packages = {
        name for name in modules if not name or identity._file(f"nbutils.{name}").name == "__init__.py"
    }
    left = {name: imported - packages for name, imported in modules.items()}
    while free := {name for name, imported in left.items() if not imported & left.keys()}:
        left = {name: imported for name, imported in left.items() if name not in free}
    assert left == {}


def test_no_notebook_holds_what_its_publication_would_be_refused_for():
    for path in NOTEBOOKS:
        assert leaks.of_machine(path.read_bytes(), path.read_text()) == "", path.name


def test_notebooks_are_stored_without_machine_specific_metadata():
    for path in NOTEBOOKS:
        assert set(json.loads(path.read_text())["metadata"]) == {"kernelspec", "language_info", "nbutils"}
