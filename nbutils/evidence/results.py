"""What a notebook found, as JSON beside its page, for other notebooks, the index and anyone's program."""

import json
import os
import sys
from pathlib import Path

from ..files import write_json

RUNNING = "NBUTILS_NOTEBOOK"  # variable that names the notebook which the runner runs


def finding(text, evidence, number):
    """A sentence of what a notebook found, for its page and the index.

    Args:
        text: a sentence made from numbers that the notebook saves.
        evidence: name of the figure or table that shows it: "figure-NAME" or "table-NAME".
        number: where among the saved numbers the one behind it stands, names joined by slashes.
    """
    return {"text": text, "evidence": evidence, "number": number}


def save(reports, notebook, numbers, findings, ledger=None, files=()):
    """Write `<reports>/<notebook>.json`; in a copy of the notebook, where that is known, under the name of
    the copy.

    Args:
        reports: folder.
        notebook: name of the notebook, without suffix.
        numbers: dict that JSON can hold, finite numbers only.
        findings: list from `finding`, for the page and the index.
        ledger: ledger.Ledger of the claims that the notebook settled.
        files: names of the files that the notebook has written beside it, which go wherever its results go.
    Raises:
        KeyError: a finding names a number that is not there.
        ValueError: a number is NaN or infinite; a claim was stated and not settled; a file is not there, or
            not beside the results.
    """
    for entry in findings:
        _at(numbers, entry["number"])
    if ledger:
        open_claims = set(ledger.rules) - {entry["id"] for entry in ledger.entries}
        if open_claims:
            raise ValueError(f"ledger: stated and not settled: {', '.join(sorted(open_claims))}")
        numbers = numbers | {"claims": ledger.entries}
    for name in files:
        if Path(name).name != name or not (Path(reports) / name).is_file():
            raise ValueError(f"files: {name!r}; expected the name of a file that is in {reports}")
    declared = {"files": list(files)} if files else {}
    write_json(
        Path(reports) / f"{_running() or notebook}.json", {"findings": findings, **numbers, **declared}
    )


def _running():
    """The name of the notebook that runs, from the runner, JupyterLab, VS Code, or the command that started
    this kernel (papermill or nbconvert, with one notebook); None where nobody says."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    said = os.environ.get(RUNNING) or os.environ.get("JPY_SESSION_NAME")
    if shell and not said:
        said = shell.user_ns.get("__vsc_ipynb_file__") or _commanded()
    return Path(said or "").name.removesuffix(".ipynb") or None


def _commanded():
    """The notebook that the command line of the parent process names; None where it names none or, to
    anybody but papermill, several."""
    import psutil  # here, as it comes with kernels, and nobody else asks

    try:
        command = psutil.Process().parent().cmdline()
    except (psutil.Error, AttributeError):  # it is gone, or somebody else's
        return None
    named = [part for part in command if part.endswith(".ipynb")]
    to_another = any("papermill" in Path(part).name for part in command[:3])
    return named[0] if len(named) == 1 or (named and to_another) else None


def _at(numbers, place):
    for name in place.split("/"):
        try:
            numbers = numbers[int(name)] if isinstance(numbers, list | tuple) else numbers[name]
        except (KeyError, IndexError, TypeError, ValueError):
            raise KeyError(
                f"number: {place!r} is not among the saved numbers; there is no {name!r}"
            ) from None
    return numbers


def findings(saved):
    """The findings of what `load` gives, each with the `value` that its number has."""
    return [entry | {"value": _at(saved, entry["number"])} for entry in saved.get("findings", ())]


def load(reports, notebook):
    """What another notebook saved.

    Raises:
        FileNotFoundError: it has not been run; the message says how.
    """
    path = Path(reports) / f"{notebook}.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no results; run `nbutils run {notebook.split('_')[0]}` first")
    return json.loads(path.read_text(encoding="utf-8"))
