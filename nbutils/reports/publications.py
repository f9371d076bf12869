"""Results and models that stand in the repository, for whoever has trained none: the published run, and the
models that `quick` fills with."""

import json
import shutil
from pathlib import Path

from ..evidence import ledger, results, telling
from ..files import written_whole
from ..show import figures
from ..training import checkpoints
from . import series

MANIFEST = "published.json"
TOO_SMALL = "**This run is too small to decide much here.**"  # a page puts it into its answer


def folder():
    """The folder of the published run in the clone that this package is used from.

    Raises:
        FileNotFoundError: nothing is published there, or this is no clone; the message says what to do.
    """
    repository = series.NOTEBOOKS.parent
    if not series.NOTEBOOKS.is_dir():
        raise FileNotFoundError(
            "nbutils is installed without its repository, where the published models are; clone it and "
            "run there, or train with checkpoint = 'trained'"
        )
    if not (repository / "docs" / MANIFEST).is_file():
        raise FileNotFoundError(
            f"{repository / 'docs'}: nothing is published there yet; `nbutils publish` does it with a "
            "finished run, or train with checkpoint = 'trained'"
        )
    return repository / "docs"


def trainings():
    """The folder of the trainings that are kept in the clone that this package is used from, for `Job.fit`,
    which takes those that are the job in hand; None where it is no clone."""
    return series.NOTEBOOKS.parent / "docs" / "trained" if series.NOTEBOOKS.is_dir() else None


def told(paths):
    """A sentence on those among finished trainings that were made beforehand, Markdown; "" where none was.

    Args:
        paths: dict from a name to the path of a checkpoint.
    """
    by_origin = {}
    for name, path in paths.items():
        found = checkpoints.description(path)
        if "trained_in" in found:
            hours = found["progress"]["seconds"] / 3600
            length = f"{hours:.1f} hours" if hours >= 0.1 else f"{60 * hours:.0f} minutes"
            by_origin.setdefault((found["processor"], found["commit"]), []).append(
                f"{name} ({found['progress']['step']:,} steps, {length})"
            )
    where = [
        f"{', '.join(names)} on {processor} at commit `{commit}`"
        for (processor, commit), names in by_origin.items()
    ]
    return f"**Trained beforehand**, weights kept in half precision: {'; '.join(where)}." if where else ""


def place(reports, checkpoint, *notebooks):
    """The folder that has the results and models of some notebooks.

    Args:
        reports: folder of this run's reports.
        checkpoint: "trained": that folder; "published": that of the published run; "auto": that folder where
            all of the notebooks have been run there, otherwise the published run's.
    Raises:
        FileNotFoundError: as `folder`.
    """
    here = all((Path(reports) / f"{name}.json").is_file() for name in notebooks)
    return Path(reports) if checkpoint == "trained" or (checkpoint == "auto" and here) else folder()


def checkpoint(notebook, model=None):
    """Path of a checkpoint of the published run.

    Args:
        notebook: name of the notebook that trained it.
        model: which of its `checkpoints`; None for that of a notebook with one `checkpoint`.
    Raises:
        FileNotFoundError: as `folder`.
        ValueError: the notebook has no such model.
    """
    saved = results.load(folder(), notebook)
    known = saved.get("checkpoints", {}) if model else saved
    name = model or "checkpoint"
    if name not in known:
        has = ", ".join(saved.get("checkpoints", ())) or "one checkpoint, without a name"
        raise ValueError(f"model: {name!r}; expected what {notebook} has published: {has}")
    return folder() / known[name]


def fitting(notebook, **choices):
    """The folder and the results of the published models of a notebook that were trained with these
    `choices`.

    Returns:
        (folder, results), or None where there are none.
    """
    for place, saved in _of(notebook):
        if choices.items() <= saved["choices"].items():
            return place, saved
    return None


def of_photographs():
    """A kept model of photographs, as large as those that report 17 was published with, and that report's
    `choices`: (path, dict); None where there is none."""
    of_reports = {
        saved["choices"]["image_size"]: saved["choices"]
        for _, saved in _of("17_gallery")
        if saved["choices"]["data"] != "scenes"
    }
    for path in sorted(trainings().glob("*.safetensors")) if of_reports else ():
        about = checkpoints.description(path)
        # drawn pictures and digits are trained on without augmentation
        if about.get("augmentation") and about["config"]["image_size"] in of_reports:
            return path, of_reports[about["config"]["image_size"]]
    return None


