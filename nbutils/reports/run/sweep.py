"""A grid over the parameters of one notebook: every combination is a cell with a folder of its own, and one
page compares them."""

import csv
import io
import itertools
import json
import re
from pathlib import Path

import nbformat

from ...files import write_text
from ...show import figures
from .. import parameters, series
from ..render import pictures, rendering
from . import progress, records, runner, workers

_PICTURES = 24  # cells whose key figures stand side by side
_SHOWN = (
    12  # numbers that differ between cells, in the table and as small charts; all of them are in sweep.csv
)


def parse_grid(texts):
    """`name=a,b,c` strings to a dict from name to a list of values as they were typed, what is in brackets
    being one.

    Raises:
        ParameterError: no `=`, a name given twice, an empty value, or one that stands there twice.
    """
    grid = {}
    for name, text in parameters.parse_settings(texts, "--grid").items():
        grid[name] = values = [value.strip() for value in re.split(r",(?![^\[]*\])", text)]
        if "" in values or any(values.count(value) > 1 for value in values):
            raise parameters.ParameterError(
                f"--grid {name}={text}: expected name=value,value,... with no value twice"
            )
    if not grid:
        raise parameters.ParameterError("--grid: expected at least one name=value,value,...")
    return grid


def _as_typed(grid, notebooks):
    """A grid with its values as the first notebook takes them that declares the parameter."""
    declared, found = {}, {}
    for path in reversed(notebooks.values()):
        if series.source(path):
            declared |= {name: (path.stem, default) for name, default in parameters.declared(path).items()}
    for name, values in grid.items():
        owner, default = declared.get(name, ("--grid", ""))  # what none declares is refused in a moment
        found[name] = [parameters.typed(owner, name, value, default) for value in values]
        if any(found[name].count(value) > 1 for value in found[name]):
            raise parameters.ParameterError(
                f"--grid {name}: one value stands there twice: {', '.join(map(str, found[name]))}"
            )
    return found


