"""What is published weighs less than what was run: pictures without loss in a smaller format, and in
notebooks, beside pages that move, a still and links."""

import base64
import io
import re
from copy import deepcopy

from PIL import Image

from ..render.pictures import AT_ITS_END

_PNG = re.compile("data:image/png;base64,([A-Za-z0-9+/=]+)")
_MOVING = re.compile(r'<img class="moving"[^>]*>')
_STRIP = re.compile(
    r'<div class="strip" data-frames="(\d+)"[^>]*style="([^"]*)"><img '
    r'src="data:image/png;base64,([^"]*)" alt="([^"]*), stopped"[^>]*></div>'
)
_CONTROLS = re.compile(
    r'(?s)(<figure id="animation-\d+"[^>]*>)<style>.*?</style>(.*?)<div '
    r'class="controls">.*?</div>(<figcaption>.*?)</figcaption>'
)
_LARGEST_SIDE = 16_383  # pixels, of a WebP


def pictures(text):
    """A page or notebook whose PNGs are lossless WebPs, pixel for pixel the same, wherever that is
    smaller."""
    return _PNG.sub(_smaller, text)


def _smaller(found):
    with Image.open(io.BytesIO(base64.b64decode(found[1]))) as image:
        if max(image.size) > _LARGEST_SIDE:
            return found[0]
        file = io.BytesIO()
        image.convert("RGBA" if image.has_transparency_data else "RGB").save(
            file, "WEBP", lossless=True, exact=True, quality=100, method=6
        )
    smaller = f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
    return min(found[0], smaller, key=len)


def without_warnings(notebook):
    """A notebook without what was said on stderr, as on its page: libraries warn there, and tell where on
    the machine they lie."""
    notebook = deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def without_motion(notebook, page):
    """A notebook in which of every figure that moves, as `animation.animations` shows it, the first animation
    stands still at its last frame, and links to the `page` stand for the others."""
    notebook = deepcopy(notebook)
    elsewhere = rf'<a href="{page}" title="\4">on the page</a>'
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            shown = output.get("data", {}).get("text/html", "")
            if _STRIP.search(shown):
                still = _STRIP.sub(_last_frame, _MOVING.sub("", shown), count=1)
                output["data"]["text/html"] = _CONTROLS.sub(
                    rf'\1\2\3 <a href="{page}">In motion on the page.</a></figcaption>',
                    _STRIP.sub(elsewhere, still),
                )
    return notebook


def _last_frame(found):
    count, style, content, alt = found.groups()
    with Image.open(io.BytesIO(base64.b64decode(content))) as strip:
        height = strip.height // int(count)
        file = io.BytesIO()
        strip.crop((0, strip.height - height, strip.width, strip.height)).save(file, "PNG", optimize=True)
    return (
        f'<img src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}" '
        f'alt="{alt}{AT_ITS_END}" style="{style};image-rendering:pixelated">'
    )
