"""The parameters of a notebook: its own defaults, a profile, what the user sets; checked before any work is
done."""

import ast
import difflib
import os
import sys
from pathlib import Path

from ..data import digits, sources
from ..devices import PRECISIONS
from ..nade.inpainter import KINDS, MERGERS
from ..nade.losses import LOSSES, WEIGHTINGS
from ..nade.objective import MASKS
from ..nade.sampling import STRATEGIES
from ..training.loop import SCHEDULES
from . import series
from .values import ParameterError, read_yaml, typed

# What the parameters mean is the same in every notebook, so what they may be stands here once.
_NAMES_BY_LEAST = {
    -1: """
        hole_at
    """,
    0: """
        seed caption_dropout readout temperature
    """,
    1e-12: """
        learning_rate chrono_learning_rate learning_rates gru_learning_rate
    """,
    1: """
        described_steps
        hole_size num_train num_valid steps width layers kernel_size grid_steps validate_every
        num_pictures gibbs_steps scored_variables start_steps emd_steps schedule_steps repeat_steps num_sweeps
        num_seeds chrono_steps classifier_steps lengths patch_sizes num_searched
        depths long_steps timed_width num_repeats num_trials budget
        max_work num_processes gru_steps gru_batch_size gru_validate_every num_particles
        patch_size evaluations repair_steps puzzle_steps num_grids digit_steps
    """,
    2: """
        batch_size reader_size num_masks num_samples num_scored num_orders num_levels repeat_size
        chrono_batch_size train_sizes num_rounds num_exact num_compared num_coded digit_samples
    """,
    8: """
        image_size timed_size
    """,
    10: """
        num_test
    """,
}
_LEAST = {name: least for least, names in _NAMES_BY_LEAST.items() for name in names.split()}
_CHOICES = {
    "kind": KINDS,
    "merger": MERGERS,
    "loss": tuple(LOSSES),
    "grid_losses": tuple(LOSSES),
    "weighting": WEIGHTINGS,
    "mask": MASKS,
    "schedule": SCHEDULES,
    "precision": PRECISIONS,
    "strategy": STRATEGIES,
    "checkpoint": ("auto", "trained", "published"),
}
# Those whose values are paths, and what among the values of each is a name instead.
PATHS = {"data": sources.SOURCES, "digit_data": digits.SOURCES, "picture": ("",)}


def declared(path):
    """The parameters of a notebook and their defaults, from its cell tagged `parameters`, which holds plain
    literals.

    Raises:
        ParameterError: no such cell, or something in it that is not `name = literal`.
    """
    import nbformat

    return literals(nbformat.read(path, as_version=4), path)


def literals(notebook, path):
    """What `declared` gives, of a notebook that was read from `path`, the name for messages."""
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    if len(cells) != 1:
        raise ParameterError(f"{path}: {len(cells)} cells are tagged 'parameters'; expected one")
    defaults = {}
    for statement in ast.parse(cells[0].source).body:
        try:
            (target,) = statement.targets
            defaults[target.id] = ast.literal_eval(statement.value)
        except (AttributeError, ValueError):
            raise ParameterError(
                f"{path}: the parameters cell has {ast.unparse(statement)!r}; expected name = literal"
            ) from None
    return defaults


def read_profile(name):
    """A profile: a dict from notebook to parameters, texts as `read_mapping` gives them. Paths are meant from
    its folder.

    `name` is one of those in notebooks/profiles, or the path of a YAML file.

    Raises:
        ParameterError: no such profile, or not a mapping of mappings.
    """
    path = series.NOTEBOOKS / "profiles" / f"{name}.yaml"
    path = (
        path if os.path.isfile(path) else Path(name)
    )  # os.path takes any text for a path, also one that cannot be one
    if not os.path.isfile(path):
        known = ", ".join(sorted(p.stem for p in (series.NOTEBOOKS / "profiles").glob("*.yaml")))
        raise ParameterError(f"profile: {name!r}; expected one of {known}, or the path of a YAML file")
    profile = {notebook: values or {} for notebook, values in read_mapping(path).items()}
    if not all(isinstance(values, dict) for values in profile.values()):
        raise ParameterError(f"{path}: expected a mapping from notebook to a mapping of parameters")
    return {notebook: _placed(values, path.parent) for notebook, values in profile.items()}