def cells(grid):
    """All combinations of a grid: dict from the name of a cell's folder to its settings, the last name
    varying fastest."""
    combinations = [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
    named = {
        ",".join(
            f"{name}={re.sub(r'[^A-Za-z0-9.+-]+', '-', str(value)).strip('-')}"
            for name, value in cell.items()
        ): cell
        for cell in combinations
    }
    if len(named) < len(combinations):  # values that differ only in what a folder's name cannot hold
        named = {f"{number:03d}": cell for number, cell in enumerate(combinations)}
    return named


def numbers(sidecar):
    """Every number of results: dict from its place, with dots and counted in lists, to a float."""
    found = {}

    def walk(place, value):
        if isinstance(value, dict | list):
            for name, entry in value.items() if isinstance(value, dict) else enumerate(value):
                walk(f"{place}.{name}" if place else name, entry)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[place] = float(value)

    walk("", sidecar)
    return found


def run(
    notebooks,
    name,
    profile,
    settings,
    grid,
    out,
    *,
    force=False,
    timeout=None,
    jobs=1,
    scheduler=None,
    resources=None,
    live=False,
    report=print,
):
    """Run one notebook for every cell of a grid, and what it needs, each once for all cells that agree on its
    parameters.

    Args:
        notebooks: dict from name to path, from `series.chosen`: the notebook `name` and those that it needs.
        profile, settings: as `parameters.resolve` takes them.
        grid: from `parse_grid`.
        out: folder of the sweep; see `runner.run` for the rest.
    Returns:
        dict from a cell's name to the Outcome of the notebook there.
    Raises:
        ParameterError: a cell with a parameter that no notebook has, of the wrong type or impossible, before
            any work.
    """
    out, grid = Path(out).resolve(), _as_typed(grid, notebooks)
    resolved = {
        cell: parameters.resolve(notebooks, profile, settings | chosen)
        for cell, chosen in cells(grid).items()
    }
    taken = {cell: _needed(name, notebooks, values) for cell, values in resolved.items()}
    works = {}
    for cell, values in resolved.items():
        for needed, path in taken[cell].items():
            needs = tuple(f"{cell}/{need}" for need in series.needs(path, values[needed]))
            works[f"{cell}/{needed}"] = runner.Work(needed, path, values[needed], out / cell, needs)
    with records.alone_in(out, report):
        records.remove_remains(out)
        with (
            workers.on_cluster(scheduler, resources)
            if scheduler
            else workers.here(jobs, out / ".scratch") as pool
        ):
            needed = {label: work.needs for label, work in works.items()}
            expected = {}
            for label, work in works.items():
                expected[label] = progress.expected_seconds(work.out, work.name, work.values)
            with progress.Progress(needed, expected, pool.capacity, report=report, live=live) as watched:
                outcomes = runner.run_all(works, pool, watched, apart=True, force=force, timeout=timeout)
        found = {}
        for cell in resolved:
            rendered = runner.render(
                out / cell, {needed: outcomes[f"{cell}/{needed}"] for needed in taken[cell]}, report
            )
            found[cell] = rendered[name]
        render(out, name, rendering.title_and_abstract(series.source(notebooks[name]))[0], grid, found)
    return found


def _needed(name, notebooks, values):
    """Of notebooks one and those that it needs with these parameters."""
    wanted = [name]
    for each in wanted:
        wanted += [need for need in series.needs(notebooks[each], values[each]) if need not in wanted]
    return {each: path for each, path in notebooks.items() if each in wanted}


def render(out, notebook, title, grid, outcomes):
    """Write the page that compares the cells of a sweep, `index.html`, and all their numbers, `sweep.csv`.

    Args:
        out: folder of the sweep; a cell's files are in the sub-folder of its name.
        notebook: name of the notebook; title: what its page is called.
        grid: from `parse_grid`.
        outcomes: dict from a cell's name to the Outcome of the notebook there.
    """
    out, settings = Path(out), cells(grid)
    results = {
        name: numbers(json.loads((out / name / f"{notebook}.json").read_text(encoding="utf-8")))
        for name, outcome in outcomes.items()
        if outcome.status == "done"
    }
    places = list(dict.fromkeys(place for values in results.values() for place in values))
    shown = {
        name: {place: f"{values[place]:.4g}" if place in values else "" for place in places}
        for name, values in results.items()
    }
    differing = [place for place in places if len({values[place] for values in shown.values()}) > 1]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*grid, "status", "seconds", *places])
    for name, outcome in outcomes.items():
        writer.writerow(
            [
                *settings[name].values(),
                outcome.status,
                outcome.seconds,
                *(results.get(name, {}).get(place, "") for place in places),
            ]
        )
    write_text(out / "sweep.csv", text.getvalue())
    rows = [
        {
            "name": name,
            "settings": settings[name],
            "outcome": outcome,
            "page": f"{name}/{notebook}.html" if (out / name / f"{notebook}.html").is_file() else None,
            "numbers": [shown.get(name, {}).get(place, "") for place in differing[:_SHOWN]],
            "picture": _picture(out / name / f"{notebook}.ipynb") if len(outcomes) <= _PICTURES else None,
        }
        for name, outcome in outcomes.items()
    ]
    charts = [
        {"place": place, "picture": _chart(grid, settings, results, place)} for place in differing[:_SHOWN]
    ]
    page = rendering.template("sweep_page").render(
        notebook=notebook,
        title=title,
        grid=grid,
        rows=rows,
        charts=charts,
        shown=differing[:_SHOWN],
        left_out=len(differing) - len(differing[:_SHOWN]),
    )
    write_text(out / "index.html", page)


def _picture(path):
    """The key figure of an executed notebook; None where there is none."""
    if not path.is_file():
        return None
    return pictures.picture(pictures.figure(nbformat.read(path, as_version=4)))


def _chart(grid, settings, results, place):
    """One number over the grid, as the address of a picture: against the first parameter, a line for each
    combination of the others."""
    first, lines = next(iter(grid)), {}
    for name, values in results.items():
        if place in values:
            others = ", ".join(f"{key} {value}" for key, value in settings[name].items() if key != first)
            lines.setdefault(others, {})[grid[first].index(settings[name][first])] = values[place]
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in grid[first])
    across = grid[first] if numeric else range(len(grid[first]))
    figure, axis = figures.chart(size=(3.4, 2.4))
    for others, points in lines.items():
        axis.plot(
            [across[i] for i in sorted(points)],
            [points[i] for i in sorted(points)],
            marker="o",
            markersize=4,
            label=others,
        )
    if numeric and min(grid[first]) > 0 and max(grid[first]) >= 20 * min(grid[first]):
        axis.set_xscale("log")
    if not numeric:
        axis.set_xticks(list(across), [str(value) for value in grid[first]])
    axis.set(xlabel=first)
    if len(lines) > 1 and len(lines) <= 6:
        axis.legend(fontsize=7, title=", ".join(key for key in grid if key != first), title_fontsize=7)
    return figures.address(figure)
