"""Typefaces that pages carry, so that text and mathematics look the same everywhere and nothing is fetched.

Text is set in Source Serif Pro, mathematics in STIX Two Math, both under the SIL Open Font License. A page
holds subsets of them, under names of their own, as that license asks for what is changed; what they say of
their makers and terms is kept in them.
"""

import base64
import functools
import io
import re
import unicodedata
from html import unescape
from importlib import metadata

_TEXT = (  # style, weight, file
    ("normal", "400", "SourceSerifPro-Regular.ttf"),
    ("italic", "400", "SourceSerifPro-It.ttf"),
    ("normal", "600 700", "SourceSerifPro-Semibold.ttf"),
)
_KEPT = (0, 13, 14)  # of the names in a typeface: copyright, license and its address
_ASCII = "".join(map(chr, range(0x20, 0x7F)))
_PROSE = _ASCII + "".join(map(chr, range(0xA0, 0x100))) + "–—‘’“”…′−≤≥≈←→ıŒœŠšŽž€"  # noqa: RUF001
# One set for most pages, as it takes a second to cut out; what a page has beside it is added.
_FORMULAS = _ASCII + "αβγδεζηθκλμνξπρστφχψωΔΣΠ ±·×…′ℓ←→⇒∈∉∏∑−∝√∞∣∫∼≈≠≤≥≪≫⊙⊤⋅⋯"  # noqa: RUF001


def embedded(page):
    """A page with the typefaces that it uses at the beginning of its style."""
    faces = [_text_face(*face) for face in _TEXT]
    formulas = re.findall(r"<math.*?</math>", page, re.DOTALL)
    if formulas:
        text = unescape(re.sub(r"<[^>]*>", "", "".join(formulas)))
        faces.append(_mathematics(frozenset(text) - frozenset(_FORMULAS)))
    return page.replace("<style>", "<style>\n" + "\n".join(faces) + "\n", 1)


@functools.cache
def _text_face(style, weight, file):
    path = metadata.distribution("font-source-serif-pro").locate_file(f"font_source_serif_pro/files/{file}")
    content = _subset(path, _PROSE, ["kern", "liga", "mark", "tnum", "lnum"])
    return _rule("Report Text", style, weight, content)


@functools.lru_cache(maxsize=32)
def _mathematics(others):
    path = metadata.distribution("ziamath").locate_file("ziamath/fonts/STIXTwoMath-Regular.ttf")
    characters = {*_FORMULAS, *others}
    content = _subset(path, characters | {_italic(one) for one in characters}, [])
    return _rule("Report Math", "normal", "400", content)


def _italic(character):
    """The character by which a browser shows a single letter of a formula (MathML Core, math-auto)."""
    name = unicodedata.name(character, "")
    if character == "h":
        return "\N{PLANCK CONSTANT}"
    found = re.fullmatch(r"(?:LATIN|GREEK) (SMALL|CAPITAL) LETTER (\w+)", name)
    if not found:
        return character
    try:
        return unicodedata.lookup(f"MATHEMATICAL ITALIC {found[1]} {found[2]}")
    except KeyError:  # a letter that has no such form
        return character


def _subset(path, characters, features):
    """A typeface cut down to characters, and what they need of its tables: bytes of a woff2."""
    from fontTools import subset  # here, because kernels render nothing

    options = subset.Options(layout_features=features, hinting=False, name_IDs=["*"], flavor="woff2")
    subsetter = subset.Subsetter(options)
    subsetter.populate(text="".join(sorted(characters)))
    file = io.BytesIO()
    with subset.load_font(str(path), options) as font:
        subsetter.subset(font)
        names = font["name"]
        names.names = [one for one in names.names if one.nameID in _KEPT]
        subset.save_font(font, file, options)
    return file.getvalue()


def _rule(family, style, weight, content):
    address = f"data:font/woff2;base64,{base64.b64encode(content).decode()}"
    described = f"font-family:'{family}';font-style:{style};font-weight:{weight}"
    return f"@font-face{{{described};src:url({address}) format('woff2')}}"
