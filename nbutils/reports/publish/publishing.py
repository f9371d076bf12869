"""Publishes a finished run: pages, executed notebooks, results and small checkpoints, in a folder that the
repository keeps.

Nothing is run or rendered anew, and pictures change their format alone. Whatever speaks against a run is
found before anything is written.
"""

import json
import re
import tempfile
from pathlib import Path

import nbformat

from ...files import write_text
from ...training import checkpoints
from ...training.kept import halved
from .. import parameters, series
from ..render import rendering
from ..run import execution, records, workers
from ..run.execution import is_commit
from . import front_page, leaks, lighter, placing, then_and_now

LARGEST = 45_000_000  # bytes of the folder
LARGEST_PAGE = 12_000_000
LARGEST_CHECKPOINTS = 20_000_000  # together
_CLAIMS = "claims.json"
_SHOWS = "animations_show"  # of a notebook in the manifest: texts


class PublishError(ValueError):
    """A run that cannot be published; the message is one line that says why and what to do."""


def publish(reports, to, report=print, part=False):
    """Publish the run in the folder `reports` into the folder `to`, and show it in the README beside that
    where it has the markers.

    Args:
        reports: folder of a run of the series.
        to: folder; of what is in it, only what was published before is changed.
        part: the run may lack notebooks; what is published of those stays, beside a new index.
        report: called with a line of text for what was done.
    Raises:
        PublishError, PlaceError, CheckpointError: what speaks against it; nothing has been written.
        OSError: the folder cannot be written, or the disk is full; the same call goes on from there.
    """
    reports, to = Path(reports).resolve(), Path(to).resolve()
    _finished(reports, part)
    with records.alone_in(reports, report):
        outcomes = _finished(reports, part)  # once more, as another run may have gone on meanwhile
        found = {name: nbformat.read(reports / f"{name}.ipynb", as_version=4) for name in outcomes}
        notebooks = {name: lighter.without_warnings(book) for name, book in found.items()}
        _manifest(notebooks)  # which refuses what was made by no commit
        files = _files(reports, notebooks, outcomes)
        executed = dict(notebooks)
        if standing := _standing(to, notebooks):
            files = _beside(standing, reports, to, notebooks, outcomes, files)
            notebooks |= {name: nbformat.reads(files[f"{name}.ipynb"].decode(), 4) for name in standing}
    notebooks = {name: notebooks[name] for name in series.in_series() if name in notebooks}
    manifest = _manifest(notebooks)
    order = front_page.most_telling_first({name: series.in_series()[name] for name in notebooks})
    animated = _animated(order, executed, standing, files)
    for name, texts in animated.items():
        manifest["notebooks"][name][_SHOWS] = texts
    if beside := then_and_now.page(files, manifest):
        files[then_and_now.PAGE] = beside.encode()
    titles = {name: rendering.title_and_abstract(notebook)[0] for name, notebook in notebooks.items()}
    findings = {name: _findings(files, name) for name in order}
    commits = _commits(manifest)
    also = then_and_now.PAGE if beside else ""
    shown = front_page.block(to.name, titles, findings, animated, manifest["profile"], commits, also)
    readme = to.parent / "README.md"
    before = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    try:
        after = front_page.with_block(before, shown)
        table = front_page.table(series.in_series())
        after = front_page.with_block(after, table, front_page.TABLE, front_page.TABLE_END)
    except front_page.FrontPageError as error:
        raise PublishError(f"{readme}: {error}") from None
    _refuse_large(to, files)
    changed = placing.place(to, files, manifest)
    if after != before:
        write_text(readme, after)
    megabytes = sum(map(len, files.values())) / 1e6
    of_models = _size(files, ".safetensors") / 1e6
    told = (
        f"{len(notebooks)} reports, {len(files)} files, {megabytes:.1f} MB (checkpoints {of_models:.1f} MB)"
    )
    report(f"{to}: {told}, {f'{changed} changed' if changed else 'nothing changed'}")
    for name, link in _leading_nowhere(files):
        report(f"{name}: its link to {link} leads nowhere until the report there is published anew")
    if front_page.BEGIN in after:
        report(f"{readme}: the published findings stand there")
    else:
        report(f"{readme}: left as it is, as it has no {front_page.BEGIN}")


