"""What the README shows of the published reports: an animation, findings with their numbers, links."""

import base64
import io
import re
from html import unescape

import numpy as np
from PIL import Image

from ...show import animation, figures
from ..render import rendering

BEGIN, END = "<!-- published -->", "<!-- /published -->"
ANIMATION = "animation.gif"
_ANIMATED = ("04_training", "05_sampling_orderings")  # whose key figures fill holes in
_TELLING = (
    "06_temperature_and_annealing",
    "04_training",
    "15_claims",
    "12_exact_inpainting",
    "05_sampling_orderings",
)
_FINDINGS = 3
_PICTURES = 4  # side by side
_WIDTH = 160  # of each, pixels at most, where it is enlarged
_GAP = 8


class FrontPageError(ValueError):
    """A README whose markers cannot be used; the message says why."""


def moving_pictures(notebooks):
    """The animations of the key figure of the first notebook that has some, side by side.

    Args:
        notebooks: dict from name to executed notebook; those that fill holes in come first whatever their
            order.
    Returns:
        name of the notebook, bytes of a GIF, and what it shows; None where no key figure moves.
    """
    for name in dict.fromkeys([*_ANIMATED, *notebooks]):
        moving = re.findall(
            r'<img class="moving"[^>]*? src="data:image/gif;base64,([^"]*)" alt="([^"]*)"',
            rendering.key_figure(notebooks[name]) if name in notebooks else "",
        )
        if moving:
            cells = [_frames(base64.b64decode(content)) for content, _ in moving[:_PICTURES]]
            return (
                name,
                animation.gif(_side_by_side(cells)),
                " ".join(
                    f"{number}: {unescape(alt)}" for number, (_, alt) in enumerate(moving[:_PICTURES], 1)
                ),
            )
    return None


def _frames(content):
    """The frames of a GIF, enlarged without smoothing: list of uint8 (H, W, 3)."""
    frames = []
    with Image.open(io.BytesIO(content)) as image:
        factor = max(1, _WIDTH // image.width)
        for number in range(image.n_frames):
            image.seek(number)
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


def headlines(findings):
    """The first findings of the most telling notebooks: list of (name of the notebook, finding).

    Args:
        findings: dict from name to a list of what `results.finding` gives.
    """
    return [
        (name, findings[name][0]) for name in dict.fromkeys([*_TELLING, *findings]) if findings.get(name)
    ][:_FINDINGS]


def block(folder, titles, findings, moving, profile, commit):
    """The text between the markers.

    Args:
        folder: of the published reports, as a link from the README says it.
        titles: dict from name of a notebook to its title.
        findings: see `headlines`.
        moving: from `moving_pictures`.
        profile, commit: of the run.
    """
    parts = []
    if moving:
        name, _, shown = moving
        parts += [
            f"![Animations side by side. {figures.plain(shown)}]({folder}/{ANIMATION})",
            f"From [report {_number(name)}]({folder}/{name}.html#figure-key), as published here.",
        ]
    parts.append(
        f"Published in [`{folder}`]({folder}): the run of commit `{commit}` at profile `{profile}`."
        + " It found:" * bool(headlines(findings))
    )
    parts += [
        "\n".join(
            (
                f"- {figures.plain(found['text'])} ([report "
                f"{_number(name)}]({folder}/{name}.html#{found['evidence']}))"
            )
            for name, found in headlines(findings)
        )
    ]
    pages = ", ".join(
        f'[{_number(name)}]({folder}/{name}.html "{_title(title)}")' for name, title in titles.items()
    )
    parts.append(
        f"Pages, for a browser in a clone: [all reports]({folder}/index.html), [how each was "
        f"run]({folder}/status.html), {pages}."
    )
    return "\n\n".join(part for part in parts if part)


def with_block(readme, text):
    """A README whose text between the markers, which have lines of their own, is another; as it is where it
    has no markers.

    Raises:
        FrontPageError: the markers are not one of each, in their order.
    """
    lines = readme.split("\n")
    markers = [number for number, line in enumerate(lines) if line in (BEGIN, END)]
    if not markers:
        return readme
    if [lines[number] for number in markers] != [BEGIN, END]:
        raise FrontPageError(f"has not just one line {BEGIN} and after it one line {END}; correct them")
    return "\n".join([*lines[: markers[0] + 1], text, *lines[markers[1] :]])


def _number(name):
    return name.split("_")[0]


def _title(text):
    """Text that can stand as the title of a link."""
    return figures.plain(text).replace('"', '\\"')
