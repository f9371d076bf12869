"""Whether what a model painted into a scene has the colour and the shape that its caption names, or is there
at all."""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from .scenes import COLOURS, SHAPES, SIZES, describe, render

OPTIONS = {"colour": tuple(COLOURS), "shape": SHAPES}
NOTHING = "nothing"  # painted: the scene without the object is nearest


@lru_cache(maxsize=256)  # scenes are asked after in turn, hundreds of times: as many as a report fills
def _drawings(scene, index, size, part, hidden):
    """A scene with object `index` in every colour or every shape, and at a grid of places and sizes that its
    caption leaves open: uint8 (options, places, 3, hidden pixels).

    Args:
        hidden: the bytes of bool (size, size).
    """
    thing = scene.objects[index]
    radii = [SIZES[thing.size] * scale for scale in (0.94, 1.0, 1.06)]
    bases = np.linspace(max(scene.horizon + 0.12, 0.64), 0.82, 5)
    moved = [
        replace(thing, x=float(x), y=float(base - radius), radius=radius)
        for radius in radii
        for base in bases
        for x in np.linspace(0.42, 0.58, 5)
    ]
    options = OPTIONS[part]
    inside = np.frombuffer(hidden, bool).reshape(size, size)
    drawings = [
        _drawn(scene, index, replace(one, **{part: way}), size)[:, inside] for way in options for one in moved
    ]
    return np.stack(drawings).reshape(len(options), len(moved), 3, -1)


def _drawn(scene, index, thing, size):
    """A scene with another object `index`: uint8 (3, size, size)."""
    objects = (*scene.objects[:index], thing, *scene.objects[index + 1 :])
    return np.rint(render(replace(scene, objects=objects), size)[0]).astype(np.uint8)


def painted(scene, index, picture, hidden, part="colour"):
    """What an object of a scene has become in a filled-in picture: that drawing of the scene which is nearest
    to the picture in squared error says it, of all with this object in any colour (or, in the caption's
    colour, any shape), at any place and of any size that the caption leaves open, and of one without it.

    Args:
        picture: (3, size, size), levels.
        hidden: bool (size, size), the pixels to compare.
        part: "colour" or "shape".
    Returns:
        one of `OPTIONS[part]`, or `NOTHING`; None where the hole does not reach the object as it was.
    """
    hidden, size = np.asarray(hidden), picture.shape[-1]
    if not ((render(scene, size)[1][index] > 0.5) & hidden).any():
        return None
    gone = replace(scene.objects[index], x=-9.0, y=-9.0)  # far outside, and its shadow with it
    wanted = np.asarray(picture, np.float32)[:, hidden]

    def apart(drawings):
        """Squared error of what is hidden of drawings (.., 3, pixels): (..,)."""
        return ((drawings.astype(np.float32) - wanted) ** 2).sum((-2, -1))

    nearest = apart(_drawings(scene, index, size, part, hidden.tobytes())).min(1)
    if apart(_drawn(scene, index, gone, size)[:, hidden]) < nearest.min():
        return NOTHING
    return OPTIONS[part][int(nearest.argmin())]


def wholly_hidden(indices, seed, size, hidden):
    """For scenes whose main object a hole reaches, whether no object of its colour shows outside the hole.

    Args:
        indices, seed: of the scenes; size: of their pictures; hidden: bool (size, size), the hole.
    Returns:
        list of bool, for the same scenes as `matches` has.
    """
    found = []
    for index in indices:
        scene = describe(index, seed)
        coverage, main = render(scene, size)[1], scene.main_object
        if ((coverage[main] > 0.5) & hidden).any():
            same = [thing.colour == scene.objects[main].colour for thing in scene.objects]
            found.append(not (coverage[same][:, ~hidden] > 0.1).any())
    return found


def answers(indices, seed, pictures, hidden, part="colour"):
    """For filled-in pictures of scenes, what their main objects have become, and what their captions say.

    Args:
        indices, seed: of the scenes; pictures: (N, 3, size, size), levels; hidden: bool (size, size), the
            hole; part: "colour" or "shape".
    Returns:
        list of pairs (from `painted`, as the caption has it), for those pictures whose main object the hole
        reaches.
    """
    found = []
    for index, picture in zip(indices, pictures):
        scene = describe(index, seed)
        seen = painted(scene, scene.main_object, np.asarray(picture), hidden, part)
        found += [] if seen is None else [(seen, getattr(scene.objects[scene.main_object], part))]
    return found


def matches(indices, seed, pictures, hidden):
    """Whether the main object has the colour that the caption names, list of bool; see `answers`."""
    return [seen == named for seen, named in answers(indices, seed, pictures, hidden)]