def _animated(order, executed, standing, files):
    """What the animations show that the README has, dict from name of a notebook to texts; `files` has their
    GIFs then, and no others.

    Args:
        order: names of notebooks, the most telling first.
        executed: notebooks of the run, with what moves; standing: from `_standing`, of which something moves
            only where the README had it.
    """
    gifs = {name: files.pop(front_page.gif(name), None) for name in standing}
    shown = {}
    for name in order:
        moving = front_page.moving_pictures(executed[name]) if name in executed else None
        if name in standing and gifs[name] and _SHOWS in standing[name]:
            moving = gifs[name], standing[name][_SHOWS]
        if moving:
            files[front_page.gif(name)], shown[name] = moving
        if len(shown) == front_page.MOVING:
            break
    return shown


def _commits(manifest):
    """The commits that made the notebooks of a publication, each once, that of the last run last."""
    by_time = sorted(manifest["notebooks"].values(), key=lambda fact: fact["started"])
    return list(reversed(dict.fromkeys(fact["commit"] for fact in reversed(by_time))))


def compare(to, report=print):
    """Write the page that sets 2017 beside a publication anew, from what stands in its folder.

    Args:
        to: folder of a publication.
    Raises:
        PublishError: nothing with a ledger is published there.
        PlaceError: its manifest, or a file, cannot be read.
    """
    to = Path(to).resolve()
    names = placing.owned(to) - {placing.MANIFEST, then_and_now.PAGE}
    files = {name: (to / name).read_bytes() for name in sorted(names) if (to / name).is_file()}
    if missing := sorted(names - set(files)):
        raise PublishError(f"{to / missing[0]}: is missing; restore it, or publish again")
    if _CLAIMS not in files:
        raise PublishError(f"{to}: has no {_CLAIMS} of a publication; publish a whole run there first")
    manifest = json.loads((to / placing.MANIFEST).read_bytes())
    del manifest["files"]
    files[then_and_now.PAGE] = then_and_now.page(files, manifest).encode()
    changed = placing.place(to, files, manifest)
    report(f"{to / then_and_now.PAGE}: {'written' if changed else 'nothing changed'}")


def _findings(files, name):
    """The findings among the published results of a notebook; none where it has no results."""
    sidecar = files.get(f"{name}.json")
    return json.loads(sidecar).get("findings", []) if sidecar else []


def publish_models(reports, notebook, to, report=print):
    """Publish the models of one notebook of a run, with its results, for notebooks that fill with them
    instead of training; see `publications`.

    Args:
        reports: folder of the run.
        notebook: name of the notebook, whose results name `choices` and `checkpoints`.
        to: folder.
    Raises:
        PublishError, PlaceError, CheckpointError: what speaks against it; nothing has been written.
    """
    reports, to = Path(reports).resolve(), Path(to).resolve()
    with records.alone_in(reports, report):
        _done(reports, notebook)
        _refuse_old(reports, [notebook])
        executed = nbformat.read(reports / f"{notebook}.ipynb", as_version=4)
        manifest = _manifest({notebook: executed})
        sidecar = (reports / f"{notebook}.json").read_bytes()
        if found := leaks.of_machine(sidecar):
            raise PublishError(
                f"{notebook}.json: holds {found!r}, a place or a name of one machine; save what others "
                "can use"
            )
        named = workers.named_checkpoints(reports, sidecar)
        if not named:
            raise PublishError(f"{reports}: {notebook}.json names no checkpoints; publish what has some")
        files = {place: halved(*checkpoints.load(path)) for place, path in sorted(named.items())} | {
            f"{notebook}.json": sidecar
        }
    changed = placing.place(to, files, manifest)
    report(f"{to}: {len(named)} models, {_size(files, '.safetensors') / 1e6:.1f} MB, {changed} files changed")


def _finished(reports, part):
    """What became of the notebooks of the series, or of those that were run, dict from name to dict; all of
    them are done and as they were written."""
    names = list(series.in_series())
    were_run = [name for name in names if (reports / f".{name}.run.json").is_file()]
    if not were_run:
        raise PublishError(
            f"{reports}: is not the folder of a run; give the folder that `nbutils run` wrote to"
        )
    names = were_run if part else names
    outcomes = {name: vars(_done(reports, name)) for name in names}
    _refuse_old(reports, names)
    return outcomes


def _standing(to, notebooks):
    """The notebooks of the series that a run lacks, of which something is published: dict from name to the
    facts of the manifest."""
    published = json.loads((to / placing.MANIFEST).read_bytes())["notebooks"] if placing.owned(to) else {}
    return {name: published[name] for name in series.in_series() if name in set(published) - set(notebooks)}


