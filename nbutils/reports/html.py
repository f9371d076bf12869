"""Executed notebooks to pages that stand alone: no network, maths as MathML, text escaped, an index that shows what failed."""

import functools
import hashlib
import json
import re
from html import escape
from pathlib import Path

import jinja2
import latex2mathml.converter
import nbformat
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

from ..files import write_text
from . import parameters

_TEMPLATES = Path(__file__).parent / "template"
_STEPS = "<!-- steps -->"
_SEAL = "\n<!-- digest "  # before a digest that tells a page cut short or altered from a whole one


class FormulaError(ValueError):
    """A formula that MathML cannot be made of; the message shows it."""


class LinkError(ValueError):
    """A reference to a figure or table that the page does not have; the message names it."""


def mathml(formula, display="inline"):
    """A TeX formula as MathML.

    Raises:
        FormulaError: something of it was left unconverted.
    """
    result = latex2mathml.converter.convert(formula, display=display).replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")
    text = re.sub(r"<[^>]*>", "", result)
    if "\\" in text or "$" in text:
        raise FormulaError(f"formula: {formula!r} was left partly unconverted: {text!r}")
    return result


class _Renderer(IPythonRenderer):
    """Markdown of a cell: raw HTML escaped, formulas as MathML, headings numbered apart and kept for the table of contents."""

    def __init__(self, headings):
        super().__init__(escape=True)
        self.headings = headings

    def heading(self, text, level, **attributes):
        plain = re.sub(r"<[^>]*>", "", text)
        name = slug = re.sub(r"[^\w]+", "-", plain.lower()).strip("-") or "section"
        taken = {anchor for _, anchor, _ in self.headings}
        number = 2
        while name in taken:
            name, number = f"{slug}-{number}", number + 1
        self.headings.append((level, name, plain))
        link = "" if level == 1 else f' <a class="anchor" href="#{name}" aria-label="Link to section: {plain}">#</a>'
        return f'<h{level} id="{name}">{text}{link}</h{level}>\n'

    def block_math(self, body):
        return f'<div class="formula" tabindex="0" role="region" aria-label="formula">{mathml(body.strip(), "block")}</div>'

    def inline_math(self, body):
        return mathml(body.strip())

    def latex_environment(self, name, body):
        return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")


class ReportExporter(HTMLExporter):
    """nbconvert's HTML exporter with the template of this project."""

    def __init__(self, **options):
        super().__init__(extra_template_basedirs=[str(_TEMPLATES)], template_name="report", **options)
        self.register_preprocessor(CoalesceStreamsPreprocessor, enabled=True)
        self.headings = []

    @jinja2.pass_context
    def markdown2html(self, context, source):
        return MarkdownWithMath(renderer=_Renderer(self.headings)).render(source)

    def default_filters(self):
        yield from super().default_filters()
        yield "markdown2html", self.markdown2html
        yield "last_lines", last_lines


def last_lines(text):
    """What a terminal would show: of a line that was rewritten with carriage returns, its last state."""
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))


def _style():
    return (_TEMPLATES / "report" / "style.css").read_text(encoding="utf-8")


def title_and_abstract(notebook):
    """The title and the first paragraph of a notebook's first cell, Markdown."""
    title, _, rest = notebook.cells[0].source.partition("\n")
    return title.lstrip("# ").strip(), rest.strip().split("\n\n")[0]


def render(path, before=None, after=None, findings=()):
    """The page of an executed notebook; `before` and `after` are (file name, title) of its neighbours, or None; `findings` stand at its top.

    Figures and tables are numbered, and links to `#figure-NAME` and `#table-NAME` get the number of what has that name.

    Raises:
        LinkError: a link to a figure or table that the page does not have, though the notebook came to its end.
    """
    page = _page(Path(path).name, Path(path).read_text(encoding="utf-8"), json.dumps(findings))
    head, _, foot = page.rpartition(_STEPS)
    steps = ["<span></span>", ""]  # which keeps the next one on the right
    if before:
        steps[0] = f'<a rel="prev" href="{escape(before[0])}">&larr; {escape(before[1])}</a>'
    if after:
        steps[1] = f'<a rel="next" href="{escape(after[0])}">{escape(after[1])} &rarr;</a>'
    return head + "".join(steps) + foot


