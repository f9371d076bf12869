"""Cells of executed notebooks to HTML: code shown or folded by its tags, text escaped, maths as MathML, terms
explained, and no address that a page could be made to fetch or run."""

import functools
import itertools
import re
import xml.etree.ElementTree as ElementTree
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path

import jinja2
import latex2mathml.converter
import yaml
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

from ...show import figures

TEMPLATES = Path(__file__).parent / "template"
GLOSSARY = Path(__file__).with_name("glossary.yaml")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
# Attributes for which a browser fetches what they name; `href` where it is not that of a link.
_FETCHED = (
    "src",
    "srcset",
    "href",
    "xlink:href",
    "poster",
    "data",
    "background",
    "action",
    "formaction",
    "ping",
)
_NAMES = {"arg", "cos", "exp", "ln", "log", "max", "min", "sin", "tanh"}  # of functions, in formulas
_ROWS = {"math", "mrow", "mstyle", "mtd"}
# What must not begin or end a line by itself beside a formula.
_BESIDE_FORMULA = re.compile(r"[(\[]?<math(?:(?!</math>).)*</math>(?:[,.;:!?)\]]+|-\w+)?", re.DOTALL)
_SHOWN = ("plain", "usage", "exercise", "solution")  # tags of code cells that a page does not fold away
_WIDGET = "application/vnd.jupyter.widget-view+json"
# Where no term is explained: it would be out of place, or stand in a link.
_UNEXPLAINED = re.compile(r"<(/?)(h[1-6]|a|code|pre|math|summary)\b")
# Addresses in CSS: in url(), quoted or not, or after @import.
_IN_STYLES = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?!url\()[^"')\s]*)""", re.IGNORECASE)


class FormulaError(ValueError):
    """A formula that MathML cannot be made of; the message shows it."""


class LinkError(ValueError):
    """A reference to a figure, table or claim that the page does not have, or an address that no page may
    hold; the message names it."""


def mathml(formula, display="inline"):
    """A TeX formula as MathML.

    Raises:
        FormulaError: something of it was left unconverted.
    """
    try:
        converted = latex2mathml.converter.convert(formula, display=display)
    except Exception as error:  # of a broken formula it can raise anything
        raise FormulaError(
            f"formula: {formula!r} cannot be read: {' '.join(str(error).split()) or type(error).__name__}"
        ) from None
    result = converted.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")
    text = re.sub(r"<[^>]*>", "", result)
    if "\\" in text or "$" in text:
        raise FormulaError(f"formula: {formula!r} was left partly unconverted: {text!r}")
    return _spaced(result)


def _spaced(formula):
    """MathML with a thin space between the name of a function and what stands beside it without a sign or a
    bracket, as TeX sets it."""
    root = ElementTree.fromstring(formula)
    for row in [element for element in root.iter() if element.tag in _ROWS]:
        children = list(row)
        for left, right in itertools.pairwise(children):
            if (_is_name(left) and right.tag != "mo") or (_is_name(right) and left.tag != "mo"):
                row.insert(list(row).index(right), ElementTree.Element("mspace", width="0.17em"))
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)


def _is_name(element):
    """Whether an element of MathML is the name of a function, with an index or without."""
    first = element[0] if element.tag in ("msub", "msup", "munder") else element
    return first.text in _NAMES


class Renderer(IPythonRenderer):
    """Markdown of a cell: raw HTML escaped, formulas as MathML, headings numbered apart and kept for the
    table of contents."""

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
        link = (
            ""
            if level == 1
            else f' <a class="anchor" href="#{name}" aria-label="Link to section: {plain}">#</a>'
        )
        return f'<h{level} id="{name}">{text}{link}</h{level}>\n'

    def link(self, text, url, title=None):
        _check_link(url)
        return super().link(text, url, title)

    def image(self, text, url, title=None):
        if not re.match(r"data:image/(png|jpeg|gif|webp);base64,|attachment:", url):
            raise _fetched("picture", url)
        return super().image(text, url, title)

    def block_math(self, body):
        return (
            '<div class="formula" tabindex="0" role="group" '
            f'aria-label="Formula">{mathml(body.strip(), "block")}</div>'
        )

    def inline_math(self, body):
        return mathml(body.strip())

    def latex_environment(self, name, body):
        return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")


def _check_link(url):
    """Refuse a link that runs something where it is followed."""
    scheme = _SCHEME.match(re.sub(r"[\x00-\x20\x7f]", "", unescape(url)))  # as a browser reads it
    if scheme and scheme[1].lower() not in ("http", "https", "mailto"):
        raise LinkError(
            f"the link {url[:200]!r} is of a kind that no page holds; expected http, https, mailto, or a "
            "place in these reports"
        )


def _fetched(what, url):
    return LinkError(
        f"the {what} {url[:200]!r} would have to be fetched, which no page does; show it from code, or as "
        "a data:image"
    )


class _Addresses(HTMLParser):
    """Refuses HTML that makes a browser fetch something, or that links to what runs."""

    def __init__(self):
        super().__init__()
        self.in_style = False

    def handle_starttag(self, tag, attributes):
        self.in_style = tag == "style"
        given = dict(attributes)
        if tag == "meta" and (given.get("http-equiv") or "").lower() == "refresh":
            raise _fetched(tag, given.get("content") or "")
        for name, value in attributes:
            self._check(tag, name, (value or "").strip())

    def handle_endtag(self, tag):
        self.in_style = self.in_style and tag != "style"

    def handle_data(self, data):
        if self.in_style:
            _check_style(data)

    def _check(self, tag, name, value):
        if name == "style":
            _check_style(value)
        elif name == "srcdoc":
            without_requests(value)
        elif name in ("href", "xlink:href") and tag in ("a", "area"):
            _check_link(value)
        elif name in _FETCHED:
            for address in _several(value) if name.endswith("srcset") else [value]:
                if not _is_inside(address):
                    raise _fetched(tag, address)


