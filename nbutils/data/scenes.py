"""Procedurally drawn pictures with captions: the data that needs no download.

A scene is a sky, a ground and one to three shaded objects. `describe` turns (seed, index) into its
attributes, `render` turns attributes into noiseless levels at any size, `draw` adds the pixel noise. The
attributes are the ground truth that photographs lack: which words name what, which pixels belong to which
object, and how many bits no model can save.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

NOISE_SD = 3.0  # levels; the standard deviation of the pixel noise

COLOURS = {
    "red": (204, 46, 44),
    "orange": (236, 132, 36),
    "yellow": (236, 208, 62),
    "green": (50, 148, 68),
    "blue": (48, 92, 204),
    "purple": (134, 62, 170),
    "pink": (236, 142, 180),
    "white": (232, 232, 228),
    "black": (40, 40, 44),
}
SHAPES = ("ball", "box", "cone", "ring", "star", "cylinder")
SIZES = {"small": 0.17, "large": 0.27}  # radius as a share of the picture's side
TEXTURES = ("plain", "striped")
RELATIONS = ("left", "right", "above", "front")
# sky: colour at the zenith and at the horizon
SKIES = {
    "clear": ((84, 142, 212), (188, 214, 236)),
    "cloudy": ((120, 130, 146), (198, 202, 208)),
    "evening": ((92, 70, 134), (238, 156, 96)),
    "dark": ((24, 28, 58), (66, 76, 118)),
}
GROUNDS = {
    "grass": (88, 142, 62),
    "sand": (214, 184, 128),
    "snow": (218, 224, 232),
    "water": (46, 100, 142),
    "soil": (128, 92, 66),
}


@dataclass(frozen=True)
class SceneObject:
    """One object. Lengths are shares of the picture's side, `x` from the left and `y` from the top, both of
    the centre."""

    shape: str
    colour: str
    size: str
    texture: str
    relation: str  # to the first object; empty for the first object itself
    x: float
    y: float
    radius: float
    angle: float  # radians, of stars and stripes

    @property
    def phrase(self):
        """The words of the caption that name this object, such as 'large striped red ball'."""
        return " ".join(
            word for word in (self.size, self.texture, self.colour, self.shape) if word != "plain"
        )


@dataclass(frozen=True)
class Scene:
    """The attributes of a picture, objects from back to front; `light` is -1 for light from the left and 1
    from the right."""

    sky: str
    ground: str
    objects: tuple[SceneObject, ...]
    captions: tuple[str, ...]
    light: int
    horizon: float
    hill: float
    phases: tuple[float, ...]

    @property
    def main_object(self):
        """Index of the object that the others are placed around."""
        return next(i for i, thing in enumerate(self.objects) if not thing.relation)


def describe(index, seed=0):
    """The attributes of scene `index` of the series `seed`, a `Scene`; the same for ever and at every picture
    size."""
    if index < 0 or seed < 0:
        raise ValueError(
            f"scenes are numbered from 0: index is {index} and seed is {seed}, neither may be negative"
        )
    rng = np.random.default_rng((seed, index, 0))
    sky, ground = rng.choice(list(SKIES)), rng.choice(list(GROUNDS))
    horizon = rng.uniform(0.40, 0.58)
    colours = rng.permutation(list(COLOURS))
    first = _place(rng, str(colours[0]), "", horizon, None)
    relations = rng.permutation(RELATIONS)[: rng.choice(3, p=(0.6, 0.3, 0.1))]
    others = [
        _place(rng, str(colours[1 + i]), str(relation), horizon, first)
        for i, relation in enumerate(relations)
    ]
    objects = sorted(
        [first, *others], key=lambda o: (o.relation == "front", o.relation != "above", o.relation != "")
    )
    return Scene(
        sky=str(sky),
        ground=str(ground),
        objects=tuple(objects),
        captions=_captions(rng, sky, ground, first, others),
        light=int(rng.choice((-1, 1))),
        horizon=float(horizon),
        hill=float(rng.uniform(0, 0.10)),
        phases=tuple(float(p) for p in rng.uniform(0, 2 * math.pi, 6)),
    )


def _place(rng, colour, relation, horizon, first):
    shape = str(rng.choice(SHAPES))
    size = str(rng.choice(list(SIZES))) if relation in ("", "left", "right") else "small"
    radius = SIZES[size] * rng.uniform(0.92, 1.08)
    base = rng.uniform(max(horizon + 0.12, 0.64), 0.82)  # where it touches the ground
    x, y = rng.uniform(0.42, 0.58), base - radius
    if relation == "left":
        x = first.x - first.radius - radius - rng.uniform(0.0, 0.06)
    elif relation == "right":
        x = first.x + first.radius + radius + rng.uniform(0.0, 0.06)
    elif relation == "above":
        x, y = first.x + rng.uniform(-0.1, 0.1), first.y - first.radius - radius - rng.uniform(0.02, 0.06)
    elif relation == "front":
        x, y = first.x + rng.choice((-1, 1)) * rng.uniform(0.05, 0.12), first.y + first.radius + 0.14 - radius
    angle = rng.uniform(-0.5, 0.5)
    texture = str(rng.choice(TEXTURES, p=(0.8, 0.2))) if size == "large" else "plain"
    return SceneObject(
        shape, colour, size, texture, relation, float(x), float(y), float(radius), float(angle)
    )


def _captions(rng, sky, ground, first, others):
    where = {"left": "to the left", "right": "to the right", "above": "above it", "front": "in front of it"}
    parts = [f"a {o.phrase} {where[o.relation]}" for o in others]
    opening = (f"A {first.phrase}", f"There is a {first.phrase}", f"We see a {first.phrase}")[rng.integers(3)]
    objects = " and ".join([opening + (" with " if parts else "") + (parts[0] if parts else ""), *parts[1:]])
    settings = (
        f"The sky is {sky} over the {ground}.",
        f"{'An' if sky == 'evening' else 'A'} {sky} sky above {ground}.",
        f"{ground.capitalize()} below, {sky} sky above.",
    )
    return objects + ".", settings[rng.integers(3)]


@lru_cache(maxsize=4)
def _grid(size):
    # in double precision: sines in single precision are rounded otherwise on other processors, which moved a
    # level of the rounded picture in a hundred thousand, and made other data of it
    centres = (np.arange(size) + 0.5) / size
    return np.meshgrid(centres, centres)  # x (size, size), y (size, size)


def _coverage(distance, size):
    """Anti-aliased coverage of a pixel from its signed distance to an outline (negative inside), in shares of
    the side: a ramp of half a pixel, as crisp as edges get before they look like stairs."""
    return np.clip(0.5 - 2 * distance * size, 0, 1)


def _mix(below, above, coverage):
    return below + coverage * (above - below)


def _rgb(colour):
    return np.array(colour, float)[:, None, None]


def render(scene, size=64):
    """The noiseless picture of a scene.

    Returns:
        clean: float64 (3, size, size), levels between 0 and 255, not rounded.
        coverage: float64 (objects, size, size), the visible share of each pixel that belongs to each object.
    """
    x, y = _grid(size)
    clean = _backdrop(scene, x, y, size)
    layers = []
    for thing in scene.objects:
        outline, shade = _shaded_shape(thing, scene.light, x, y)
        if thing.relation != "above":
            clean = clean * (1 - 0.3 * _shadow(thing, scene.light, x, y))
        if thing.texture == "striped":
            u = (x - thing.x) * math.sin(thing.angle) + (y - thing.y) * math.cos(thing.angle)
            shade = shade * (0.86 + 0.14 * np.sin(u / thing.radius * 6))
        covered = _coverage(outline, size)
        layers = [layer * (1 - covered) for layer in layers] + [covered]
        clean = _mix(clean, np.clip(_rgb(COLOURS[thing.colour]) * shade, 12, 243), covered)
    return clean, np.stack(layers)


def _backdrop(scene, x, y, size):
    p = scene.phases
    top, bottom = (_rgb(c) for c in SKIES[scene.sky])
    ridge = scene.horizon - scene.hill * (0.5 + 0.5 * np.sin(5 * x + p[0])) - 0.02 * np.sin(11 * x + p[1])
    height = np.clip(y / scene.horizon, 0, 1)
    sky = _mix(top, bottom, height)
    if scene.sky == "cloudy":
        sky = sky * (1 + 0.06 * np.sin(7 * x + 3 * np.sin(4 * y + p[2]) + p[3]) * np.sin(9 * y + p[4]))
    disc = {"clear": (250, 240, 190), "evening": (250, 206, 120), "dark": (222, 224, 210)}.get(scene.sky)
    if disc:
        sun = np.hypot(x - (0.5 + 0.36 * scene.light), y - 0.13)
        sky = _mix(
            sky, _rgb(disc), np.maximum(np.clip((0.06 - sun) * 32, 0, 1), 0.35 * np.exp(-((sun / 0.11) ** 2)))
        )
    hills = _mix(_rgb(GROUNDS[scene.ground]) * 0.7, bottom, 0.5)
    picture = _mix(sky, hills, _coverage(ridge - y, size))
    depth = np.clip((y - scene.horizon) / (1 - scene.horizon), 0, 1)
    return _mix(picture, _ground(scene, x, depth), _coverage(scene.horizon - y, size))


def _ground(scene, x, depth):
    p = scene.phases
    rows = np.log1p(6 * depth)  # equal steps recede towards the horizon
    pattern = {
        "grass": 0.045 * np.sin(26 * x + 4 * np.sin(9 * rows + p[2]) + p[3]) * depth,
        "sand": 0.035 * np.sin(14 * rows + 2 * np.sin(5 * x + p[2]) + p[3]),
        "snow": 0.02 * np.sin(5 * x + 4 * rows + p[2]),
        "water": 0.06 * np.sin(22 * rows + 1.5 * np.sin(8 * x + p[2]) + p[3]),
        "soil": 0.045 * np.sin(16 * (x - 0.5) / (0.4 + depth) + p[2]),
    }[scene.ground]
    return _rgb(GROUNDS[scene.ground]) * (0.86 + 0.16 * depth + pattern)


def _shadow(thing, light, x, y):
    u = (x - thing.x + 0.35 * light * thing.radius) / (1.15 * thing.radius)
    v = (y - thing.y - thing.radius) / (0.28 * thing.radius)
    return np.exp(-1.2 * (u * u + v * v) ** 2)


def _shaded_shape(thing, light, x, y):
    """Signed distance to the outline and brightness of the surface, both (size, size)."""
    u, v = (x - thing.x) / thing.radius, (y - thing.y) / thing.radius
    radial = np.hypot(u, v)
    slope = (light * u - v) * 0.7071  # 1 towards the light, -1 away from it
    if thing.shape == "ball":
        facing = slope * 0.8 + 0.6 * np.sqrt(np.clip(1 - radial**2, 0, 1))
        glint = np.exp(-(((u - 0.35 * light) ** 2 + (v + 0.35) ** 2) / 0.05))
        outline, shade = radial - 1, 0.62 + 0.45 * np.clip(facing, 0, 1) + 0.35 * glint
    elif thing.shape == "box":
        outline, shade = (
            np.maximum(abs(u), abs(v)) - 0.88,
            0.95
            + 0.12 * slope
            - 0.2 * np.clip(-3 * (light * u + 0.4), 0, 1)
            + 0.08 * np.clip(-3 * (v + 0.5), 0, 1),
        )
    elif thing.shape == "cone":
        half = 0.5 * (v + 1) * 0.92  # half width at this height
        profile = np.clip(u / np.maximum(half, 1e-3), -1, 1) * light
        outline, shade = np.maximum(0.9 * (abs(u) - half), v - 0.95), 0.82 + 0.30 * profile
    elif thing.shape == "ring":
        tube = (radial - 0.64) / 0.34
        outline, shade = (
            (abs(tube) - 1) * 0.34,
            0.72 + 0.24 * np.sqrt(np.clip(1 - tube**2, 0, 1)) + 0.16 * slope,
        )
    elif thing.shape == "star":
        turn = np.arctan2(u, -v) + 0.3 * thing.angle
        fold = abs((turn / (2 * math.pi / 5) + 0.5) % 1 - 0.5) * 2  # 0 at a tip, 1 between two tips
        outline, shade = 0.75 * (radial - (1.06 - 0.5 * fold)), 0.98 + 0.14 * slope
    else:  # cylinder
        profile = np.clip(u / 0.62, -1, 1) * light
        body = np.maximum(abs(u) - 0.62, np.maximum(-(v + 0.78), v - 0.95))
        cap = (np.hypot(u / 0.62, (v + 0.78) / 0.2) - 1) * 0.2
        outline, shade = (
            np.minimum(body, cap),
            _mix(0.80 + 0.28 * profile, 1.08, np.clip(0.5 - 12 * cap, 0, 1)),
        )
    return outline * thing.radius, shade


def draw(index, seed=0, size=64):
    """Picture `index` of the series `seed`: uint8 (3, size, size), the clean picture plus Gaussian noise,
    rounded and clipped."""
    clean, _ = render(describe(index, seed), size)
    noise = np.random.default_rng((seed, index, size)).standard_normal(clean.shape, np.float32)
    return np.clip(np.rint(clean + NOISE_SD * noise), 0, 255).astype(np.uint8)


def noise_entropy(clean):
    """Entropy in bits of each variable of a noisy picture, given its clean level: the floor of any model's
    likelihood.

    Exact for the rounded and clipped Gaussian; about log2(3 sqrt(2 pi e)) = 3.63 away from the ends of the
    scale.

    Args:
        clean: array of any shape, levels before noise.
    Returns:
        float64 array of the same shape, bits.
    """
    clean = torch.as_tensor(clean, dtype=torch.float64)
    edges = torch.cat([torch.tensor([-math.inf]), torch.arange(255) + 0.5, torch.tensor([math.inf])])
    entropies = []
    for part in clean.flatten().split(
        1 << 15
    ):  # each level takes 256 probabilities: many pictures at once would not fit
        p = torch.special.ndtr((edges - part[:, None]) / NOISE_SD).diff(dim=-1)
        entropies.append(-torch.special.xlogy(p, p).sum(-1) / math.log(2))
    return torch.cat(entropies).view(clean.shape).numpy()
