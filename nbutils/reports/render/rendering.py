"""Executed notebooks to pages that stand alone: no network, maths as MathML, text escaped, an index that
shows what failed."""

import functools
import hashlib
import itertools
import json
import re
from html import escape
from pathlib import Path

import jinja2
import nbformat
from nbconvert.filters.markdown_mistune import MarkdownWithMath
from nbformat.v4 import new_markdown_cell

from ...evidence import ledger, results
from ...files import write_text
from ...training import kept
from .. import publications, series
from . import fonts, index_page, panels, pictures, searching
from .cells import TEMPLATES, LinkError, Renderer, ReportExporter, Terms, arranged

_OF_ALL = ("index.html", "status.html", "search.html")  # of the series as a whole
_SEAL = "\n<!-- digest "  # before a digest that tells a page cut short or altered from a whole one


def title_and_abstract(notebook):
    """The title and the first paragraph of a notebook's first cell, Markdown."""
    title, _, rest = notebook.cells[0].source.partition("\n")
    return title.lstrip("# ").strip(), rest.strip().split("\n\n")[0]


def render(path, before=None, after=None, findings=(), old=""):
    """The page of an executed notebook; `before` and `after` are (file name, title) of its neighbours, or
    None; `findings`, of `results.findings`, stand at its top, beside the figure named "key", and above them
    why it is out of date, if it is `old`.

    Figures and tables are numbered, and links to `#figure-NAME`, `#table-NAME` and `#claim-ID` get the number
    of what has that name.

    Raises:
        LinkError: a link to a figure, table or claim that the page does not have, though the notebook came to
            its end.
    """
    path = Path(path)
    shown = _parts(path.stem, path.parent, path.read_text(encoding="utf-8"), json.dumps(findings))
    return template("notebook_page").render(shown | {"before": before, "after": after, "old": old})


@functools.lru_cache(maxsize=20)  # a page is written when its notebook has ended, and when all have
def _parts(name, folder, text, findings):
    """What the template of a page shows of a notebook in a folder; `text` is the notebook's, `findings`
    JSON."""
    notebook, exporter = pictures.by_frames(nbformat.reads(text, as_version=4)), ReportExporter()
    facts, (title, _) = notebook.metadata.get("nbutils", {}), title_and_abstract(notebook)
    failed, findings = bool(facts.get("error")), json.loads(findings)
    caveats = _caveats(notebook) if findings else []
    line, _, more = notebook.cells[0].source.partition("\n")
    cells = [
        *([new_markdown_cell(text)] for text in (line, more, "\n\n".join(caveats))),
        arranged(notebook.cells[1:], failed),
    ]
    heading, abstract, caveat, body = (
        exporter.from_notebook_node(nbformat.from_dict(notebook | {"cells": part}))[0] for part in cells
    )
    question, end, rest = abstract.partition("</p>")  # the answer stands under it
    abstract = f"{question}{end}{_answer(findings, caveat, body, name)}{rest}"
    body, carried = panels.embedded(body, folder)
    body, numbers = _numbered(body)
    folds = itertools.count(1)  # each has a place, so that a search can lead into it
    body = re.sub('<details class="fold[^"]*"', lambda fold: f'{fold[0]} id="fold-{next(folds)}"', body)
    shown = {"heading": heading, "abstract": abstract, "body": body}
    for part, content in shown.items():  # what scrolls can be reached by keyboard
        shown[part] = _referring(content, numbers, whole=not failed).replace("<pre>", '<pre tabindex="0">')
    return shown | {
        "carried": carried,
        "name": name,
        "title": title,
        "facts": facts,
        "headings": exporter.headings,
    }


def _caveats(notebook):
    """What a notebook says of a run that is too small to decide much, taken out of it: it belongs to the
    answer. List of Markdown."""
    told = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ())[:]:
            text = output.get("data", {}).get("text/markdown", "")
            if publications.TOO_SMALL in text:
                told.append(text)
                cell.outputs.remove(output)
    return told