def _several(value):
    """The addresses of a srcset, each of which may have a size after it."""
    parts = [re.sub(r"^[\d.]+[wx],", "", part).strip(",") for part in value.split()]
    return [part for part in parts if not re.fullmatch(r"[\d.]+[wx]", part)]


def _check_style(text):
    if re.search(r"image-set\(", text, re.IGNORECASE):
        raise _fetched("style", "image-set()")
    for address in _IN_STYLES.findall(re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)):
        if not _is_inside(address):
            raise _fetched("style", address)


def _is_inside(address):
    """Whether an address is in the page itself."""
    return not address or address.lower().startswith(("data:", "#"))


def without_requests(html):
    """HTML that a cell has shown, as it is.

    Raises:
        LinkError: a browser would fetch something for it, or it links to what runs.
    """
    parser = _Addresses()
    parser.feed(html)
    parser.close()
    return html


def arranged(cells, failed):
    """Cells as a page shows them.

    Of code cells, `metadata.role` says how: one of `_SHOWN` by their tags, "parameters", or "folded";
    `metadata.sources` is a list of their code. Neighbours that are folded and have nothing to show between
    them become one. What a cell printed is left out, but where the notebook `failed` or the cell raised:
    progress bars, warnings and logs are for whoever runs it.
    """
    shown, group = [], None
    for cell in cells:
        if cell.cell_type != "code":
            shown.append(cell)
            group = None
            continue
        role = _role(cell)
        cell.outputs = _visible(cell.outputs, failed)
        if group and not group.outputs and group.metadata.role == role not in _SHOWN:
            group.outputs = cell.outputs
        else:
            cell.metadata |= {"role": role, "sources": []}
            shown.append(group := cell)
        group.metadata.sources += [cell.source] if cell.source.strip() else []
    return shown


def _role(cell):
    tags = cell.metadata.get("tags", ())
    if "parameters" in tags or "injected-parameters" in tags:
        return "parameters"
    return next((tag for tag in _SHOWN if tag in tags), "folded")


def _visible(outputs, failed):
    """Outputs without those that are no part of a page."""
    if failed or any(output.output_type == "error" for output in outputs):
        return outputs
    return [
        output
        for output in outputs
        if output.output_type != "stream" and _WIDGET not in output.get("data", ())
    ]


@functools.cache
def glossary():
    """The terms of the reports: dict from term to the sentence that explains it."""
    return yaml.safe_load(GLOSSARY.read_text(encoding="utf-8"))


class Terms:
    """Marks the first use of each term of the glossary on one page."""

    def __init__(self):
        self.sentences = dict(glossary())
        longest_first = sorted(self.sentences, key=len, reverse=True)
        self.pattern = re.compile(rf"(?<![\w-])({'|'.join(map(_pattern, longest_first))})s?(?![\w-])")

    def explained(self, html):
        """HTML made from Markdown, with buttons that explain the terms it is the first to use."""
        parts, inside = re.split(r"(<[^>]*>)", html), 0
        for number, part in enumerate(parts):
            if tag := _UNEXPLAINED.match(part):
                inside += -1 if tag[1] else 1
            elif not inside and not part.startswith("<"):
                parts[number] = self.pattern.sub(self._explain, part)
        return "".join(parts)

    def _explain(self, found):
        term = found[1] if found[1] in self.sentences else found[1][0].lower() + found[1][1:]
        sentence = self.sentences.pop(term, None)
        if sentence is None:
            return found[0]
        return f'<dfn class="term" role="button" tabindex="0" title="{escape(sentence)}">{found[0]}</dfn>'


def _pattern(term):
    """A term, which may begin a sentence."""
    first, rest = term[0], re.escape(term[1:])
    return f"[{first}{first.upper()}]{rest}"


class ReportExporter(HTMLExporter):
    """nbconvert's HTML exporter with the template of this project."""

    def __init__(self, **options):
        super().__init__(extra_template_basedirs=[str(TEMPLATES)], template_name="report", **options)
        self.register_preprocessor(CoalesceStreamsPreprocessor, enabled=True)
        self.headings, self.terms = [], Terms()

    @jinja2.pass_context
    def markdown2html(self, context, source, explained=True):
        html = MarkdownWithMath(renderer=Renderer(self.headings)).render(source)
        html = self.terms.explained(html) if explained else html
        return _BESIDE_FORMULA.sub(_together, html)

    def default_filters(self):
        yield from super().default_filters()
        yield "markdown2html", self.markdown2html
        yield "folded", figures.folded
        yield "last_lines", last_lines
        yield "coloured_alone", coloured_alone
        yield "without_requests", without_requests


def _together(found):
    """A formula in a line, in one piece with the punctuation beside it; one on lines of its own as it is."""
    whole = found[0]
    return whole if 'display="block"' in whole else f'<span class="inline-formula">{whole}</span>'


def coloured_alone(html):
    """Highlighted code without a span around what the style sheet gives no colour, which is most of it."""
    coloured = "|".join(_coloured())
    return re.sub(rf'<span class="(?!(?:{coloured})")\w+">([^<]*)</span>', r"\1", html)


@functools.cache
def _coloured():
    """The kinds of tokens that the style sheet gives a colour."""
    rules = re.findall(r"\.highlight :is\(([^)]*)\)", (TEMPLATES / "report" / "style.css").read_text())
    return sorted(re.findall(r"\.(\w+)", " ".join(rules)))


def last_lines(text):
    """What a terminal would show: of a line that was rewritten with carriage returns, its last state."""
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))
