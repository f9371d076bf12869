"""Pictures being filled in under named columns, as the posts of 2017 laid them out."""

from dataclasses import replace
from html import escape

import torch

from .animation import animations, cell, facts
from .figures import gallery, hidden, picture_cell

_HEAD = 'style="font-weight:normal;font-size:.8em;text-align:left;padding:2px 4px"'
_CELL = 'style="vertical-align:top;text-align:left;padding:2px"'
_WORDS = 'style="font-size:.8em;text-align:left;padding:0 2px 10px"'
_AS_WIDE = 'style="width:0;min-width:100%"'  # as the pictures, however long the words are


def filling(result, picture, hole, alt, width=104, schedule=None, **how):
    """One picture being filled in, a cell.

    Args:
        result: `sampling.InpaintResult`; picture: its number in the batch.
        hole: bool (C, H, W), the variables that were to be filled.
        alt: what it shows, for those who cannot see it.
        width: on the page, pixels.
        schedule: the callable that gave alpha, of a Gibbs strategy; None of an ancestral one, and then what
            is yet to be drawn is grey.
        how: others of `animation.cell`.
    """
    known = None if schedule else result.known_frames[:, picture]
    told = facts(result, picture, hole, schedule)
    return cell(result.frames[:, picture], known, "", alt, width, told, **how)


def thinned(result, count):
    """A `sampling.InpaintResult` in at most `count` of its frames, two or more, the first and the last among
    them, for pages with hundreds of animations."""
    chosen = torch.linspace(0, len(result.frames) - 1, count).round().long().unique()
    by_frame = ("frames", "known_frames", "entropy_frames", "steps")
    return replace(result, **{name: getattr(result, name)[chosen] for name in by_frame})


def beside(image, known, cells, width=104):
    """Cells between the picture with its hole and the original: those of a row of `table`."""
    given = picture_cell(hidden(image, known), "", "The picture with its hole", width)
    return [given, *cells, picture_cell(image, "", "The original picture", width)]


def table(columns, rows, caption, name=None, groups=()):
    """Show cells under named columns; where there are animations they play and pause together.

    Args:
        columns: their names.
        rows: triples of the texts in the first columns, the cells (HTML, of `filling`, `animation.cell` or
            `figures.picture_cell`) in the others, and what stands under the row, such as its caption, or "".
        caption, name: as in `figures.show`.
        groups: pairs of a name and a number of columns, to stand above them.
    """
    head = _row(_th(column, "col") for column in columns)
    if groups:
        head = _row(_th(text, "colgroup", count) for text, count in groups) + head
    body = []
    for texts, cells, words in rows:
        pictures = [f"<td {_CELL}>{one}</td>" for one in cells]
        body.append(_row([*(_th(text, "row") for text in texts), *pictures]))
        if words:
            text = f"<div {_AS_WIDE}>{escape(words)}</div>"
            body.append(_row([f'<td colspan="{len(columns)}" {_WORDS}>{text}</td>']))
    inside = f'<table class="fillings"><thead>{head}</thead><tbody>{"".join(body)}</tbody></table>'
    spoken = escape(caption.partition(".")[0])
    scrolled = 'style="max-width:100%;overflow-x:auto" tabindex="0" role="group"'
    content = f'<div {scrolled} aria-label="{spoken}">{inside}</div>'
    show = animations if "data-frames" in content else gallery
    show([content], caption, name)


def _row(cells):
    return f"<tr>{''.join(cells)}</tr>"


def _th(text, scope, count=1):
    marks = f'colspan="{count}" {_HEAD}'
    return f'<th scope="{scope}" {marks}>{escape(text)}</th>' if text else f"<td {marks}></td>"
