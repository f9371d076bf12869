"""What the search page searches: headings, prose, captions and claims of every page, each with its place."""

import functools
import json
import re
from html.parser import HTMLParser

_BLOCKS = {"p", "li", "figcaption", "caption"} | {f"h{level}" for level in range(1, 7)}
_CAPTIONS = ("figcaption", "caption")
_UNREAD = {"pre", "script", "style", "nav", "form", "button", "dl", "summary", "thead", "tbody", "annotation"}
_ENDS = {"figure", "table", "details"}  # of what has an anchor of its own
_NAMED = re.compile(r"(figure|table|claim|fold)-")
_FURNITURE = re.compile(
    r"(Not answered yet|Right|What they mean, and what they are by themselves|"
    r"The claim is from the [^.]*|In JupyterLab .* a panel stands here.*)?\W*"
)
_LABEL = re.compile(r"(?:Claim )?([ABE]\d\d)(?: \(([^)]*)\))?\. ")  # of a claim, or of its rule
_DATA = re.compile(r"data:[a-z]+/[a-z0-9+.-]+;base64,[A-Za-z0-9+/=]*")


def index(pages, verdicts):
    """The index of pages as JSON that can stand in a script.

    Args:
        pages: list of (file name, number, title, HTML).
        verdicts: dict from the id of a claim to its verdict, of those that are settled.
    """
    found = [
        {
            "file": file,
            "number": number,
            "title": title,
            "blocks": [(*block, _label(block, verdicts)) for block in blocks(text)],
        }
        for file, number, title, text in pages
    ]
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _label(block, verdicts):
    """What is said before the text of a claim, so that nobody takes it for a fact; empty before others."""
    anchor, _, kind, _ = block
    claim = anchor.removeprefix("claim-")
    verdict = f" ({verdicts[claim]})" if claim in verdicts else ""
    return f"Claim {claim}{verdict}: " if kind == "claim" else ""


@functools.lru_cache(maxsize=40)  # the index of a run is written often, its pages seldom
def blocks(page):
    """The texts of a page in order: tuple of (anchor, heading of its section, kind, text), the kind one of
    heading, text, caption and claim."""
    reader = _Reader()
    reader.feed(_DATA.sub("", page))
    reader.close()
    return tuple(reader.found)


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.words, self.tag = [], [], None
        self.section, self.heading, self.anchor, self.fold = "", "", "", ""
        self.unread = []  # the tags, one in the other, of which nothing is read

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if self.unread:
            self.unread += [tag] if tag == self.unread[0] else []
            return
        if tag in _UNREAD or (tag == "a" and given.get("class") == "anchor"):
            self.flush()
            self.unread = [tag]
            return
        if tag in _BLOCKS:
            self.flush()
            self.tag = tag
        name = given.get("id") or ""
        if tag in ("h2", "h3", "h4") and name:
            self.section = self.anchor = name
        elif _NAMED.match(name):
            self.anchor = name
            self.fold = name if tag == "details" else self.fold

    def handle_endtag(self, tag):
        if self.unread:
            self.unread = self.unread[:-1] if tag == self.unread[0] else self.unread
        elif tag in _BLOCKS:
            self.flush()
            self.tag = None
        elif tag in _ENDS or (tag == "div" and self.anchor.startswith("claim-")):
            self.fold = "" if tag == "details" else self.fold
            self.anchor = self.fold or self.section

    def handle_data(self, data):
        if self.tag and not self.unread:
            self.words.append(data)

    def flush(self):
        """Keep the text of the block that has ended, if it has any."""
        text, self.words = " ".join("".join(self.words).split()), []
        if _FURNITURE.fullmatch(text):
            return
        kind = "caption" if self.tag in _CAPTIONS else "text"
        if self.tag.startswith("h"):
            kind, self.heading = "heading", text
        elif self.anchor.startswith("claim-"):
            kind, text = "claim", _LABEL.sub("", text, count=1)
        elif said := _LABEL.match(text):  # a rule: its name stays with its first sentence
            text = f"Rule of {said[1]}: {text[said.end() :]}"
        self.found.append((self.anchor, self.heading, kind, text))
