"""Pictures filling in, as GIFs that can be paused and that stand still for readers who asked for less motion."""

import io
import itertools
from html import escape

import numpy as np
from IPython.display import HTML, display
from PIL import Image

from .figures import data_uri, hidden, png

_numbers = itertools.count(1)


def gif(frames, milliseconds=120, hold=1500):
    """Frames uint8 (F, C, H, W) as an endlessly looping GIF at their own size; the last frame is held for `hold` milliseconds.

    All frames share one palette of at most 256 colours, chosen from all of them, so that nothing flickers.
    """
    frames = [np.asarray(frame, np.uint8).transpose(1, 2, 0).repeat(3 // frame.shape[0], 2) for frame in frames]
    palette = Image.fromarray(np.concatenate(frames)).quantize(256, Image.Quantize.MEDIANCUT)
    images = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    file = io.BytesIO()
    durations = [milliseconds] * (len(images) - 1) + [hold]
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], loop=0, duration=durations, optimize=False, disposal=1, palette=bytes(palette.getpalette()))
    return file.getvalue()


def cell(frames, known_frames, label, alt, width=128):
    """One animation of an `animations` figure; what is not yet known in a frame may be greyed by passing `known_frames`."""
    pictures = [np.asarray(f, np.uint8) if known_frames is None else hidden(f, k) for f, k in zip(frames, known_frames if known_frames is not None else frames)]
    style = f"width:{width}px;image-rendering:pixelated;display:block"
    moving = data_uri(gif(pictures), "image/gif")
    still = png(pictures[-1])
    source = f'<source media="(prefers-reduced-motion: reduce)" srcset="{still}">'
    picture = f'<picture>{source}<img class="moving" src="{moving}" alt="{escape(alt)}" style="{style}"></picture>'
    poster = f'<img class="still" src="{still}" alt="{escape(alt)}, last frame" style="{style}">'
    text = f'<span style="display:block;font-size:.8em;max-width:{width}px;overflow-wrap:break-word">{escape(label)}</span>' if label else ""
    return f'<div style="width:{width}px">{picture}{poster}{text}</div>'


def animations(cells, caption):
    """Show animation cells (and still `figures.picture_cell`s) under one caption, with one button that pauses them all."""
    name = f"animation-{next(_numbers)}"
    style = f"#{name} .still{{display:none!important}}#{name}.paused .still{{display:block!important}}#{name}.paused .moving{{display:none!important}}"
    script = "const f=this.closest('figure'),p=f.classList.toggle('paused');this.setAttribute('aria-pressed',p);this.textContent=p?'Play':'Pause'"
    button = f'<button type="button" class="pause" aria-pressed="false" onclick="{script}">Pause</button>'
    body = f'<div class="gallery" style="display:flex;flex-wrap:wrap;gap:10px">{"".join(cells)}</div>'
    display(HTML(f'<figure id="{name}" class="pictures"><style>{style}</style>{body}{button}<figcaption>{escape(caption)}</figcaption></figure>'))
