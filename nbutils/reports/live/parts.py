"""What the cells of all panels share: where a model is found again when the page is made, and the figure."""

import json
from html import escape
from pathlib import Path

from IPython.display import HTML, display

from ...show import figures
from .. import series

DOCS = series.NOTEBOOKS.parent / "docs"


def place(checkpoint):
    """How a page finds a checkpoint again: its path from the folder of the reports, or from that of the
    repository where it is a published one."""
    path = Path(checkpoint).resolve()
    if path.is_relative_to(DOCS.resolve()):
        return path.relative_to(DOCS.parent.resolve()).as_posix()
    return Path(*path.parts[path.parts.index("checkpoints") :]).as_posix()


def origin(found):
    """Whose a model is, by its `place`."""
    return "published before" if found.startswith("docs/") else "of this run"


def show(panel, cells, caption, name):
    """Show a panel's still picture.

    Args:
        panel: dict, what the panel's script is given, see `render/live`; models are `place`s under the keys
            "model", "writer" and "filler".
        cells: of `figures.gallery`, or one image.
        caption: text.
        name: of the figure.
    """
    given = escape(json.dumps(panel, ensure_ascii=False, separators=(",", ":")))
    body = f'<div class="gallery" style="display:flex;flex-wrap:wrap;gap:10px">{"".join(cells)}</div>'
    opened = f'<figure class="live"{figures.named(name)} data-live="{given}">'
    display(HTML(f"{opened}{body}<figcaption>{escape(caption)}</figcaption></figure>"))
