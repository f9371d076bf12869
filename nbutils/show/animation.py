"""Pictures filling in, as GIFs that can be paused, looked through frame by frame, and that stand still for
readers who asked for less motion."""

import io
import itertools
import json
import re
from html import escape

import numpy as np
from IPython.display import HTML, display
from PIL import Image

from .figures import data_uri, hidden, named

_numbers = itertools.count(1)
_STYLE = (
    ".animated .strip{display:none;overflow:hidden}"
    ".animated .moving,.animated .alone .strip{display:block}"
    ".animated.paused .strip,.animated.driven .strip{display:block}"
    ".animated.paused .moving,.animated.driven .moving{display:none}"
    ".animated .frame-facts{display:block}"
    "@media print{.animated .moving{display:none}.animated .strip{display:block}"
    ".animated .strip>img{transform:var(--last)!important}}"
    "@media (prefers-reduced-motion:reduce){.animated .moving{display:none}.animated .strip{display:block}}"
)
# Shows frame k of every strip of the figure; a strip is all frames of a cell, one under the other. What is to
# be said of a frame stands once where it is the same in all cells, and under each cell where it is not.
_SEEK = (
    "const f=this.closest('figure'),r=f.querySelector('input[type=range]'),told=[];"
    "for(const s of f.querySelectorAll('.strip')){const n=+s.dataset.frames,"
    "k=Math.round(r.value/Math.max(1,r.max)*(n-1));"
    "s.firstElementChild.style.transform=`translateY(${-100*k/n}%)`;"
    "told.push([s.parentElement.querySelector('.frame-facts'),JSON.parse(s.dataset.facts)[k].split(', ')])}"
    "const same=told[0][1].filter((t,i)=>told.every(([,parts])=>parts[i]===t));"
    "for(const [e,parts] of told)e.textContent=parts.filter(t=>!same.includes(t)).join(', ');"
    "const said=[`frame ${+r.value+1} of ${+r.max+1}`,...same].filter(Boolean).join(', '),"
    "p=f.querySelector('.place');p.textContent=f.matches('.paused,.driven')?said:'playing';"
    "r.setAttribute('aria-valuetext',said);"
)
_MARK = (
    "const b=f.querySelector('.pause'),p=f.classList.contains('paused');"
    "b.setAttribute('aria-pressed',p);b.textContent=p?'Play':'Pause';"
)
_LOOK = "f.querySelector('input[type=range]').dispatchEvent(new Event('input'));"
_RESTART = "if(!p)for(const i of f.querySelectorAll('img.moving'))i.src=i.src;"  # so that all begin together


def gif(frames, milliseconds=120, hold=1500):
    """Frames uint8 (F, C, H, W) as an endlessly looping GIF at their own size; the last frame is held for
    `hold` milliseconds."""
    first, *others = _with_one_palette(frames)
    file = io.BytesIO()
    times = dict(loop=0, duration=[milliseconds] * len(others) + [hold])
    kept = dict(optimize=False, disposal=1, palette=bytes(first.getpalette()))
    first.save(file, "GIF", save_all=True, append_images=others, **times, **kept)
    return file.getvalue()


def strip(frames):
    """The same frames, one under the other, as a PNG."""
    images = _with_one_palette(frames)
    width, height = images[0].size
    whole = Image.new("P", (width, height * len(images)))
    whole.putpalette(images[0].getpalette())
    for number, image in enumerate(images):
        whole.paste(image, (0, number * height))
    file = io.BytesIO()
    whole.save(file, "PNG", optimize=True)
    return file.getvalue()


