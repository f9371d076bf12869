"""The parameters of a notebook: its own defaults, a profile, what the user sets; checked before any work is done."""

import ast
import difflib
import math
import os
from pathlib import Path

import yaml

from ..data import digits
from ..data.sources import photos_folder
from ..devices import PRECISIONS
from ..nade.inpainter import KINDS, MERGERS
from ..nade.losses import LOSSES, WEIGHTINGS
from ..nade.objective import MASKS
from ..training import SCHEDULES

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

# What the parameters mean is the same in every notebook, so what they may be stands here once.
_LEAST = {
    "image_size": 8, "hole_size": 1, "num_train": 1, "num_valid": 1, "seed": 0, "steps": 1, "batch_size": 2, "width": 1, "layers": 1,
    "kernel_size": 1, "reader_size": 2, "reader_kernel": 1, "validate_every": 1, "num_pictures": 1, "num_masks": 2, "gibbs_steps": 1,
    "caption_dropout": 0, "scored_variables": 1, "start_steps": 1, "readout": 0, "learning_rate": 1e-12, "emd_steps": 1, "num_samples": 2, "num_scored": 2,
    "num_orders": 2, "schedule_steps": 1, "num_levels": 2, "num_test": 10, "repeat_size": 2, "repeat_steps": 1, "num_seeds": 1,
    "chrono_learning_rate": 1e-12, "chrono_steps": 1, "chrono_batch_size": 2, "classifier_steps": 1, "lengths": 1, "patch_sizes": 1, "num_searched": 1,
    "num_merges": 0, "merger_planes": 1, "micro_batches": 1, "checkpoint_every": 1,
    "depths": 1, "long_steps": 1, "learning_rates": 1e-12, "train_sizes": 2, "timed_size": 8, "timed_width": 1, "num_rounds": 2, "num_repeats": 1,
    "num_trials": 1, "budget": 1, "max_work": 1, "num_processes": 1,
    "gru_steps": 1, "gru_batch_size": 1, "gru_learning_rate": 1e-12, "num_exact": 2, "num_compared": 2, "num_particles": 1, "patch_size": 1,
}  # fmt: skip
_CHOICES = {
    "kind": KINDS, "merger": MERGERS, "loss": tuple(LOSSES), "weighting": WEIGHTINGS, "mask": MASKS, "schedule": SCHEDULES, "precision": PRECISIONS,
    "checkpoint": ("auto", "trained", "published"),
}  # fmt: skip


_DEPTH = 4  # of a profile: notebooks, their parameters, mappings of lists


class ParameterError(ValueError):
    """A parameter that no notebook has, of the wrong type, or with an impossible value; the message is one line."""


def source(path):
    """The notebook in a file; None where the file holds none, which fails when it is run and is no reason not to run the others."""
    import nbformat  # here, because kernels check parameters and read no notebooks

    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except (OSError, ValueError, AttributeError, KeyError, TypeError, nbformat.ValidationError):
        return None
    return notebook


def declared(path):
    """The parameters of a notebook and their defaults, from its cell tagged `parameters`, which holds plain literals.

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
            raise ParameterError(f"{path}: the parameters cell has {ast.unparse(statement)!r}; expected name = literal") from None
    return defaults


def read_profile(name):
    """A profile: a dict from notebook to parameters. `name` is one of those in notebooks/profiles, or the path of a YAML file.

    Raises:
        ParameterError: no such profile, or not a mapping of mappings.
    """
    path = NOTEBOOKS / "profiles" / f"{name}.yaml"
    path = path if os.path.isfile(path) else Path(name)  # os.path takes any text for a path, also one that cannot be one
    if not os.path.isfile(path):
        known = ", ".join(sorted(p.stem for p in (NOTEBOOKS / "profiles").glob("*.yaml")))
        raise ParameterError(f"profile: {name!r}; expected one of {known}, or the path of a YAML file")
    profile = read_mapping(path)
    whole = all(isinstance(key, str) and isinstance(values, dict | None) for key, values in profile.items())
    if not whole or not all(isinstance(key, str) for values in profile.values() for key in values or ()):
        raise ParameterError(f"{path}: expected a mapping from notebook to a mapping of parameters")
    return {notebook: values or {} for notebook, values in profile.items()}


def read_mapping(path):
    """The mapping that a YAML file holds.

    Raises:
        ParameterError: not YAML, or not a mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ParameterError(f"{path}: not UTF-8 text (byte {error.start} is {error.object[error.start]:#04x}); save it as UTF-8") from None
    mapping = _read_yaml(text, path) or {}
    if not isinstance(mapping, dict):
        raise ParameterError(f"{path}: expected a mapping of parameters by name, found {type(mapping).__name__}")
    return mapping


def parse_settings(settings):
    """`name=value` strings to a dict; values are read as YAML, so `0.1`, `true`, `[1, 2]` and `scenes` mean what they look like.

    Raises:
        ParameterError: no `=`, a name given twice, or a value that is not YAML.
    """
    values = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ParameterError(f"--set {setting}: expected name=value")
        if name in values:
            raise ParameterError(f"--set {name}: given twice")
        values[name] = _read_yaml(value, f"--set {name}")
    return values


