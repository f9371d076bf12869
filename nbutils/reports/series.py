"""The series: which notebooks are in it, in which order, and what each says of itself in its metadata.

Under `nbutils` in the metadata of a notebook stand `needs`, the names of the notebooks whose results it reads
or "all others"; `about`, its line in the README; and, where it has them, `telling`, its rank among those that
the README quotes, and `usual_seconds`, what it takes on an ordinary machine by profile.
"""

import json
import re
from pathlib import Path

from .values import ParameterError

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
ALL_OTHERS = "all others"


def in_series():
    """The notebooks of the series in order, dict from name to path.

    What else lies in their folder is none: a notebook without `nbutils.needs` in its metadata, or a copy by
    its name (`-Copy1`, ` copy`). A numbered file that cannot be read is one, and fails when it is run.
    """
    return {
        path.stem: path
        for path in sorted(NOTEBOOKS.glob("*.ipynb"))
        if re.fullmatch(r"\w+", path.stem) and _joins(path)
    }


def _joins(path):
    facts = _metadata(path)
    return path.stem[0].isdigit() if facts is None else "needs" in facts


def _metadata(path):
    """What stands under `nbutils` in the metadata of a notebook; None where the file cannot be read as
    one."""
    try:
        metadata = json.loads(path.read_bytes())["metadata"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    facts = metadata.get("nbutils") if isinstance(metadata, dict) else None
    return facts if isinstance(facts, dict) else {}


def said(path, name, default=None):
    """What a notebook says of itself in its metadata; the default where it does not, or is no notebook."""
    return (_metadata(path) or {}).get(name, default)


def needs(path, values=None):
    """The names of the notebooks whose results a notebook reads; a file that is no notebook needs none, and
    fails when it is run.

    Args:
        path: of the notebook.
        values: its parameters; one whose `checkpoint` is "published" reads the repository's results instead.
    """
    if values and values.get("checkpoint") == "published":
        return []
    found = said(path, "needs", [])
    return [name for name in in_series() if name != path.stem] if found == ALL_OTHERS else found


def others(notebook, reports):
    """The names of all notebooks but one; where the package is installed without the series, those whose
    results are in the folder `reports`."""
    names = in_series() or sorted(path.stem for path in Path(reports).glob("[0-9]*.json"))
    return [name for name in names if name != notebook]


def chosen(names=(), resolved=None):
    """Notebooks by name, what is needed first, otherwise in order of the series; `names` picks some, by name
    or number ("04"), with all that they need.

    Args:
        names: names or numbers; all where there are none.
        resolved: dict from name to parameters, by which a notebook may need less, see `needs`.
    Raises:
        ParameterError: a name that no notebook has, or a notebook that needs one which does not stand before
            it.
    """
    every = dict(sorted(in_series().items(), key=lambda entry: said(entry[1], "needs") == ALL_OTHERS))
    needed = {name: needs(path, (resolved or {}).get(name)) for name, path in every.items()}
    order = list(every)
    for place, name in enumerate(order):
        for need in needed[name]:
            if need not in order[:place]:
                raise ParameterError(
                    f"{name}: needs {need!r}, which is no notebook before it; correct `needs` in its metadata"
                )
    wanted = {found for name in names for found in _matching(name, every)} or set(every)
    while missing := {need for name in wanted for need in needed[name]} - wanted:
        wanted |= missing
    return {name: path for name, path in every.items() if name in wanted}


def _matching(name, every):
    """The notebooks that a name or number means."""
    stem = Path(name).stem
    found = [known for known in every if known == stem or known.split("_")[0] == name]
    if found:
        return found
    others = [path.stem for path in NOTEBOOKS.glob("*.ipynb")]
    why = ""
    if any(stem in (other, other.split("_")[0]) for other in others):
        why = ", a file without nbutils.needs in its metadata, or named as a copy"
    raise ParameterError(f"notebook: {name!r}{why}; expected one of {', '.join(every)}")


def source(path):
    """The notebook in a file; None where the file holds none, which fails when it is run and is no reason not
    to run the others."""
    import nbformat  # here, because kernels read no notebooks

    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except (OSError, ValueError, AttributeError, KeyError, TypeError, nbformat.ValidationError):
        return None
    return notebook