def _answer(findings, caveat, body, name):
    """What the notebook found, with the `caveat` that it comes from a small run, beside its key figure, which
    the page repeats there; the first three findings, and under them the others folded. Empty without
    findings."""
    if not findings:
        return ""
    items = [_finding(finding, body, name) for finding in findings]
    key = '<div data-shows="figure-key"></div>' if re.search(r'<figure[^>]* data-name="key"', body) else ""
    told = f"<b>The answer</b>{caveat}<ul>{''.join(items[:3])}</ul>"
    if items[3:]:
        others = "".join(items[3:])
        told += f'<details class="fold"><summary>Also found</summary><ul>{others}</ul></details>'
    return f'<section class="answer" aria-label="The answer">{key}<div>{told}</div></section>'


def _finding(finding, body, name):
    """A finding with links to where it is from: its figure, the code that drew it, its number, which is shown
    before one follows."""
    evidence = finding["evidence"]
    kind, _, named = evidence.partition("-")
    tag = "figure" if kind == "figure" else "div"
    shown = re.search(rf'<{tag}[^>]* data-name="{re.escape(named)}"', body)
    if not shown:
        raise LinkError(f"a finding refers to {evidence}, which no figure or table of the page is named")
    code = re.findall(r' id="(code-[^"]*)"', body[: shown.start()])[-1]
    place = escape(f"{finding['number']}: {_in_a_line(finding['value'])} ({name}.json)")
    links = (
        f'<a href="#{evidence}">{evidence}</a>, <a href="#{code}">code</a>, '
        f'<a class="value" href="{name}.json" title="{place}">number</a>'
    )
    return f'<li>{escape(finding["text"])} <span class="evidence">({links})</span></li>'


def _in_a_line(value):
    """A number of the results, or what else a finding calls so."""
    told = f"{value:.6g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
    return told if len(told) < 200 else f"{told[:200]} ..."


def _numbered(page):
    """A page with its figures and tables numbered in their captions, and a dict from what they and claims are
    referred to by to their numbers."""
    numbers, counts = {}, {"figure": 0, "table": 0}

    def number(match):
        kind = "figure" if match["tag"].startswith("<figure") else "table"
        counts[kind] += 1
        text, named = f"{kind.capitalize()} {counts[kind]}", re.search(r'data-name="([^"]*)"', match["tag"])
        anchor = f"{kind}-{named[1]}" if named else f"{kind}-number-{counts[kind]}"
        numbers[anchor] = text
        return f'<span id="{anchor}"></span>{match[0]}<b>{text}.</b> '

    tags = r'(?P<tag><figure[^>]*>|<div [^>]*class="table"[^>]*>).*?(?:<figcaption>|<caption>)'
    page = re.sub(tags, number, page, flags=re.DOTALL)
    claims = re.findall(r'<div class="claim" id="claim-([^"]*)">', page)
    return page, numbers | {f"claim-{claim}": f"claim {claim}" for claim in claims}


def _referring(page, numbers, whole):
    """A page whose references to figures, tables and claims have their numbers; one that is not `whole` may
    lack some."""

    def refer(match):
        if match[1] not in numbers and not whole:
            return match[2]
        if match[1] not in numbers:
            raise LinkError(f"a link to #{match[1]}, which no figure, table or claim of the page is named")
        if match[2].lower() not in ("figure", "table", "claim", match[1]):
            return match[0]  # it has words of its own
        number = numbers[match[1]]
        if match[2][:1].isupper():  # it begins a sentence
            number = number[0].upper() + number[1:]
        return f'<a href="#{match[1]}">{number}</a>'

    return re.sub(r'<a href="#((?:figure|table|claim)-[^"]*)">([^<]*)</a>', refer, page)


def damaged(out, names):
    """Which pages of notebooks run into `out` before, and of their index, are missing or altered."""
    pages = [f"{name}.html" for name in names if (out / f"{name}.ipynb").is_file()]
    return [page for page in (*pages, *_OF_ALL) if pages and not _whole(out / page)]


