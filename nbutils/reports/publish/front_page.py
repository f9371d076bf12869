"""What the README shows of the published reports: animations, findings with their numbers, links."""

import base64
import io
import math
import re
from html import unescape

import numpy as np
from PIL import Image

from ...show import animation, figures
from .. import series
from ..render import pictures

BEGIN, END = "<!-- published -->", "<!-- /published -->"
TABLE, TABLE_END = "<!-- notebooks -->", "<!-- end -->"
_FINDINGS = 3
MOVING = 2  # reports of which animations are shown
_PICTURES = 4  # side by side
_FRAMES = 17  # of an animation, at most
_WIDTH = 160  # of each, pixels at most, where it is enlarged
_GAP = 8


class FrontPageError(ValueError):
    """A README whose markers cannot be used; the message says why."""


def gif(name):
    """The name of the file with the animations of a published report."""
    return f"{name}.gif"


def moving_pictures(notebook):
    """The animations of the key figure of an executed notebook, side by side.

    Returns:
        bytes of a GIF, and what each shows, list of texts; None where the figure does not move.
    """
    moving = re.findall(
        r'<img class="moving"[^>]*? src="data:image/gif;base64,([^"]*)" alt="([^"]*)"',
        pictures.figure(notebook),
    )[:_PICTURES]
    if not moving:
        return None
    cells = [_frames(base64.b64decode(content)) for content, _ in moving]
    return animation.gif(_side_by_side(cells), milliseconds=200), [unescape(alt) for _, alt in moving]


def _frames(content):
    """Some frames of a GIF, the first and the last among them, enlarged without smoothing: list of uint8
    (H, W, 3)."""
    frames = []
    with Image.open(io.BytesIO(content)) as image:
        factor = max(1, _WIDTH // image.width)
        for number in np.unique(np.linspace(0, image.n_frames - 1, _FRAMES).round().astype(int)):
            image.seek(int(number))
            frames.append(np.asarray(image.convert("RGB")).repeat(factor, 0).repeat(factor, 1))
    return frames


def _side_by_side(cells):
    """Several animations in one, white between them and below smaller ones: list of uint8 (3, H, W). A
    shorter one ends with its last frame."""
    height = max(frames[0].shape[0] for frames in cells)
    pictures = []
    for number in range(max(map(len, cells))):
        row = []
        for frames in cells:
            frame = frames[min(number, len(frames) - 1)]
            row += [
                np.pad(frame, ((0, height - len(frame)), (0, 0), (0, 0)), constant_values=255),
                np.full((height, _GAP, 3), 255, np.uint8),
            ]
        pictures.append(np.concatenate(row[:-1], 1).transpose(2, 0, 1))
    return pictures


def most_telling_first(notebooks):
    """The names of notebooks of the series by the rank `telling` in their metadata; those without come
    after, in their order.

    Args:
        notebooks: dict from name to path.
    """
    ranks = {name: series.said(path, "telling", math.inf) for name, path in notebooks.items()}
    return sorted(ranks, key=ranks.get)


def table(notebooks):
    """The README's table of the notebooks, a line each with `about` of their metadata.

    Args:
        notebooks: dict from name to path.
    """
    rows = [f"| `{name}` | {series.said(path, 'about', '')} |" for name, path in notebooks.items()]
    return "\n".join(["| notebook | what it is about |", "| --- | --- |", *rows])


def _headlines(findings):
    """The first findings of the first notebooks that have any: list of (name of the notebook, finding)."""
    return [(name, found[0]) for name, found in findings.items() if found][:_FINDINGS]


def block(folder, titles, findings, moving, profile, commits, also=""):
    """The text between the markers.

    Args:
        folder: of the published reports, as a link from the README says it.
        titles: dict from name of a notebook to its title.
        findings: dict from name to a list of what `results.finding` gives, the most telling notebook first.
        moving: dict from name of a notebook to what its animations show, the most telling first.
        profile, commits: of the run; commits of its notebooks, each once, the last one last.
        also: name of the page that sets 2017 beside it; empty where there is none.
    """
    parts = []
    for name, shown in moving.items():
        numbered = " ".join(f"{number}: {text}" for number, text in enumerate(shown, 1))
        source = f"[report {_number(name)}]({folder}/{name}.html#figure-key)"
        parts += [
            f"![Animations side by side. {figures.plain(numbered)}]({folder}/{gif(name)})",
            f"From left to right: {_labels(shown)} The first of {source}, not chosen by hand.",
        ]
    found = [
        f"- {figures.plain(finding['text'])} "
        f"([report {_number(name)}]({folder}/{name}.html#{finding['evidence']}))"
        for name, finding in _headlines(findings)
    ]
    by = (
        f"commit `{commits[-1]}`"
        if len(commits) == 1
        else f"{len(commits)} commits, the last `{commits[-1]}`"
    )
    made = f"a run at profile `{profile}` by {by}"
    reports = f"**[All {len(titles)} reports]({folder}/index.html)**"
    parts.append(f"{reports}: {made}." + " It found:" * bool(found))
    parts.append("\n".join(found))
    pages = ", ".join(
        f'[{_number(name)}]({folder}/{name}.html "{_title(title)}")' for name, title in titles.items()
    )
    ways = f"[how each was run]({folder}/status.html), [search]({folder}/search.html)"
    ways += f", [2017 and now]({folder}/{also})" if also else ""
    parts.append(f"Page by page: {pages}; {ways}.")
    return "\n\n".join(part for part in parts if part)


def _labels(shown):
    """What each of the animations is filled by, or shows: one sentence each."""
    said = [text.partition("; caption: ") for text in shown]
    if all(caption for _, _, caption in said):
        numbered = enumerate(said, 1)
        return " ".join(
            f"({number}) *{figures.plain(caption)}* {figures.plain(way)}."
            for number, (way, _, caption) in numbered
        )
    return f"{figures.plain('; '.join(shown))}."


def with_block(readme, text, begin=BEGIN, end=END):
    """A README whose text between two markers, which have lines of their own, is another; as it is where it
    does not have the first.

    Raises:
        FrontPageError: the first is there twice, or no other comes after it.
    """
    lines = readme.split("\n")
    if begin not in lines:
        return readme
    first = lines.index(begin)
    last = lines.index(end, first) if end in lines[first:] else None
    if last is None or lines.count(begin) > 1 or begin in lines[first + 1 : last]:
        raise FrontPageError(f"has not just one line {begin} and after it one line {end}; correct them")
    return "\n".join([*lines[: first + 1], text, *lines[last:]])


def _number(name):
    return name.split("_")[0]


def _title(text):
    """Text that can stand as the title of a link."""
    return figures.plain(text).replace('"', '\\"')