def _read_yaml(text, source):
    """What YAML text says with plain scalars, lists and mappings; what could grow without end when it is read or shown is refused beforehand."""
    depth = 0
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise ParameterError(f"{source}: has the alias *{event.anchor}; expected every value written out")
            if getattr(event, "tag", None):
                raise ParameterError(f"{source}: has the tag {event.tag}; expected plain values")
            if depth > _DEPTH:
                raise ParameterError(f"{source}: is nested more than {_DEPTH} deep; expected plain values or lists of them")
        return yaml.safe_load(text)
    except ParameterError:
        raise
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # a date or number that there is not raises the latter
        raise ParameterError(f"{source}: not readable as YAML: {' '.join(str(error).split())}") from None


def resolve(notebooks, profile, settings):
    """All parameters of every notebook of a run.

    Args:
        notebooks: dict from name to path, in the order of the series.
        profile: from `read_profile`.
        settings: from `parse_settings`; each applies to every notebook that declares it, and must apply to one at least.
    Returns:
        dict from notebook name to dict of parameters; a file that holds no notebook is not in it.
    Raises:
        ParameterError: an unknown notebook or name, a wrong type, an impossible value.
    """
    defaults = {name: declared(path) for name, path in notebooks.items() if source(path)}
    every = {path.stem for path in NOTEBOOKS.glob("*.ipynb")} | set(notebooks)
    for notebook in profile:
        if notebook not in every:
            raise ParameterError(f"profile: there is no notebook {notebook!r}{_nearest(notebook, every)}")
    if any("reports" in values for values in (settings, *profile.values())):
        raise ParameterError("reports: is not set as a parameter; name the folder with --out")
    for name in settings:
        if not any(name in values for values in defaults.values()):
            raise ParameterError(f"--set {name}: no notebook of this run has this parameter{_nearest(name, {n for d in defaults.values() for n in d})}")
    resolved = {}
    for notebook, values in defaults.items():
        chosen = profile.get(notebook, {}) | {name: value for name, value in settings.items() if name in values}
        resolved[notebook] = merge(notebook, values, chosen)
    return resolved


def merge(owner, defaults, chosen):
    """Values that replace some of the defaults, checked as `resolve` says; `owner` is the name that messages give."""
    for name in chosen:
        if name not in defaults:
            raise ParameterError(f"{owner} has no parameter {name!r}{_nearest(name, defaults)}")
    values = defaults | {name: _typed(owner, name, value, defaults[name]) for name, value in chosen.items()}
    try:
        check(**values)
    except (ValueError, OSError) as error:
        raise ParameterError(f"{owner}: {error}") from None
    return values


def check(**parameters):
    """Check the values of parameters by what their names mean, as the runner does for a whole series and each notebook for itself.

    Raises:
        ValueError: an impossible value, or a folder of photographs that is not there.
    """
    for name, value in parameters.items():
        for entry in value if isinstance(value, list | tuple) else (value,):
            if name in _LEAST and not entry >= _LEAST[name]:
                raise ParameterError(f"{name}: {entry}; expected at least {_LEAST[name]}")
            if name in _CHOICES and entry not in _CHOICES[name]:
                raise ParameterError(f"{name}: {entry!r}; expected one of {', '.join(_CHOICES[name])}")
    if parameters.get("caption_dropout", 0) > 1:
        raise ParameterError(f"caption_dropout: {parameters['caption_dropout']}; expected a share between 0 and 1")
    size, hole = parameters.get("image_size"), parameters.get("hole_size")
    if size and hole and hole > size:
        raise ParameterError(f"hole_size: a hole of {hole} x {hole} does not fit into pictures of {size} x {size}")
    if (folder := parameters.get("compare_with")) and not list(Path(folder).glob("*.json")):
        raise ParameterError(f"compare_with: {folder!r}; expected the folder of another run, with its results")
    if parameters.get("data", "scenes") != "scenes":
        photos_folder(parameters["data"])
    if parameters.get("digit_data", "embedded") != "embedded":
        digits.locate(parameters["digit_data"])


def _typed(notebook, name, value, default):
    """A value that is like the default of its parameter, an int made a float and a list a tuple where the default is one."""
    if isinstance(default, list | tuple) and isinstance(value, list) and value and default:
        return type(default)(_typed(notebook, name, entry, default[0]) for entry in value)
    if type(value) is int and not abs(value) < 2**63:
        raise ParameterError(f"{notebook}: {name} is a number of {value.bit_length()} bits; expected fewer than 64")
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(default):
        raise ParameterError(f"{notebook}: {name} is {value!r}, {type(value).__name__}; expected {type(default).__name__} such as {default!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ParameterError(f"{notebook}: {name} is {value}; expected a finite number")
    if isinstance(value, str) and not value.isprintable():
        raise ParameterError(f"{notebook}: {name} is {value!r}; expected text without control characters")
    return value


def _nearest(name, names):
    close = difflib.get_close_matches(name, list(names), 1)
    return f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(sorted(names))}" if len(names) < 30 else ""