def series_pages(out, names, outcomes, standing=()):
    """The pages of a series, their index, and a page on how each was run.

    Args:
        out: folder with the executed notebooks and their results.
        names: notebooks in order.
        standing: those whose pages stand in `out` already and stay as they are.
        outcomes: dict from name to a dict with status, seconds, cached, error, and, of what is out of date,
            `old`, which says why.
    Returns:
        pages: dict from file name to text, which ends with its own digest.
        failures: dict from the name of a notebook whose page cannot be rendered to the reason; its page says
            it, and it has failed in the index.
    """
    out, cards = Path(out), _cards(out, {name: outcomes[name] for name in names})
    there = [name for name in names if cards[name]["ended"]]
    pages, failures = {}, {}
    for name in there:
        if name not in standing:
            pages[f"{name}.html"], reason = _between_neighbours(out, name, there, cards)
            failures |= {name: reason} if reason else {}
    for name, card in cards.items():
        card["page"] = f"{name}.html" if name in there else None
        if name in failures:
            card |= {"findings": [], "finished": False}
    outcomes = outcomes | {
        name: outcomes[name] | {"status": "failed", "error": reason} for name, reason in failures.items()
    }
    before = {name: (out / f"{name}.html").read_text(encoding="utf-8") for name in standing}
    written = {name: before.get(name) or pages[f"{name}.html"] for name in there}
    pages |= _index(out, cards, outcomes, written)
    return {page: _sealed(text) for page, text in pages.items()}, failures


def write_page(out, name, outcomes):
    """Write the page of a notebook that has ended, if there is one to be had, while others go on.

    Args:
        out, outcomes: see `series_pages`; those that have not ended have another status.
    Returns:
        why the page cannot be rendered, which it then says; empty where it can.
    """
    cards = _cards(out, outcomes)
    there = [other for other in cards if cards[other]["ended"]]
    text, reason = _between_neighbours(out, name, there, cards) if name in there else (None, "")
    if text:
        write_text(out / f"{name}.html", _sealed(text))
    return reason


def write_index(out, outcomes, run):
    """Write the index while a run goes on, and the page on how each notebook was run.

    Args:
        out, outcomes: see `series_pages`; an outcome of what has not ended has a `note` and no seconds.
        run: dict for the template: `counted`, `stages`, `broken_off`, `now`, `renewed`.
    """
    cards, written = _cards(out, outcomes), {}
    for name, card in cards.items():
        path = out / f"{name}.html"
        card["page"] = path.name if path.is_file() else None
        if card["page"]:
            written[name] = path.read_text(encoding="utf-8", errors="replace")
    for page, text in _index(out, cards, outcomes, written, run).items():
        write_text(out / page, _sealed(text))


def _cards(out, outcomes):
    """What the index shows of each notebook, dict by name; of what has not `ended`, its source."""
    cards = {}
    for name, outcome in outcomes.items():
        executed, source = out / f"{name}.ipynb", series.NOTEBOOKS / f"{name}.ipynb"
        ended = outcome["status"] in ("done", "failed") and executed.is_file()
        notebook = nbformat.read(executed, as_version=4) if ended else series.source(source)
        title, abstract = title_and_abstract(notebook) if notebook and notebook.cells else (name, "")
        found = _findings(out, name) if outcome["status"] == "done" else []  # not an earlier run's
        cards[name] = {
            "name": name,
            "number": name.split("_")[0],
            "ended": ended,
            "finished": ended and outcome["status"] == "done" and not outcome.get("old"),
            "title": title,
            "abstract": _abstract(abstract),
            "findings": found,
            "picture": pictures.picture(pictures.figure(notebook)) if ended else None,
            "evidence": pictures.evidence(notebook, found[0]["evidence"]) if found else None,
            "animations": pictures.animations(pictures.figure(notebook)) if ended else [],
            "facts": notebook.metadata.get("nbutils", {}) if ended else {},
            "old": outcome.get("old", ""),
            "collects": series.said(source, "needs") == series.ALL_OTHERS,
            **{fact: series.said(source, fact) for fact in ("telling", "entrance", "minutes", "plays")},
        }
    return cards


