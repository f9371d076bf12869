"""Jobs as users write them, in a YAML file and as NAME=VALUE: read by the type of each value."""

import os
from dataclasses import fields
from pathlib import Path
from types import NoneType
from typing import get_args

from .data import digits, sources
from .reports import parameters
from .training.digit_data import DigitData
from .training.job import SECTIONS, usual
from .training.search import SEARCHED, divided


def read(path, settings):
    """The Job of a YAML file, or None for the usual one, with settings that replace some of it.

    Args:
        path: of a mapping: `job`, the kind (see `job.usual`); names of values; or `data`, `model`, `task` and
            `settings`, each a mapping of names.
        settings: list of NAME=VALUE; a NAME may be `part.name`.
    Raises:
        ParameterError, ValueError: an unknown name, a wrong type, an impossible value.
    """
    written = _flat(parameters.read_mapping(path)) if path else {}
    job = usual(written.pop("job", "inpainter"))
    if path:
        job = job.vary(**_typed(job, written, Path(path).parent))
    return job.vary(**_typed(job, parameters.parse_settings(settings), os.getcwd()))


def read_search(settings):
    """The Job of a search and its ranges: of NAME=VALUE those whose value is a list are ranges."""
    job, given = usual(), parameters.parse_settings(settings)
    ranged = [name for name in SEARCHED if given.get(name, "").startswith("[")]
    ranges, fixed = divided(_typed(job, given, os.getcwd(), ranged))
    return job.vary(**fixed), ranges


def _flat(mapping):
    """Nested mappings as one by `part.name`."""
    found = {}
    for name, value in mapping.items():
        if name in SECTIONS and isinstance(value, dict):
            found |= {f"{name}.{entry}": inner for entry, inner in value.items()}
        else:
            found[name] = value
    return found


def _typed(job, texts, folder, ranged=()):
    """What texts say, each by the type of what it replaces; paths are meant from `folder`."""
    samples = {name: 1 if value is None else value for name, value in _usually(job).items()}
    samples |= {"begin_with": "", **{name: [samples[name]] for name in ranged}}
    optional = _optional(job)
    nothing = {name for name, text in texts.items() if name in optional and text in ("null", "None")}
    said = {name: text for name, text in texts.items() if name not in nothing}
    values = parameters.as_typed("job", samples, said)
    names = digits.SOURCES if isinstance(job.data, DigitData) else sources.SOURCES
    for name in {"data", "source", "data.source", "begin_with"} & values.keys():
        if values[name] not in names:
            values[name] = os.path.abspath(os.path.join(folder, os.path.expanduser(values[name])))
    return values | dict.fromkeys(nothing)


def _usually(job):
    """The value of every name that a job can be given."""
    found = {name: list(value) if isinstance(value, tuple) else value for name, value in job.values().items()}
    found |= {name.split(".")[-1]: value for name, value in reversed(found.items())}
    if "merge_layers" in found:
        found["num_merges"] = len(found["merge_layers"])
    return found | {"data": job.data.source}


def _optional(job):
    """The names of values that may be None."""
    return {"begin_with"} | {
        name
        for section in SECTIONS
        for entry in fields(getattr(job, section))
        if NoneType in get_args(entry.type)
        for name in (entry.name, f"{section}.{entry.name}")
    }
