"""Which filled-in pictures are better: how far they are from the originals, by three measures, and the rule
by which two ways of filling are weighed against each other.

How far a sample is from the original rewards caution: nothing is nearer on average than the median. So what
is weighed is the energy score (Gneiting and Raftery 2007), E|X - y| - E|X - X'| / 2 with X and X' two samples
and y the original: on average nobody gets less than who draws from where the original came from.

It scores pictures that are already there; filling them is `nade.sampling`.
"""

from dataclasses import dataclass

import torch

from ..data import painted_colours
from ..nade import statistics
from ..show import figures
from . import intervals

UNITS = {"stray": "of the hole", "roughness": "levels", "error": "levels"}
SAID = {"better": "better than", "worse": "worse than", "undecided": "not told apart from"}


@dataclass(frozen=True)
class Originals:
    """Held-out pictures with a hole. Fillings of it, int64 (N, C, H, W), are of the first N of them.

    Args:
        image: int64 (B, C, H, W); hole: bool (B, C, H, W), True where variables are filled in.
        indices, seed: of the scenes that they are; None for pictures whose colours nobody knows.
    Raises:
        ValueError: holes that differ.
    """

    image: torch.Tensor
    hole: torch.Tensor
    indices: tuple | None = None
    seed: int | None = None

    def __post_init__(self):
        if not torch.equal(self.hole, self.hole[:1, :1].expand_as(self.hole)):
            raise ValueError("hole: differs between pictures or channels; expected one hole for all of them")

    def measure(self, pictures):
        """Statistics of the hole, each a value per picture: `extremes`, the share of 0 and 255; `stray`, the
        share that differs from all neighbours by more than 32 levels; `roughness`, the mean difference
        between neighbours, levels."""
        hole = self.hole[: len(pictures)]
        return {
            "extremes": statistics.extreme_share(pictures, hole),
            "stray": statistics.hole_mean(statistics.stray(pictures), hole),
            "roughness": statistics.roughness(pictures, hole),
        }

    def distances(self, pictures):
        """How far pictures are from the originals, each a value per picture: in `stray`, in `roughness`, and
        in themselves, `error`, the mean difference of a variable in levels."""
        truth = self.image[: len(pictures)]
        found, wanted = self.measure(pictures), self.measure(truth)
        error = statistics.hole_mean((pictures - truth).abs(), self.hole[: len(pictures)])
        return {name: (found[name] - wanted[name]).abs() for name in ("stray", "roughness")} | {
            "error": error
        }

    def scores(self, pair):
        """Energy scores of a way of filling, as of `distances`, from two samples of each hole.

        Args:
            pair: two times int64 (N, C, H, W), drawn independently.
        """
        first, second = pair
        one, other = self.distances(first), self.distances(second)
        apart = Originals(second, self.hole[: len(second)]).distances(first)
        return {name: (one[name] + other[name] - apart[name]) / 2 for name in one}

    def compare(self, first, second, measures=tuple(UNITS)):
        """Two ways of filling the same holes, picture by picture.

        Args:
            first, second: of each way a pair of samples, see `scores`.
        Returns:
            effects: of taking the first instead of the second, from `intervals.mean`, by measure; with `p`,
                adjusted for looking at several measures.
            verdict: of `weighed`.
        """
        one, other = self.scores(first), self.scores(second)
        effects = several({name: intervals.mean(one[name] - other[name]) for name in measures})
        return effects, weighed(effects)

    def row(self, pictures):
        """What there is to say of fillings in a table: texts by the name of a column, means over pictures."""
        hole, truth = self.hole[: len(pictures)], self.image[: len(pictures)]
        found, error = self.measure(pictures), self.distances(pictures)["error"]
        row = {
            "stray": f"{float(found['stray'].mean()):.1%}",
            "roughness": f"{float(found['roughness'].mean()):.1f}",
            "error": f"{float(error.mean()):.1f}",
            "colour": self.told(pictures),
            "missing": counted(self.missing(pictures)),
            "extremes": f"{float(found['extremes'].mean()):.1%}",
        }
        if torch.equal(pictures, truth):
            return row | {"PSNR (dB)": "", "SSIM": ""}
        psnr = float(statistics.psnr(pictures, truth, hole).mean())
        ssim = float(statistics.ssim(pictures, truth, hole).mean())
        return row | {"PSNR (dB)": f"{psnr:.1f}", "SSIM": f"{ssim:.2f}"}

    def colours(self, pictures):
        """Whether the main object has the colour that its caption names, for each picture whose hole reaches
        it; of pictures that are no scenes, nothing. An object that is not there at all has no colour."""
        return [seen == named for seen, named in self.painted(pictures)]

    def painted(self, pictures, part="colour"):
        """For each picture that `colours` speaks of, what its main object has become and what its caption
        says, from `painted_colours.answers`; `part` is "colour" or "shape"."""
        if not self.indices:
            return []
        hidden = self.hole[0, 0].numpy()
        return painted_colours.answers(self.indices[: len(pictures)], self.seed, pictures, hidden, part)

    def missing(self, pictures):
        """For each picture that `colours` speaks of: whether its main object is not there at all."""
        return [seen == painted_colours.NOTHING for seen, _ in self.painted(pictures)]

    def wholly_hidden(self, count):
        """Of the first `count` pictures, for each that `colours` speaks of: whether nothing of the colour of
        its main object shows outside the hole, so that only the caption tells it."""
        if not self.indices:
            return []
        hidden = self.hole[0, 0].numpy()
        return painted_colours.wholly_hidden(self.indices[:count], self.seed, self.image.shape[-1], hidden)

    def told(self, pictures):
        """How many objects have the colour of their captions, and how many of those whose colour shows
        nowhere outside the hole: "12 of 16; wholly hidden 3 of 5"."""
        matches, unseen = self.colours(pictures), self.wholly_hidden(len(pictures))
        alone = [match for match, is_unseen in zip(matches, unseen) if is_unseen]
        return "; wholly hidden ".join(filter(None, (counted(matches), counted(alone))))


