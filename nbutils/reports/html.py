"""Executed notebooks to pages that stand alone: no network, maths as MathML, text escaped, an index that shows what failed."""

import json
import re
from pathlib import Path

import jinja2
import latex2mathml.converter
import nbformat
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

from ..files import write_text

_TEMPLATES = Path(__file__).parent / "template"


class FormulaError(ValueError):
    """A formula that MathML cannot be made of; the message shows it."""


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
        link = "" if level == 1 else f' <a class="anchor" href="#{name}" aria-label="Link to this section">#</a>'
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


def render(path, before=None, after=None):
    """The page of an executed notebook; `before` and `after` are (file name, title) of its neighbours, or None."""
    notebook = nbformat.read(path, as_version=4)
    exporter = ReportExporter()
    title, _ = title_and_abstract(notebook)
    facts = notebook.metadata.get("nbutils", {})
    resources = {"nbutils": {"title": title, "before": before, "after": after, "file": Path(path).name, "facts": facts, "style": _style()}}
    page, _ = exporter.from_notebook_node(notebook, resources=resources)
    contents = "".join(f'<li class="level-{level}"><a href="#{anchor}">{text}</a></li>' for level, anchor, text in exporter.headings if level > 1)
    return page.replace("<!-- contents -->", contents)  # headings are known once the cells are rendered


def render_series(out, names, outcomes):
    """Write the pages of a series and their index.

    Args:
        out: folder with the executed notebooks.
        names: notebooks in order.
        outcomes: dict from name to a dict with status, seconds, cached, error.
    """
    out = Path(out)
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_TEMPLATES / "report"), autoescape=True)
    there = [name for name in names if (out / f"{name}.ipynb").is_file()]
    titles, cards = {}, []
    for name in there:
        notebook = nbformat.read(out / f"{name}.ipynb", as_version=4)
        titles[name], abstract = title_and_abstract(notebook)
        cards.append({"name": name, "title": titles[name], "abstract": MarkdownWithMath(renderer=_Renderer([])).render(abstract), "findings": _findings(out, name)})
    for position, name in enumerate(there):
        neighbours = [(f"{there[i]}.html", titles[there[i]]) if 0 <= i < len(there) else None for i in (position - 1, position + 1)]
        write_text(out / f"{name}.html", render(out / f"{name}.ipynb", *neighbours))
    missing = [{"name": name, "title": name, "abstract": "", "findings": []} for name in names if name not in there]
    index = environment.get_template("series.html.j2").render(cards=cards + missing, outcomes=outcomes)
    write_text(out / "index.html", index)


def _findings(out, name):
    path = out / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")).get("findings", []) if path.is_file() else []
