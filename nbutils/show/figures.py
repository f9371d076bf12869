"""What a notebook shows: figures with captions and alternative texts, galleries of pictures, tables, prose
with numbers in it.

Everything is HTML that stands on its own, so a figure looks the same in JupyterLab and in a rendered page.
Text from data is escaped.
"""

import base64
import io
import re
from html import escape
from typing import NamedTuple

import matplotlib
import numpy as np
from cycler import cycler
from IPython.display import HTML, Markdown, display
from matplotlib.figure import Figure
from PIL import Image

_LEAST = 0.82  # of its width that a chart has at least: letters of 8 points are then 9 pixels high
FOLD_END = "\n\n</details>"  # of what `say` folds

# Okabe and Ito's palette: told apart with any colour vision.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
matplotlib.rcdefaults()  # a report looks the same whoever makes it, whatever their matplotlibrc says
matplotlib.rcParams.update(
    {
        "axes.prop_cycle": cycler(color=COLOURS),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "font.size": 10,
        "figure.dpi": 160,
        "legend.frameon": False,
        "figure.constrained_layout.use": True,
    }
)


def chart(rows=1, columns=1, size=(7.0, 3.2), **options):
    """A matplotlib figure and its axes in the style of the reports; it appears where `show` is called and
    nowhere else. `options` are those of `Figure.subplots`."""
    figure = Figure(figsize=size)
    return figure, figure.subplots(rows, columns, **options)


def smoothed(values):
    """An exponential moving average that begins without a bias, as TensorBoard draws it: entry n weighs its
    predecessors by a half, a quarter ..."""
    averages, total, scale, weight = [], 0.0, 0.0, 0.5
    for value in values:
        total, scale = weight * total + (1 - weight) * value, weight * scale + (1 - weight)
        averages.append(total / scale)
    return averages


def curve(axis, steps, values, label, colour, style="-"):
    """Draw a trace smoothed by one half over its own shadow."""
    axis.plot(steps, values, style, color=colour, alpha=0.25, linewidth=1)
    axis.plot(steps, smoothed(values), style, color=colour, label=label, linewidth=1.5)


def learning_curves(axis, runs, label, solid, dashed=None):
    """Draw trainings against their steps, each in a colour of its own, smoothed as by `curve`.

    Args:
        axis: of `chart`.
        runs: dict from a name for the legend to a run, whose `column(name)` gives numbers.
        label: of the vertical axis.
        solid: the column that is drawn solid, such as that of held-out pictures.
        dashed: the column that is drawn dashed; None for no such curve.
    """
    for (name, run), colour in zip(runs.items(), COLOURS):
        curve(axis, run.column("step"), run.column(solid), name, colour)
        if dashed:
            curve(axis, run.column("step"), run.column(dashed), None, colour, "--")
    axis.set(xlabel="step", ylabel=label)
    axis.legend(fontsize=8)


def dots(axis, points, label, colours=None):
    """Draw named numbers with their intervals, one under the other, the first on top.

    Args:
        axis: of `chart`.
        points: dict from name to (number, half width of its interval, 0 for none).
        label: of the horizontal axis.
        colours: dict from name to colour; `COLOURS[0]` for those that it leaves out.
    """
    for place, (name, (middle, half)) in enumerate(points.items()):
        colour = (colours or {}).get(name, COLOURS[0])
        axis.errorbar(middle, place, xerr=half or None, fmt="o", capsize=3, color=colour)
    axis.set_yticks(range(len(points)), list(points))
    axis.invert_yaxis()
    axis.set(xlabel=label)


def repeats(axis, places, values, label, colour):
    """Draw a mean over the curve of each repeat: places (N,), values (repeats, N)."""
    axis.plot(places, values.T, color=colour, alpha=0.25, linewidth=0.8)
    axis.plot(places, values.mean(0), color=colour, label=label)


