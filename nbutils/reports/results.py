"""What a notebook found, as JSON beside its page, for other notebooks, the index and anyone's program."""

import json
from pathlib import Path

from ..files import write_json


def save(reports, notebook, numbers, findings):
    """Write `<reports>/<notebook>.json`.

    Args:
        reports: folder.
        notebook: name of the notebook, without suffix.
        numbers: dict that JSON can hold, finite numbers only.
        findings: list of sentences for the index, made from those numbers.
    Raises:
        ValueError: a number is NaN or infinite.
    """
    write_json(Path(reports) / f"{notebook}.json", {"findings": findings, **numbers})


def load(reports, notebook):
    """What another notebook saved.

    Raises:
        FileNotFoundError: it has not been run; the message says how.
    """
    path = Path(reports) / f"{notebook}.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no results; run `nbutils run {notebook.split('_')[0]}` first")
    return json.loads(path.read_text(encoding="utf-8"))