def _abstract(text):
    """An abstract as HTML, without links to places of its own page; one that cannot be rendered as plain
    text, since its page says why."""
    try:
        html = MarkdownWithMath(renderer=Renderer([])).render(text)
        return re.sub(r'<a href="#[^"]*">(.*?)</a>', r"\1", html)
    except ValueError:
        return f"<p>{escape(text)}</p>"


def _between_neighbours(out, name, there, cards):
    """The page of a notebook and the reason why it cannot be rendered, which is then all it says; empty where
    it can."""
    neighbours = [None, *((f"{other}.html", cards[other]["title"]) for other in there), None]
    place = there.index(name)
    before, after = neighbours[place], neighbours[place + 2]
    try:
        return render(out / f"{name}.ipynb", before, after, cards[name]["findings"], cards[name]["old"]), ""
    except OSError:
        raise
    except Exception as error:  # a notebook can hold anything; the pages of the others are made
        reason = f"its page cannot be rendered: {' '.join(str(error).split()) or type(error).__name__}"
        facts = cards[name]["facts"] | {"error": reason}
        shown = {
            "name": name,
            "title": cards[name]["title"],
            "facts": facts,
            "before": before,
            "after": after,
            "headings": (),
        }
        heading = f"<h1>{escape(cards[name]['title'])}</h1>"
        return template("notebook_page").render(
            shown | {"heading": heading, "abstract": "", "body": ""}
        ), reason


def template(name):
    found = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES / "report"), autoescape=True)
    found.filters["spelled"] = index_page.spelled
    return found.get_template(f"{name}.html.j2")


def _index(out, cards, outcomes, written, run=None):
    """The pages on the series as a whole: its index, how each notebook was run, and the search.

    Args:
        written: dict from the name of a notebook to its page, of those that have one.
        run: see `write_index`; None where it has ended.
    """
    terms = Terms()

    def explained(text):
        """Plain text as HTML, the first use of each term of the glossary marked."""
        return terms.explained(escape(text, quote=False))

    shown = {"cards": list(cards.values()), "outcomes": outcomes, "run": run, "explained": explained}
    claims = _ledger(out, cards)
    saved = {name: results.load(out, name) for name in cards if claims and (out / f"{name}.json").is_file()}
    later = ledger.settled_since(claims, saved)
    index = template("index_page").render(shown | index_page.shown(cards, claims) | {"later": later})
    trained = kept.listed(publications.trainings()) if publications.trainings() else []
    of_runs = {"common": index_page.common(cards, outcomes), "trained": trained}
    status = template("status_page").render(shown | of_runs)
    searched = [
        (f"{name}.html", cards[name]["number"], cards[name]["title"], page) for name, page in written.items()
    ]
    verdicts = {claim["id"]: claim["verdict"] for claim in claims}
    texts = searching.index(searched, verdicts)
    search = template("search_page").render(texts=texts)
    return {"index.html": index, "status.html": status, "search.html": search}


def _ledger(out, cards):
    """The claims that the series has settled; none before the notebook that collects them is done."""
    path = out / "claims.json"
    collected = any(
        card["collects"] and card["ended"] and not card["facts"].get("error") for card in cards.values()
    )
    return json.loads(path.read_text(encoding="utf-8")) if collected and path.is_file() else []


def _sealed(text):
    """A page with its typefaces, which ends with its own digest."""
    text = fonts.embedded(text)
    return f"{text}{_SEAL}{_digest(text.encode())} -->\n"


def _whole(path):
    """Whether a page is there and ends with the digest of what stands before."""
    text, _, digest = path.read_bytes().rpartition(_SEAL.encode()) if path.is_file() else (b"", b"", b"")
    return digest == f"{_digest(text)} -->\n".encode()


def _digest(content):
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _findings(out, name):
    return results.findings(results.load(out, name)) if (out / f"{name}.json").is_file() else []
