"""Cells of executed notebooks to HTML: text escaped, maths as MathML, and no address that a page could be
made to fetch or run."""

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import jinja2
import latex2mathml.converter
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

TEMPLATES = Path(__file__).parent / "template"
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
# Addresses in CSS: in url(), quoted or not, or after @import.
_IN_STYLES = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?!url\()[^"')\s]*)""", re.IGNORECASE)


class FormulaError(ValueError):
    """A formula that MathML cannot be made of; the message shows it."""


class LinkError(ValueError):
    """A reference to a figure or table that the page does not have, or an address that no page may hold; the
    message names it."""


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
    return result


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
            '<div class="formula" tabindex="0" role="region" '
            f'aria-label="formula">{mathml(body.strip(), "block")}</div>'
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
        elif name in _FETCHED and not _is_inside(value):
            raise _fetched(tag, value)


def _check_style(text):
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


class ReportExporter(HTMLExporter):
    """nbconvert's HTML exporter with the template of this project."""

    def __init__(self, **options):
        super().__init__(extra_template_basedirs=[str(TEMPLATES)], template_name="report", **options)
        self.register_preprocessor(CoalesceStreamsPreprocessor, enabled=True)
        self.headings = []

    @jinja2.pass_context
    def markdown2html(self, context, source):
        return MarkdownWithMath(renderer=Renderer(self.headings)).render(source)

    def default_filters(self):
        yield from super().default_filters()
        yield "markdown2html", self.markdown2html
        yield "last_lines", last_lines
        yield "without_requests", without_requests


def last_lines(text):
    """What a terminal would show: of a line that was rewritten with carriage returns, its last state."""
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))
