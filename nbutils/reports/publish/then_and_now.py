"""The page that sets the headlines of each document of 2017 beside ours, row by row, from the ledger and the
results of a publication."""

import json

from ...evidence import ledger, telling
from ...show import figures

PAGE = "2017.md"
CLAIMS = "claims.json"
_POSTS = "https://cooijmanstim.github.io/blog/2017/"
_DOCUMENTS = {  # `source` of a claim: title, address
    "post of 2017-04-02": (
        "Caption-conditional image inpainting using orderless NADE",
        _POSTS + "04/02/caption_conditional_image_inpainting_orderless_nade/",
    ),
    "post of 2017-04-09": ("New inpainting samples", _POSTS + "04/09/shallow-emd/"),
    "post of 2017-04-23": ("Tweaking the generative process", _POSTS + "04/23/tweaking-sampling/"),
    "report on MNIST, 2017": ("Advanced Methods in Machine Learning, Assignment 2", ""),
}
_ARMS = {"published": "its recipe", "chrono": "chrono recipe"}
_OLD = (
    "The ledger of this publication is older than this page: it does not say what each verdict is about. So "
    "the rows give its own words for what was measured, and verdicts as they were given then, by rules some "
    "of which have changed since."
)


def page(files, manifest):
    """The page, Markdown; None of a publication without a ledger.

    Args:
        files: of the publication, dict from name to bytes.
        manifest: what made it: `profile`, `commit`, `date`, and `notebooks`, each with its `commit`.
    """
    if CLAIMS not in files:
        return None
    entries = [entry for entry in json.loads(files[CLAIMS]) if ledger.of_2017(entry["id"])]
    results = {
        name.removesuffix(".json"): json.loads(content)
        for name, content in files.items()
        if name.endswith(".json") and name[0].isdigit()
    }
    later = {entry["id"]: entry for entry in ledger.settled_since(entries, results)}
    commits = len({fact["commit"] for fact in manifest["notebooks"].values()})
    last = (
        f"commit `{manifest['commit']}`"
        if commits == 1
        else f"the last of {commits} commits `{manifest['commit']}`"
    )
    made = f"profile `{manifest['profile']}`, {last}, {manifest['date'][:10]}"
    parts = [
        "# 2017 and now",
        "What the documents of 2017 say, row by row beside what was measured here. Written by `nbutils "
        f"publish` from the published run ({made}); its rules and intervals stand in "
        "[report 15](15_claims.html) and [claims.json](claims.json).",
        _counted(entries),
    ]
    parts += [] if all("standing" in entry for entry in entries) else [_OLD]
    for source, (title, address) in _DOCUMENTS.items():
        own = [entry for entry in entries if entry["source"].removeprefix("source of the ") == source]
        heading = f"[{title}]({address})" if address else title
        parts += [f"## {source[:1].upper()}{source[1:]}: {heading}", _rows_of(own, later)] if own else []
    return "\n\n".join(parts + _of_digits(results)) + "\n"


def _counted(entries):
    """How many claims were decided, and how."""
    count = {verdict: sum(e["verdict"] == verdict for e in entries) for verdict in ledger.VERDICTS}
    told = ", ".join(f"{number} {verdict}" for verdict, number in count.items())
    standing = [e for e in entries if e.get("standing") == ledger.AS_STATED and e["verdict"] != "undecided"]
    as_stated = f" Of the decided ones {len(standing)} were decided as stated." if standing else ""
    return f"{len(entries)} claims: {told}.{as_stated}"


def _table(columns, rows):
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("\n", " ") for cell in line) + " |" for line in lines
    )


def _rows_of(entries, later):
    return _table(["", "2017", "now", "verdict"], [_row(entry, later.get(entry["id"])) for entry in entries])


def _row(entry, later):
    """`later`: what a report that was run after the ledger was collected has settled instead."""
    known = ledger.CLAIMS[entry["id"]]
    said = figures.plain(known.text) + (f" *({figures.plain(known.ours)})*" if known.ours else "")
    if "standing" in entry:
        measured = telling.measured(entry)
        measured += "".join(f" {telling.elsewhere(other)}" for other in entry.get("also", ()))
        verdict = f"**{entry['verdict']}**, {entry['standing']}"
    else:
        what = telling.counted(entry).replace(telling.CHANGED, "")
        measured, verdict = f"{what[:1].upper()}{what[1:]}", f"**{entry['verdict']}**"
    verdict += telling.CHANGED if ledger.superseded(entry) else ""
    where = ""
    if entry["notebook"]:
        number = entry["notebook"].partition("_")[0]
        where = f" [Report {number}]({entry['notebook']}.html#{entry['evidence']})"
    if later:
        place = f"{later['notebook']}.html#claim-{later['id']}"
        newer = f"[report {later['notebook'].partition('_')[0]}]({place})"
        verdict += f"; settled anew in {newer}: **{later['verdict']}**, {later['standing']}"
        verdict += telling.CHANGED if ledger.superseded(later) else ""
    return [entry["id"], said, measured.replace("|", "\\|") + where, verdict]


def _of_digits(results):
    """The tables of the report on MNIST beside ours, from the results of the reports on digits."""
    parts = []
    if table := results.get("10_cells_and_classification", {}).get("table"):
        arms = {
            arm: {row["model"]: row for row in table if row["arm"] == arm} for arm in ("published", "chrono")
        }
        rows = [
            [
                model,
                f"{row['published test accuracy']:.1%}",
                f"{row['test accuracy']:.1%}",
                f"{arms['chrono'][model]['test accuracy']:.1%}",
            ]
            for model, row in arms["published"].items()
        ]
        epochs = results["10_cells_and_classification"].get("epochs", {})
        here = [f"{name}, here{_epochs(epochs.get(arm))}" for arm, name in _ARMS.items()]
        columns = ["test accuracy", "2017, 100 epochs (GRU 3x32: 60)", *here]
        parts += [
            "### Digits named rightly",
            _where("10_cells_and_classification", "table-classifiers", results),
        ]
        parts.append(_table(columns, rows))
    if table := results.get("11_pixel_prediction", {}).get("table"):
        rows = [[row["model"], f"{row['published test']:.4f}", row["test"]] for row in table]
        parts += ["### The next pixel", _where("11_pixel_prediction", "table-prediction", results)]
        here = f"here{_epochs(results['11_pixel_prediction'].get('epochs'))}"
        parts.append(_table(["nats per pixel, test", "2017, 50 epochs", here], rows))
    if table := results.get("12_exact_inpainting", {}).get("table"):
        rows = [[row["hole"], row["of"], f"{row['published mean']:.5f}", row["mean"]] for row in table]
        parts += ["### The exact filling", _where("12_exact_inpainting", "table-costs", results)]
        parts.append(_table(["hole", "mean cost of", "2017, scale not stated", "here, nats per pixel"], rows))
    return parts


def _epochs(count):
    """How long trainings were, for the head of a column; nothing where it is not known."""
    return f", {count:.1f} epochs" if count else ""


def _where(notebook, evidence, results):
    data = results[notebook].get("data")
    on = f" {figures.plain(data)}" if data else ""
    return f"[Report {notebook.partition('_')[0]}]({notebook}.html#{evidence}).{on}"