def several(effects):
    """Effects from `intervals.mean`, a dict, with `p` adjusted for looking at all of them."""
    adjusted = intervals.adjusted([intervals.p_value(found) for found in effects.values()])
    return {name: found | {"p": p} for (name, found), p in zip(effects.items(), adjusted)}


def weighed(effects):
    """By effects of `several`: "better" where one at least is below zero and none above, an effect counting
    if its adjusted p is below 0.05; "worse" the other way round; else "undecided"."""
    signs = {intervals.side(effect) for effect in effects.values() if effect["p"] < 0.05} - {0}
    return {(-1,): "better", (1,): "worse"}.get(tuple(signs), "undecided")


def counted(matches):
    """ "12 of 16" of a list of bool; nothing of an empty one."""
    return f"{sum(matches)} of {len(matches)}" if matches else ""


def table(comparisons, caption, name):
    """Show what `Originals.compare` found by all measures, a dict from the name of a row."""
    rows = []
    for label, (effects, verdict) in comparisons.items():
        row = {"compared": label, "verdict": verdict}
        for measure, found in effects.items():
            unit, scale = ("points", 100) if measure == "stray" else ("levels", 1)
            low, high = (scale * bound for bound in found["interval"])
            row[f"{measure} ({unit})"] = f"{scale * found['effect']:+.2f} ({low:+.2f} to {high:+.2f})"
        rows.append(row)
    figures.table(rows, caption, name, columns=("compared", "verdict", "error (levels)"))


def settle(claims, claim, effects, verdict, measured, evidence, **how):
    """Settle a claim by the measure whose effect is clearest.

    Args:
        claims: `ledger.Ledger`; claim: its id.
        effects: from `Originals.compare`; verdict: supported, refuted or undecided.
        measured: which two were compared; evidence, how: as in `Ledger.settle`.
    """
    name, found = intervals.decisive(effects)
    claims.settle(
        claim,
        found,
        unit=UNITS[name],
        per="pictures",
        measured=f"{measured}, energy score of the {name}",
        evidence=evidence,
        verdict=verdict,
        **how,
    )
