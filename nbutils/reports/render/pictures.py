"""Figures in the outputs of executed notebooks: which there are, their pictures and their animations."""

import re
from html.parser import HTMLParser

_FIGURE = re.compile(r"<figure.*?</figure>", re.DOTALL)
_GIF = re.compile(r'<div style="(width:\d+px)"><img class="moving"[^>]*>(?=<div class="strip")')
_STRIP = re.compile(
    r'<div class="strip" data-frames="(?P<frames>\d+)" data-milliseconds="(?P<milliseconds>\d+)"[^>]* style="'
)
AT_ITS_END = ", at its end"  # ends the alternative text of an animation that has been made a still
_PLAYED = 0.7  # of the time; the last frame is held for the rest


def figures(notebook):
    """The HTML of all figures of a notebook, in order."""
    shown = (
        output.get("data", {}).get("text/html", "")
        for cell in notebook.cells
        for output in cell.get("outputs", ())
    )
    return [figure for text in shown for figure in _FIGURE.findall(text)]


def figure(notebook, name="key"):
    """The HTML of the figure of a name; empty without one."""
    named = f'data-name="{name}"'
    return next((text for text in figures(notebook) if named in text.partition(">")[0]), "")


def picture(text):
    """The first picture of a figure, of an animation if it has some: its address and kind; None where it has
    none. Of an animation it is the frames one under the other, which show the last where they are cut to
    one, or its still."""
    found = _read(text)
    if found.animations:
        return {"address": found.animations[0]["address"], "kind": "frames"}
    return next(iter(found.stills + found.pictures), None)


def evidence(notebook, place):
    """The picture beside what a notebook found.

    Args:
        place: as in a finding, "figure-NAME" or "table-NAME".
    Returns:
        as `picture`, with `own`: a table has no picture of its own; it gets the key figure's, or the last
        figure's.
    """
    kind, _, name = place.partition("-")
    own = picture(figure(notebook, name)) if kind == "figure" else None
    others = [figure(notebook), *reversed(figures(notebook))]
    found = own or next(filter(None, map(picture, others)), None)
    return found and found | {"own": bool(own)}


def animations(text):
    """The animations of a figure: list of dicts with `address`, `frames`, `alt`, and, where the alternative
    text ends with the words by which a hole is filled, `caption`, and `way`, what stands before."""
    return _read(text).animations


def by_frames(notebook):
    """A notebook whose animations are strips of frames alone, which a page's script or style moves: the same
    in GIFs would double its weight."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if html := output.get("data", {}).get("text/html", ""):
                alone = _GIF.sub(r'<div class="alone" style="\1">', html)
                output.data["text/html"] = _STRIP.sub(_timed, alone)
    return notebook


def _timed(strip):
    frames, milliseconds = int(strip["frames"]), int(strip["milliseconds"])
    times = f"--steps:{max(1, frames - 1)};--time:{round(frames * milliseconds / _PLAYED)}ms;"
    return strip[0] + times


def _read(text):
    reader = _Pictures()
    reader.feed(text)
    return reader


class _Pictures(HTMLParser):
    """Collects the pictures of a figure, and its strips of frames with what each animation says."""

    def __init__(self):
        super().__init__()
        self.pictures, self.stills, self.animations = [], [], []
        self.frames = None

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        kind = given.get("class", "")
        if tag == "div" and kind == "strip":
            self.frames = int(given["data-frames"])
        elif tag == "img" and self.frames:
            alt = given["alt"].removesuffix(", stopped")
            way, _, caption = alt.partition("; caption: ")
            said = {"alt": alt, "caption": caption, "way": way if caption else ""}
            self.animations.append({"address": given["src"], "frames": self.frames} | said)
            self.frames = None
        elif tag == "img" and kind != "moving":
            of_kind = "chart" if kind == "chart" else "picture"
            ended = given.get("alt", "").endswith(AT_ITS_END)
            (self.stills if ended else self.pictures).append(
                {"address": given.get("src", ""), "kind": of_kind}
            )