@functools.lru_cache(maxsize=20)  # a page is written when its notebook has ended, and when all have
def _page(file, text, findings):
    """What `render` gives, with `_STEPS` for the neighbours; `text` is the notebook's, `findings` JSON."""
    notebook, findings = nbformat.reads(text, as_version=4), json.loads(findings)
    exporter = ReportExporter()
    title, _ = title_and_abstract(notebook)
    facts = notebook.metadata.get("nbutils", {})
    resources = {"nbutils": {"title": title, "file": file, "facts": facts, "style": _style()}}
    page, _ = exporter.from_notebook_node(notebook, resources=resources)
    contents = "".join(f'<li class="level-{level}"><a href="#{anchor}">{text}</a></li>' for level, anchor, text in exporter.headings if level > 1)
    body, card, rest = re.split("<!-- run card -->|<!-- end -->", page)  # the card goes under the title, which is in the first cell
    body = body.replace("<!-- contents -->", contents).replace("</h1>", f"</h1>{card}", 1)  # headings are known once the cells are rendered
    body = _with_findings(body, findings, Path(file).stem)
    return _numbered(body + rest, whole=not facts.get("error")).replace("<pre>", '<pre tabindex="0">')  # what scrolls can be reached by keyboard


def _with_findings(body, findings, name):
    """The findings after the first cell, which holds title and abstract, each with links to its figure, the code that drew it, and its number."""
    if not findings:
        return body
    items = []
    for finding in findings:
        kind, _, named = finding["evidence"].partition("-")
        shown = re.search(rf'<{"figure" if kind == "figure" else "div"}[^>]* data-name="{re.escape(named)}"', body)
        if not shown:
            raise LinkError(f"a finding refers to {finding['evidence']}, which no figure or table of the page is named")
        code = re.findall(r'<details class="code" id="([^"]*)"', body[: shown.start()])[-1]
        number = f'<a href="{name}.json">its number</a> <code>{escape(finding["number"])}</code>'
        links = f'<a href="#{finding["evidence"]}">{finding["evidence"]}</a>, <a href="#{code}">its code</a>, {number}'
        items.append(f'<li>{escape(finding["text"])} <span class="evidence">({links})</span></li>')
    section = f'<section class="found" aria-label="Findings"><b>Found in this run</b><ul>{"".join(items)}</ul></section>'
    return body.replace('<details class="code"', f'{section}<details class="code"', 1)


def _numbered(page, whole):
    """Number figures and tables in their captions, and what refers to them; a page that is not `whole` may lack some."""
    numbers, counts = {}, {"figure": 0, "table": 0}

    def number(match):
        kind = "figure" if match["tag"].startswith("<figure") else "table"
        counts[kind] += 1
        text, named = f"{kind.capitalize()} {counts[kind]}", re.search(r'data-name="([^"]*)"', match["tag"])
        anchor = f"{kind}-{named[1]}" if named else f"{kind}-number-{counts[kind]}"
        numbers[anchor] = text
        return f'<span id="{anchor}"></span>{match[0]}<b>{text}.</b> '

    def refer(match):
        if match[1] not in numbers and not whole:
            return match[2]
        if match[1] not in numbers:
            raise LinkError(f"a link to #{match[1]}, which no figure or table of the page is named")
        return f'<a href="#{match[1]}">{numbers[match[1]]}</a>'

    page = re.sub(r'(?P<tag><figure[^>]*>|<div [^>]*class="table"[^>]*>).*?(?:<figcaption>|<caption>)', number, page, flags=re.DOTALL)
    return re.sub(r'<a href="#((?:figure|table)-[^"]*)">([^<]*)</a>', refer, page)


def damaged(out, names):
    """Which pages of notebooks run into `out` before, and of their index, are missing or altered."""
    pages = [f"{name}.html" for name in names if (out / f"{name}.ipynb").is_file()]
    return [page for page in (*pages, "index.html", "status.html") if pages and not _whole(out / page)]