def _beside(standing, reports, to, notebooks, outcomes, files):
    """The files of a publication in which notebooks of a run stand beside those published before.

    Args:
        standing: from `_standing`; notebooks, outcomes, files: of the run.
    Returns:
        dict from name to bytes.
    """
    names = placing.owned(to) - {placing.MANIFEST}
    before = {name: (to / name).read_bytes() for name in sorted(names) if (to / name).is_file()}
    for name in notebooks:
        sidecar = before.pop(f"{name}.json", b"{}")
        own = f"{name}.html", f"{name}.ipynb", front_page.gif(name), *json.loads(sidecar).get("files", [])
        for gone in (*own, *workers.named_checkpoints(to, sidecar)):
            before.pop(gone, None)
    if missing := sorted(f"{name}.html" for name in standing if f"{name}.html" not in before):
        raise PublishError(f"{to / missing[0]}: is missing; restore it, or publish a whole run")
    kept = before | {name: content for name, content in files.items() if not name.endswith(".html")}
    done = {"status": "done", "error": "", "cached": True, "old": ""}
    outcomes = outcomes | {name: done | {"seconds": facts["seconds"]} for name, facts in standing.items()}
    with tempfile.TemporaryDirectory(prefix="nbutils-") as folder:
        together = Path(folder)
        for name, content in kept.items():
            (together / name).parent.mkdir(parents=True, exist_ok=True)
            (together / name).write_bytes(content)
        for name in notebooks:  # with what moves
            (together / f"{name}.ipynb").write_bytes((reports / f"{name}.ipynb").read_bytes())
        order = [name for name in series.in_series() if name in outcomes]
        pages, failures = rendering.series_pages(together, order, outcomes, standing)
    for name, reason in failures.items():
        raise PublishError(f"{name}: {reason}; correct it and run the notebook again")
    return kept | {name: lighter.pictures(page).encode() for name, page in pages.items()}


def _refuse_old(reports, names):
    """Refuse results that were made from others which have been made anew since."""
    old = records.out_of_date(reports, list(series.in_series()))
    told = [f"{name} is {old[name]}" for name in names if name in old]
    if told:
        raise PublishError(
            f"{reports}: {'; '.join(told)}; run the series again, what is done is not repeated"
        )


def _done(reports, name):
    """The outcome of a notebook that is done and as it was written."""
    try:
        record = records.recorded(reports, name)
    except records.RecordError as error:
        raise PublishError(f"{reports}: {name}: {error}; run it again") from None
    if record is None or record.outcome.status != "done":
        became = f"{record.outcome.status}, {record.outcome.error}" if record else "not run"
        raise PublishError(
            f"{reports}: {name}: {became}; only a run with every notebook done is published: run the "
            "series again, what is done is not repeated"
        )
    return record.outcome


def _manifest(notebooks):
    """What made the reports: profile and other settings, and for each and the last of them commit, versions,
    device and date."""
    facts = {name: notebook.metadata["nbutils"] for name, notebook in notebooks.items()}
    for name, fact in facts.items():
        if not is_commit(fact["commit"]):
            raise PublishError(
                f"{name}: was made by {fact['commit'] or 'no commit'}; commit the changes and run the "
                "series again, which puts the commit on the cards and repeats nothing"
            )
    last = max(facts.values(), key=lambda fact: fact["started"])
    profile, settings = _profile(notebooks)
    each = {
        name: {key: fact[key] for key in ("commit", "started", "seconds", "device", "versions")}
        for name, fact in facts.items()
    }
    return {
        "profile": profile,
        "settings": settings,
        "commit": last["commit"],
        "date": last["started"],
        "versions": last["versions"],
        "notebooks": each,
    }


def _profile(notebooks):
    """The profile that is nearest to the parameters of a run, and for each notebook those that differ from
    it."""
    candidates = []
    for path in sorted((series.NOTEBOOKS / "profiles").glob("*.yaml")):
        profile, differing = parameters.read_profile(path.stem), {}
        for name, notebook in notebooks.items():
            defaults = parameters.literals(notebook, name)
            set_there = {key: value for key, value in profile.get(name, {}).items() if key in defaults}
            usual = _plain(defaults | parameters.as_typed(name, defaults, set_there))
            own = {
                key: value
                for key, value in _plain(notebook.metadata["nbutils"]["parameters"]).items()
                if value != usual.get(key)
            }
            differing |= {name: own} if own else {}
        candidates.append((sum(map(len, differing.values())), path.stem, differing))
    _, nearest, differing = min(candidates, key=lambda candidate: candidate[:2])
    return nearest, differing


def _plain(values):
    """Parameters as JSON has them, with no difference between tuple and list."""
    return json.loads(json.dumps(values))


