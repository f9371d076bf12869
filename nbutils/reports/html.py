"""Executed notebooks to pages that stand alone: no network, maths as MathML, text escaped, an index that shows what failed."""

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

_TEMPLATES = Path(__file__).parent / "template"
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
    notebook = nbformat.read(path, as_version=4)
    exporter = ReportExporter()
    title, _ = title_and_abstract(notebook)
    facts = notebook.metadata.get("nbutils", {})
    resources = {"nbutils": {"title": title, "before": before, "after": after, "file": Path(path).name, "facts": facts, "style": _style()}}
    page, _ = exporter.from_notebook_node(notebook, resources=resources)
    contents = "".join(f'<li class="level-{level}"><a href="#{anchor}">{text}</a></li>' for level, anchor, text in exporter.headings if level > 1)
    body, card, rest = re.split("<!-- run card -->|<!-- end -->", page)  # the card goes under the title, which is in the first cell
    body = body.replace("<!-- contents -->", contents).replace("</h1>", f"</h1>{card}", 1)  # headings are known once the cells are rendered
    body = _with_findings(body, findings, Path(path).stem)
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


def render_series(out, names, outcomes):
    """Write the pages of a series, see `series_pages`.

    Returns:
        names of the pages that an earlier run had written and that were missing or altered.
    """
    out, pages = Path(out), series_pages(out, names, outcomes)
    stood = {f"{name}.html" for name in names if outcomes[name]["cached"]} & set(pages)
    stood |= {"index.html", "status.html"} if stood else set()
    damaged = [page for page in pages if page in stood and not _whole(out / page)]
    for page, text in pages.items():
        write_text(out / page, text)
    return damaged


def series_pages(out, names, outcomes):
    """The pages of a series, their index, and a page on how each was run.

    Args:
        out: folder with the executed notebooks and their results.
        names: notebooks in order.
        outcomes: dict from name to a dict with status, seconds, cached, error.
    Returns:
        dict from file name to text, which ends with its own digest.
    """
    out = Path(out)
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_TEMPLATES / "report"), autoescape=True)
    there = [name for name in names if (out / f"{name}.ipynb").is_file()]
    titles, findings, cards, pages = {}, {}, [], {}
    for name in there:
        notebook = nbformat.read(out / f"{name}.ipynb", as_version=4)
        titles[name], abstract = title_and_abstract(notebook)
        rendered = MarkdownWithMath(renderer=_Renderer([])).render(abstract)
        facts, findings[name] = notebook.metadata.get("nbutils", {}), _findings(out, name) if outcomes[name]["status"] == "done" else []  # not an earlier run's
        cards.append({"name": name, "title": titles[name], "abstract": rendered, "findings": findings[name], "picture": key_picture(notebook), "facts": facts})
    for position, name in enumerate(there):
        neighbours = [(f"{there[i]}.html", titles[there[i]]) if 0 <= i < len(there) else None for i in (position - 1, position + 1)]
        pages[f"{name}.html"] = render(out / f"{name}.ipynb", *neighbours, findings[name])
    cards += [{"name": name, "title": name, "abstract": "", "findings": [], "picture": None, "facts": {}} for name in names if name not in there]
    for page in ("index", "status"):
        pages[f"{page}.html"] = environment.get_template(f"{page}_page.html.j2").render(cards=cards, outcomes=outcomes, pages=pages)
    return {page: f"{text}{_SEAL}{_digest(text.encode())} -->\n" for page, text in pages.items()}


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
