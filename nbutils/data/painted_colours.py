"""Whether what a model painted into a scene has the colour that its caption names."""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from .scenes import COLOURS, SIZES, describe, render


@lru_cache(maxsize=32)
def _places(scene, index, size):
    """A scene with object `index` in every colour and at a grid of places and sizes that its caption leaves
    open: uint8 (colours, places, 3, size, size)."""
    thing = scene.objects[index]
    radii = [SIZES[thing.size] * scale for scale in (0.94, 1.0, 1.06)]
    bases = np.linspace(max(scene.horizon + 0.12, 0.64), 0.82, 5)
    moved = [
        replace(thing, x=float(x), y=float(base - radius), radius=radius)
        for radius in radii
        for base in bases
        for x in np.linspace(0.42, 0.58, 5)
    ]
    drawings = []
    for colour in COLOURS:
        for one in moved:
            objects = (*scene.objects[:index], replace(one, colour=colour), *scene.objects[index + 1 :])
            drawings.append(np.rint(render(replace(scene, objects=objects), size)[0]).astype(np.uint8))
    return np.stack(drawings).reshape(len(COLOURS), len(moved), 3, size, size)


def painted_colour(scene, index, picture, hidden):
    """The colour of the main object in a filled-in picture: of all drawings of the scene with that object in
    any colour, at any place and of any size that the caption leaves open, the one nearest to the picture in
    squared error has it.

    Args:
        picture: (3, size, size), levels.
        hidden: bool (size, size), the pixels to compare.
    Returns:
        one of `COLOURS`, or None where the hole does not reach the object as it was.
    """
    hidden, size = np.asarray(hidden), picture.shape[-1]
    if not ((render(scene, size)[1][index] > 0.5) & hidden).any():
        return None
    apart = (
        _places(scene, index, size)[..., hidden].astype(np.float32)
        - np.asarray(picture, np.float32)[:, hidden]
    )
    return list(COLOURS)[int((apart**2).sum((2, 3)).min(1).argmin())]


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


def matches(indices, seed, pictures, hidden):
    """For filled-in pictures of scenes, whether the main object has the colour that the caption names.

    Args:
        indices, seed: of the scenes; pictures: (N, 3, size, size), levels; hidden: bool (size, size), the
            hole.
    Returns:
        list of bool, for those pictures whose main object the hole reaches.
    """
    found = []
    for index, picture in zip(indices, pictures):
        scene = describe(index, seed)
        colour = painted_colour(scene, scene.main_object, np.asarray(picture), hidden)
        found += [] if colour is None else [colour == scene.objects[scene.main_object].colour]
    return found