def _files(reports, notebooks, outcomes):
    """Everything that is published of a run, in the order in which it is put in place: dict from name to
    bytes."""
    pages = _pages(reports, outcomes)
    kept = [f"{name}{suffix}" for name in notebooks for suffix in (".ipynb", ".json")] + [_CLAIMS]
    texts = {name: (reports / name).read_bytes() for name in kept if (reports / name).is_file()}
    texts |= {f"{name}.ipynb": nbformat.writes(notebook).encode() for name, notebook in notebooks.items()}
    _refuse_leaks(reports, texts, notebooks)
    named = {}
    for name in notebooks:
        if f"{name}.json" in texts:
            named |= workers.named_checkpoints(reports, texts[f"{name}.json"])
    if odd := [place for place in named if not placing.is_plain(place)]:
        raise PublishError(
            f"{reports}: results name the checkpoint {odd[0]!r}; expected a path from that folder, as "
            "os.path.relpath gives"
        )
    files = {place: halved(*checkpoints.load(path)) for place, path in sorted(named.items())}
    for name in notebooks:
        if f"{name}.json" in texts:
            files |= execution.declared_files(reports, texts[f"{name}.json"])
    for name, notebook in notebooks.items():
        light = nbformat.writes(lighter.without_motion(notebook, f"{name}.html"))
        texts[f"{name}.ipynb"] = (lighter.pictures(light) + "\n").encode()
    return files | texts | {name: lighter.pictures(page).encode() for name, page in pages.items()}


def _refuse_leaks(reports, texts, notebooks):
    """Refuse files that tell of the machine; a word that stands in a notebook's source is none of its."""
    cells = [cell for notebook in notebooks.values() for cell in notebook.cells]
    own = [cell for cell in cells if "injected-parameters" not in cell.metadata.get("tags", ())]
    words = "\n".join(cell.source for cell in own)
    for name, content in texts.items():
        try:
            found = leaks.of_machine(content, words)
        except ValueError as error:
            raise PublishError(
                f"{reports / name}: is not JSON ({error}); run the notebook that writes it again"
            ) from None
        if found:
            advice = "save what others can use"
            if name.endswith(".ipynb"):
                advice = "give data by name and NBUTILS_DATA, and folders within the repository"
            raise PublishError(
                f"{name}: holds {found!r}, a place or a name of one machine; {advice}, and run the "
                "notebook again"
            )


def _pages(reports, outcomes):
    """The pages of a run, which stand there as these notebooks and results are rendered: dict from name to
    text."""
    pages, failures = rendering.series_pages(reports, list(outcomes), outcomes)
    for name, reason in failures.items():
        raise PublishError(f"{name}: {reason}; correct it and run the notebook again")
    for name, page in pages.items():
        if not (reports / name).is_file() or (reports / name).read_bytes() != page.encode():
            raise PublishError(
                f"{reports / name}: is missing, or not what this version makes of its notebook; "
                "`nbutils run` with the same arguments makes pages again"
            )
    return pages


def _size(files, suffix):
    return sum(len(content) for name, content in files.items() if name.endswith(suffix))


def _leading_nowhere(files):
    """Links from one page to a place that is not on another, pairs of a page and where it points: a page that
    was published before may lack what a later one speaks of."""
    pages = {name: content.decode() for name, content in files.items() if name.endswith(".html")}
    places = {name: set(re.findall(r'\bid="([^"]+)"', page)) for name, page in pages.items()}
    links = [
        (name, target, place)
        for name, page in pages.items()
        for target, place in sorted(set(re.findall(r'href="([^":#]+\.html)#([^"]+)"', page)))
    ]
    return [
        (name, f"{target}#{place}")
        for name, target, place in links
        if target in pages and place not in places[target]
    ]


def _refuse_large(to, files):
    """Refuse what is more than a repository should carry."""
    for name, content in files.items():
        if name.endswith(".html") and len(content) > LARGEST_PAGE:
            raise PublishError(
                f"{name}: has {len(content) / 1e6:.1f} MB, and a page may have "
                f"{LARGEST_PAGE / 1e6:.0f}; show fewer or smaller pictures"
            )
    if (size := _size(files, ".safetensors")) > LARGEST_CHECKPOINTS:
        raise PublishError(
            f"checkpoints: have {size / 1e6:.1f} MB in half precision, and may have "
            f"{LARGEST_CHECKPOINTS / 1e6:.0f}; train smaller models, or name fewer of them in the "
            "results"
        )
    beside = placing.others(to) if to.is_dir() else []
    of_others = sum(path.stat().st_size for path in beside)
    total = sum(map(len, files.values())) + of_others
    if total > LARGEST:
        raise PublishError(
            f"{to}: would have {total / 1e6:.1f} MB, and may have {LARGEST / 1e6:.0f}, of which "
            f"others' files take {of_others / 1e6:.1f}; show less or smaller"
        )