def series_pages(out, names, outcomes):
    """The pages of a series, their index, and a page on how each was run.

    Args:
        out: folder with the executed notebooks and their results.
        names: notebooks in order.
        outcomes: dict from name to a dict with status, seconds, cached, error.
    Returns:
        dict from file name to text, which ends with its own digest.
    """
    out, cards = Path(out), _cards(out, {name: outcomes[name] for name in names})
    there = [name for name in names if cards[name]["ended"]]
    pages = {f"{name}.html": _between_neighbours(out, name, there, cards) for name in there}
    for card in cards.values():
        card["page"] = f"{card['name']}.html" if card["name"] in there else None
    return {page: _sealed(text) for page, text in (pages | _index(cards, outcomes)).items()}


def write_page(out, name, outcomes):
    """Write the page of a notebook that has ended, if there is one to be had, while others go on.

    Args:
        out, outcomes: see `series_pages`; those that have not ended have another status.
    Raises:
        LinkError, FormulaError: as `render` and `mathml`.
    """
    cards = _cards(out, outcomes)
    there = [other for other in cards if cards[other]["ended"]]
    if name in there:
        write_text(out / f"{name}.html", _sealed(_between_neighbours(out, name, there, cards)))


def write_index(out, outcomes, run):
    """Write the index while a run goes on, and the page on how each notebook was run.

    Args:
        out, outcomes: see `series_pages`; an outcome of what has not ended has a `note` and no seconds.
        run: dict for the template: `counted`, `stages`, `broken_off`, `now`, `renewed`.
    """
    cards = _cards(out, outcomes)
    for name, card in cards.items():
        card["page"] = f"{name}.html" if (out / f"{name}.html").is_file() else None
    for page, text in _index(cards, outcomes, run).items():
        write_text(out / page, _sealed(text))


def _cards(out, outcomes):
    """What the index shows of each notebook, dict by name; of what has not `ended`, its source."""
    cards = {}
    for name, outcome in outcomes.items():
        executed, source = out / f"{name}.ipynb", parameters.NOTEBOOKS / f"{name}.ipynb"
        ended = outcome["status"] in ("done", "failed") and executed.is_file()
        notebook = nbformat.read(executed, as_version=4) if ended else parameters.source(source)
        title, abstract = title_and_abstract(notebook) if notebook and notebook.cells else (name, "")
        cards[name] = {
            "name": name, "ended": ended, "title": title,
            "abstract": MarkdownWithMath(renderer=_Renderer([])).render(abstract),
            "findings": _findings(out, name) if outcome["status"] == "done" else [],  # not an earlier run's
            "picture": key_picture(notebook) if ended else None,
            "facts": notebook.metadata.get("nbutils", {}) if ended else {},
        }  # fmt: skip
    return cards


def _between_neighbours(out, name, there, cards):
    neighbours = [None, *((f"{other}.html", cards[other]["title"]) for other in there), None]
    place = there.index(name)
    return render(out / f"{name}.ipynb", neighbours[place], neighbours[place + 2], cards[name]["findings"])


def _index(cards, outcomes, run=None):
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_TEMPLATES / "report"), autoescape=True)
    shown = {"cards": list(cards.values()), "outcomes": outcomes, "run": run}
    pages = ("index", "status")
    return {f"{page}.html": environment.get_template(f"{page}_page.html.j2").render(shown) for page in pages}


def _sealed(text):
    return f"{text}{_SEAL}{_digest(text.encode())} -->\n"


def _whole(path):
    """Whether a page is there and ends with the digest of what stands before."""
    text, _, digest = path.read_bytes().rpartition(_SEAL.encode()) if path.is_file() else (b"", b"", b"")
    return digest == f"{_digest(text)} -->\n".encode()


def _digest(content):
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def key_figure(notebook):
    """The HTML of the figure that is named "key"; empty without one."""
    shown = (output.get("data", {}).get("text/html", "") for cell in notebook.cells for output in cell.get("outputs", ()))
    return next((text for text in shown if 'data-name="key"' in text), "")


def key_picture(notebook):
    """The picture of the figure that is named "key": its address and kind; None without one. Of animations the first, whose last frame is shown."""
    key = key_figure(notebook)
    for kind, pattern in (("frames", r'class="strip".*?<img src="([^"]*)"'), ("chart", r'<img class="chart".*?src="([^"]*)"'), ("picture", r'<img src="([^"]*)"')):
        if found := re.search(pattern, key, re.DOTALL):
            return {"address": found[1], "kind": kind}
    return None


def _findings(out, name):
    path = out / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")).get("findings", []) if path.is_file() else []