def read_mapping(path):
    """The mapping that a YAML file holds, of texts that parameters read by their own types.

    Raises:
        ParameterError: not YAML, or not a mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ParameterError(
            f"{path}: not UTF-8 text (byte {error.start} is {error.object[error.start]:#04x}); save it "
            "as UTF-8"
        ) from None
    mapping = read_yaml(text, path) or {}
    if not isinstance(mapping, dict):
        raise ParameterError(
            f"{path}: expected a mapping of parameters by name, found {type(mapping).__name__}"
        )
    return mapping


def _placed(values, folder):
    """Values whose paths are absolute, and were meant from `folder`."""
    return values | {name: _place(name, values[name], folder) for name in PATHS.keys() & values.keys()}


def _place(name, value, folder):
    if not isinstance(value, str) or value in ("", *PATHS[name]) or not value.isprintable():
        return value
    path = Path(folder, os.path.expanduser(value)).absolute()
    return os.path.realpath(path) if ".." in path.parts else str(path)


def parse_settings(settings, option="--set"):
    """`name=value` strings to a dict of the values as they were typed, which parameters read by their own
    types.

    Raises:
        ParameterError: no `=`, or a name given twice; the message names the `option`.
    """
    values = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ParameterError(f"{option} {setting}: expected name=value")
        if name in values:
            raise ParameterError(f"{option} {name}: given twice")
        values[name] = value
    return values


def resources(texts):
    """`NAME=NUMBER` strings to a dict of numbers, as `--resource` has them; raises ParameterError as
    `parse_settings`."""
    given = parse_settings(texts, "--resource")
    return {name: typed("--resource", name, number, 1.0) for name, number in given.items()}


def resolve(notebooks, profile, settings):
    """All parameters of every notebook of a run.

    Args:
        notebooks: dict from name to path, in the order of the series.
        profile: from `read_profile`.
        settings: from `parse_settings`; each applies to every notebook that declares it, and must apply to
            one at least.
    Returns:
        dict from notebook name to dict of parameters; a file that holds no notebook is not in it.
    Raises:
        ParameterError: an unknown notebook or name, a wrong type, an impossible value.
    """
    defaults = {name: declared(path) for name, path in notebooks.items() if series.source(path)}
    every = set(series.in_series()) | set(notebooks)
    for notebook in profile:
        if notebook not in every:
            raise ParameterError(f"profile: there is no notebook {notebook!r}{_nearest(notebook, every)}")
    if any("reports" in values for values in (settings, *profile.values())):
        raise ParameterError("reports: is not set as a parameter; name the folder with --out")
    for name in settings:
        if not any(name in values for values in defaults.values()):
            raise ParameterError(
                f"--set {name}: no notebook of this run has this "
                f"parameter{_nearest(name, {n for d in defaults.values() for n in d})}"
            )
    resolved = {}
    for notebook, values in defaults.items():
        chosen = profile.get(notebook, {}) | {
            name: value for name, value in settings.items() if name in values
        }
        resolved[notebook] = merge(notebook, values, chosen)
    return resolved


def merge(owner, defaults, chosen):
    """Values that replace some of the defaults, checked as `resolve` says; paths are absolute then.

    Args:
        owner: the name that messages give.
        defaults: dict from name to value.
        chosen: dict from name to a text that the parameter reads by the type of its default, or to a value of
            that type.
    """
    values = defaults | _placed(as_typed(owner, defaults, chosen), os.getcwd())
    try:
        check(values)
    except (ValueError, OSError) as error:
        raise ParameterError(f"{owner}: {error}") from None
    return values


def as_typed(owner, defaults, chosen):
    """The `chosen` values, each of the type of its default; see `merge`."""
    for name in chosen:
        if name not in defaults:
            raise ParameterError(f"{owner} has no parameter {name!r}{_nearest(name, defaults)}")
    return {name: typed(owner, name, value, defaults[name]) for name, value in chosen.items()}


def check(names):
    """Check values by what the names of parameters mean, as the runner does for a series and each notebook
    for itself.

    Args:
        names: dict from name to value, such as a notebook's `globals()`; what is no parameter is passed over.
    Raises:
        ValueError: an impossible value, a folder of photographs that is not there, or a notebook run from
            above its folder.
    """
    _know_where()
    parameters = {name: names[name] for name in (*_LEAST, *_CHOICES, *PATHS) if name in names}
    for name, value in parameters.items():
        for entry in value if isinstance(value, list | tuple) else (value,):
            _check_entry(name, entry)
    _check_together(parameters)
    _check_places(parameters)


def _check_entry(name, entry):
    """Check a value, or an entry of a list, by itself."""
    if name in _LEAST and not entry >= _LEAST[name]:
        raise ParameterError(f"{name}: {entry}; expected at least {_LEAST[name]}")
    if name in _CHOICES and entry not in _CHOICES[name]:
        raise ParameterError(f"{name}: {entry!r}; expected one of {', '.join(_CHOICES[name])}")
    if name == "caption_dropout" and entry > 1:
        raise ParameterError(f"{name}: {entry}; expected a share between 0 and 1")


def _check_together(parameters):
    size, hole = parameters.get("image_size"), parameters.get("hole_size")
    if size and hole and hole > size:
        raise ParameterError(
            f"hole_size: a hole of {hole} x {hole} does not fit into pictures of {size} x {size}"
        )
    if len(parameters.get("hole_at", (0, 0))) != 2:
        raise ParameterError(f"hole_at: {parameters['hole_at']}; expected a row and a column, as (10, 4)")


def _check_places(parameters):
    """Check that what paths and names of data lead to is there."""
    for name, others in PATHS.items():
        if parameters.get(name) == "" and "" not in others:
            raise ParameterError(f"{name}: is empty; expected {', '.join(others)}, or the path of a folder")
    picture = parameters.get("picture")
    if isinstance(picture, str) and picture and not Path(picture).is_file():
        raise ParameterError(f"picture: there is no file {picture!r}; expected the path of a picture")
    if parameters.get("data", "scenes") != "scenes":
        sources.photos_folder(parameters["data"])
    if parameters.get("digit_data", "embedded") != "embedded":
        digits.locate(parameters["digit_data"])


def _know_where():
    """Refuse a notebook that is run from the root of its clone or above, where what is beside its folder is
    outside."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if (
        shell
        and shell.user_ns.get("reports") == "../reports"
        and series.NOTEBOOKS.parent.is_relative_to(Path.cwd())
    ):
        where = (
            "is meant from the folder of the notebooks: run there, as by papermill's --cwd, or set reports"
        )
        raise ParameterError(f"reports: '../reports' {where}")


def _nearest(name, names):
    close = difflib.get_close_matches(name, list(names), 1)
    return (
        f"; did you mean {close[0]!r}?"
        if close
        else f"; it has {', '.join(sorted(names))}"
        if len(names) < 30
        else ""
    )