def take(reports, notebook, **choices):
    """Copy the published models of a notebook that were trained with these `choices` into a folder of
    reports, as if trained there.

    Returns:
        dict from name of a model to the path of its checkpoint in `reports`.
    Raises:
        ValueError: there are none; the message says which there are.
    """
    found = fitting(notebook, **choices)
    if not found:
        there = [
            ", ".join(f"{name} = {saved['choices'][name]!r}" for name in choices)
            for _, saved in _of(notebook)
        ]
        wanted = ", ".join(f"{name} = {value!r}" for name, value in choices.items())
        raise ValueError(
            f"checkpoint: no models are published for {wanted}; there are some for "
            f"{' and for '.join(there) or 'nothing'}; "
            "take those values, or train with checkpoint = 'trained'"
        )
    source, saved = found
    for place in saved["checkpoints"].values():
        with written_whole(Path(reports) / place) as beside:
            shutil.copyfile(source / place, beside)
    return {name: Path(reports) / place for name, place in saved["checkpoints"].items()}


def quote(reports, notebook, **sizes):
    """Show what the published run found in a notebook, where that run was larger than this one.

    Args:
        reports: folder of this run's reports.
        sizes: parameters of the notebook, and what they are in this run; one that is larger in the published
            run is enough.
    """
    place = series.NOTEBOOKS.parent / "docs"
    if not (place / f"{notebook}.json").is_file():
        return
    facts = json.loads((place / f"{notebook}.ipynb").read_text(encoding="utf-8"))["metadata"]["nbutils"]
    if any(facts["parameters"].get(name, value) > value for name, value in sizes.items()):
        profile = json.loads((place / MANIFEST).read_text(encoding="utf-8"))["profile"]
        found = results.load(place, notebook)["findings"]
        said = "\n".join(
            f"> - {figures.plain(entry['text'])} ({link(reports, notebook, entry['evidence'])})"
            for entry in found
        )
        figures.say(f"> {TOO_SMALL} The published one, profile `{profile}`, found:\n>\n{said}")


def quote_verdicts(reports, entries):
    """Show the verdicts of the published run on claims that this one leaves undecided.

    Args:
        reports: folder of this run's reports.
        entries: of this run, from `ledger.collect`.
    """
    place = series.NOTEBOOKS.parent / "docs" / "claims.json"
    before = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else []
    open_here = {entry["id"] for entry in entries if entry["verdict"] == "undecided"}
    decided = [entry for entry in before if entry["id"] in open_here and entry["verdict"] != "undecided"]
    if decided:
        said = ", ".join(
            f"{entry['id']} *{entry['verdict']}*{telling.CHANGED * ledger.superseded(entry)} "
            f"({link(reports, entry['notebook'], entry['evidence'])})"
            for entry in decided
        )
        figures.say(f"Of what stays undecided here, the published run decided {len(decided)}.")
        figures.say(f"{said}.", fold="How the published run decided")


def link(reports, notebook, evidence):
    """A Markdown link from a page in `reports` to a figure or table of a published report; where no link can
    lead there, its name."""
    docs, text = series.NOTEBOOKS.parent / "docs", f"published report {notebook.split('_')[0]}"
    beside = Path(reports).resolve().parent == docs.parent.resolve()
    return f"[{text}](../docs/{notebook}.html#{evidence})" if beside else text


def digests():
    """What tells these publications and kept trainings from others, for what depends on them."""
    docs, *others = _folders()
    paths = [*(place / MANIFEST for place in (docs, *others)), *sorted(docs.glob("trained/*.json"))]
    return [path.read_text(encoding="utf-8") for path in paths if path.is_file()]


def _folders():
    docs = series.NOTEBOOKS.parent / "docs"
    return [docs, *sorted(path.parent for path in docs.glob(f"*/{MANIFEST}"))]


def _of(notebook):
    return [
        (place, results.load(place, notebook))
        for place in _folders()
        if (place / f"{notebook}.json").is_file()
    ]