def _with_one_palette(frames):
    """Pillow images that share at most 256 colours, chosen from all frames, so that nothing flickers."""
    frames = [np.asarray(frame, np.uint8).transpose(1, 2, 0) for frame in frames]
    frames = [frame.repeat(3 // frame.shape[2], 2) for frame in frames]
    palette = Image.fromarray(np.concatenate(frames)).quantize(256, Image.Quantize.MEDIANCUT)
    return [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]


def facts(result, picture, hole, schedule=None):
    """What each frame of one picture of a `sampling.InpaintResult` shows: step, alpha, variables that are
    known, or kept, and the mean entropy of the others; a list of strings.

    Args:
        result: InpaintResult.
        picture: its number in the batch.
        hole: bool (C, H, W), the variables that were to be filled.
        schedule: the callable that gave alpha, for the Gibbs strategies.
    """
    lines, last = [], int(result.steps[-1, picture])
    for frame, steps in enumerate(result.steps[:, picture].tolist()):
        known, entropy = result.known_frames[frame, picture], result.entropy_frames[frame, picture]
        predicted = entropy[hole & (entropy > 0)]
        parts = [f"step {steps} of {last}"]
        if schedule and steps:
            parts.append(f"alpha {schedule(steps - 1, last):.3g}")
        # a step of Gibbs sampling keeps what it does not draw again
        parts.append(f"{int((known & hole).sum())} of {int(hole.sum())} {'kept' if schedule else 'known'}")
        if len(predicted):
            parts.append(f"{float(predicted.mean()):.1f} bits")
        filled = not schedule and steps == last  # what was known before the last draw would look unfinished
        lines.append(f"{parts[0]}, filled" if filled else ", ".join(parts))
    return lines


def cell(frames, known_frames, label, alt, width=128, frame_facts=None, milliseconds=120, alone=False):
    """One animation of an `animations` figure.

    Args:
        frames: uint8 (F, C, H, W).
        known_frames: bool (F, C, H, W), to show in grey what is not yet known in a frame, but for the last;
            None to show all.
        label: text under it.
        alt: what it shows, for those who cannot see it.
        width: on the page, pixels.
        frame_facts: a text for each frame, parts with commas between, shown with it; from `facts`, say.
        milliseconds: how long a frame lasts.
        alone: only as frames that a page's script moves, which takes half the room; where no script runs it
            stands still.
    """
    pictures = [np.asarray(frame, np.uint8) for frame in frames]
    if known_frames is not None:
        pictures[:-1] = [hidden(frame, known) for frame, known in zip(pictures[:-1], known_frames)]
    count = len(pictures)
    frame_facts = frame_facts or [""] * count
    height = round(width * pictures[0].shape[1] / pictures[0].shape[2])
    sizes = f'alt="{escape(alt)}" width="{width}" height="{height}" style="image-rendering:pixelated"'
    moving = ""
    if not alone:
        source = data_uri(gif(pictures, milliseconds), "image/gif")
        moving = f'<img class="moving" loading="lazy" src="{source}" {sizes}>'
    to_last = f"--last:translateY({-100 * (count - 1) / count}%);transform:var(--last)"
    style = f"width:{width}px;image-rendering:pixelated;display:block;{to_last}"
    source = data_uri(strip(pictures), "image/png")
    poster = f'<img src="{source}" alt="{escape(alt)}, stopped" style="{style}">'
    told = escape(json.dumps(frame_facts))
    data = f'data-frames="{count}" data-milliseconds="{milliseconds}" data-facts="{told}"'
    still = f'<div class="strip" {data} style="width:{width}px;height:{height}px">{poster}</div>'
    text = ""
    if label:
        link = f'<a href="#parameters" title="The parameters of this run">{escape(label)}</a>'
        text = f'<span style="display:block;font-size:.8em;overflow-wrap:break-word">{link}</span>'
    room = "min-height:2.8em;" if any(frame_facts) else ""  # so that nothing moves when it is said
    told = f'<span class="frame-facts" style="{room}font-size:.7em"></span>'
    marked = ' class="alone"' * alone
    return f'<div{marked} style="width:{width}px">{moving}{still}{text}{told}</div>'


def animations(cells, caption, name=None):
    """Show animation cells (and still `figures.picture_cell`s) under one caption, which play, pause and are
    looked through together.

    `name`: for references to the figure, see `figures.show`.
    """
    pause = f"const f=this.closest('figure');f.classList.toggle('paused');{_MARK}{_RESTART}{_LOOK}"
    # only a reader's own hand stops what moves: `isTrusted`
    seek = f"if(event.isTrusted)this.closest('figure').classList.add('paused');{_SEEK}{{{_MARK}}}"
    button = f'<button type="button" class="pause" aria-pressed="false" onclick="{pause}">Pause</button>'
    # of the longest animation, so that every frame can be reached
    last = max(int(count) for count in re.findall(r'data-frames="(\d+)"', "".join(cells))) - 1
    slider = f'<input type="range" min="0" max="{last}" value="{last}" aria-label="Frame" oninput="{seek}">'
    body = f'<div class="gallery" style="display:flex;flex-wrap:wrap;gap:10px">{"".join(cells)}</div>'
    controls = f'<div class="controls">{button} {slider} <span class="place">playing</span></div>'
    content = f"<style>{_STYLE}</style>{body}{controls}"
    opened = f'<figure id="animation-{next(_numbers)}" class="pictures animated"{named(name)}>'
    display(HTML(f"{opened}{content}<figcaption>{escape(caption)}</figcaption></figure>"))