def contact_sheet(pictures, columns, gap=2, shade=220):
    """Pictures uint8 (N, H, W) or (N, C, H, W) in one, row by row with light gaps: uint8 (C, height,
    width)."""
    pictures = np.asarray(pictures, np.uint8)
    if pictures.ndim == 3:
        pictures = pictures[:, None]
    count, channels, height, width = pictures.shape
    rows = -(-count // columns)
    size = rows * (height + gap) - gap, columns * (width + gap) - gap
    sheet = np.full((channels, *size), shade, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        sheet[:, top : top + height, left : left + width] = picture
    return sheet


def tinted(ink, known):
    """Black and white pictures whose holes are seen: what is known in grey, in a hole ink orange and paper
    blue.

    Args:
        ink: numbers from 0 (paper) to 1 (ink), array or tensor (N, H, W); what lies between is mixed.
        known: bool, the same shape or one that is broadcast to it.
    Returns:
        uint8 (N, 3, H, W).
    """
    ink = np.asarray(ink, np.float64)[:, None]
    paper, orange = (np.array(colour)[:, None, None] for colour in ((16, 62, 110), (255, 176, 72)))
    known = np.broadcast_to(np.asarray(known), ink[:, 0].shape)[:, None]
    return np.where(known, 255 * ink, paper + ink * (orange - paper)).round().astype(np.uint8)


def around(pictures, known, margin=3):
    """The part of pictures around a hole, to be seen larger: (N, C, H, W) and bool (H, W) -> (N, C, h, w), at
    most `margin` pixels of what is known on each side."""
    rows, columns = (np.flatnonzero(~np.asarray(known).all(axis)) for axis in (1, 0))
    top, left = max(0, rows[0] - margin), max(0, columns[0] - margin)
    return pictures[:, :, top : rows[-1] + margin + 1, left : columns[-1] + margin + 1]


def heat(values, largest):
    """A map (H, W) of numbers between 0 and `largest` as a picture, uint8 (3, H, W): dark is little, bright
    is much, with any colour vision."""
    colours = matplotlib.colormaps["viridis"](np.asarray(values) / largest)[..., :3]
    return (colours * 255).round().astype(np.uint8).transpose(2, 0, 1)


def data_uri(content, kind):
    """Bytes as a `data:` address of the media type `kind`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def show(figure, caption, alt, name=None, place=None):
    """Show a matplotlib figure with a caption; at `place`, what `display(display_id=True)` gave, it takes the
    place of what was there.

    `alt` says what it shows to those who cannot see it. Prose refers to it as [figure](#figure-`name`), which
    a page turns into its number; the one named "key" also stands in the index.
    """
    width = int(figure.get_size_inches()[0] * 100)
    least = round(_LEAST * width)  # a narrow page scrolls rather than making letters too small to read
    style = f'class="chart" style="max-width:100%;min-width:{least}px" width="{width}"'
    image = f'<img {style} src="{address(figure)}" alt="{escape(alt)}">'
    scrolled = f'<div class="scroll" style="overflow-x:auto" role="group" aria-label="Chart">{image}</div>'
    content = HTML(f"<figure{named(name)}>{scrolled}<figcaption>{escape(caption)}</figcaption></figure>")
    place.update(content) if place else display(content)


def address(figure):
    """A matplotlib figure as a `data:` address."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return data_uri(file.getvalue(), "image/png")


def named(name):
    """The attribute that names a figure or table for references; none for None."""
    return f' data-name="{escape(name)}"' if name else ""


def png(picture):
    """A picture as a data URI at its own size: uint8 (3, H, W) or (1, H, W) array or tensor."""
    pixels = np.asarray(picture, np.uint8).transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(file, "PNG", optimize=True)
    return data_uri(file.getvalue(), "image/png")


def hidden(image, known):
    """A picture with its unknown variables in grey: (C, H, W) -> uint8 (C, H, W)."""
    return np.where(np.asarray(known), np.asarray(image), 128).astype(np.uint8)


def picture_cell(picture, label, alt, width=128):
    """One picture of a gallery: HTML, pixels enlarged without smoothing."""
    style = f"display:block;font-size:.8em;max-width:{width}px;overflow-wrap:break-word"
    text = f'<span style="{style}">{escape(label)}</span>' if label else ""
    style = "width:100%;image-rendering:pixelated;display:block"
    image = f'<img src="{png(picture)}" alt="{escape(alt)}" style="{style}">'
    return f'<div style="width:{width}px;max-width:100%">{image}{text}</div>'


def group(label, cells):
    """Cells that belong together, side by side over a common label: one cell of a gallery."""
    text = f'<span style="display:block;font-size:.8em">{escape(label)}</span>'
    row = f'<div style="display:flex;flex-wrap:wrap;gap:4px">{"".join(cells)}</div>'
    return f'<div style="max-width:100%">{row}{text}</div>'


def gallery(cells, caption, name=None, fold=None):
    """Show cells (from `picture_cell` or `group`) side by side, wrapping, under one caption; `name` as in
    `show`; `fold`, a few words under which all of it stands folded, for those who ask."""
    body = f'<div class="gallery" style="display:flex;flex-wrap:wrap;gap:10px">{"".join(cells)}</div>'
    opened = f'<figure class="pictures"{named(name)}>'
    whole = f"{opened}{body}<figcaption>{escape(caption)}</figcaption></figure>"
    folded_away = f'<details class="fold"><summary>{escape(fold or "")}</summary>{whole}</details>'
    display(HTML(folded_away if fold else whole))


class Link(NamedTuple):
    """A cell of a table that leads somewhere."""

    text: str
    address: str


def table(rows, caption, name=None, columns=None):
    """Show a list of dicts with the same keys as a table; [table](#table-`name`).

    Args:
        rows: list of dicts. Text is escaped, a `Link` leads where it says, a float has at most three
            significant digits; a caller who wants others gives text.
        columns: the keys that the sentence beside it speaks of, in order; where they leave some out, all
            stand in a fold under it. None for all.
    Raises:
        ValueError: `columns` names one that the rows do not have.
    """
    every = tuple(rows[0])
    shown = every if columns is None else tuple(columns)
    if unknown := [column for column in shown if column not in every]:
        raise ValueError(f"columns: {unknown[0]!r}; expected some of {', '.join(map(repr, every))}")
    spoken = escape(caption.partition(".")[0])
    marks, above = f'class="table"{named(name)}', f"<caption>{escape(caption)}</caption>"
    content = _frame(rows, shown, marks, spoken, above)
    if set(shown) != set(every):
        whole = _frame(rows, every, 'class="table all"', f"{spoken}, all columns")
        content += f'<details class="fold"><summary>All columns</summary>{whole}</details>'
    display(HTML(content))


def _frame(rows, columns, marks, spoken, caption=""):
    """A table in a frame that scrolls where it is too wide, HTML; `spoken` names it for those who hear it."""
    head = "".join(
        f'<th scope="col">{escape(str(column))}</th>' if str(column).strip() else "<td></td>"
        for column in columns
    )
    lines = ["".join(_td(row[column]) for column in columns) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    frame = f'<div {marks} style="overflow-x:auto" tabindex="0" role="region" aria-label="{spoken}">'
    return f"{frame}<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _td(value):
    if isinstance(value, Link):
        return f'<td><a href="{escape(value.address)}">{escape(value.text)}</a></td>'
    text = _cell(value)
    if len(text) < 24:
        style = ' style="white-space:nowrap"'  # numbers and names stay in one piece
    else:
        style = ' style="min-width:16rem"' if len(text) > 60 else ""  # sentences have room
    return f"<td{style}>{escape(text)}</td>"


def _cell(value):
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def plain(text):
    """Text that Markdown shows as it is, in one line."""
    return re.sub(r"([\\`*_\[\]<>#|~&$])", r"\\\1", " ".join(text.split()))


def say(text, fold=None, claim=None):
    """Show Markdown that was put together from numbers; nothing where the text is empty.

    Args:
        fold: a few words under which the text stands folded, for those who ask: "How this is decided".
        claim: id of the claim that the text states; [claim](#claim-`id`) leads to it.
    """
    if not text:
        return
    if fold:  # Markdown in HTML: JupyterLab folds it, and a page does by the mark
        text = f"<details><summary>{escape(fold)}</summary>\n\n{text}{FOLD_END}"
    marks = {name: mark for name, mark in (("fold", fold), ("claim", claim)) if mark}
    display(Markdown(text, metadata=marks))


def folded(text):
    """What stands in a fold of `say`: Markdown."""
    return text.partition("</summary>\n\n")[2].removesuffix(FOLD_END)
