"""In-painting tasks whose training batches differ from what they are validated on: in what they hide, or in
what is read."""

from dataclasses import asdict, dataclass

import torch

from . import masks
from .losses import weights
from .objective import InpaintingTask, choose


@dataclass(frozen=True, kw_only=True)
class EarlyStages(InpaintingTask):
    """Square holes, half of them at a uniformly random moment of an ancestral process, half of them near its
    beginning, where a sampler's first choices are made. One variable at least stays hidden."""

    def hidden(self, shape, generator):
        """As `InpaintingTask.hidden`."""
        outside = masks.square(shape, size=self.hole_size, generator=generator)
        early = torch.rand(shape[0], 1, 1, 1, generator=generator) < 0.5
        power = torch.where(early, 6.0, 1.0)
        share = torch.rand(shape[0], 1, 1, 1, generator=generator) ** power
        lot = torch.rand(shape, generator=generator).masked_fill(outside, 0)
        last = lot.amax((1, 2, 3), keepdim=True)
        return outside | (lot < share) & (lot < last), ~outside


@dataclass(frozen=True, kw_only=True)
class FixedMask(InpaintingTask):
    """The central square is hidden, always, and all of it counts the same: what there is to overfit to."""

    def batch(self, size, generator):
        """As `InpaintingTask.batch`."""
        image, caption, length, *_ = super().batch(size, generator)
        known = masks.square(image.shape, size=self.hole_size, central=True)
        weight = weights(known, ~known, "mean_unknown")
        index, weight = choose(weight, self.scored_variables, generator)
        return image, caption, length, known, index, weight


@dataclass(frozen=True, kw_only=True)
class LongestCaptions(InpaintingTask):
    """Of the captions of a batch only the longest are read, as in 2017: a length of zero is a summary of
    zeros."""

    def batch(self, size, generator):
        """As `InpaintingTask.batch`."""
        image, caption, length, *rest = super().batch(size, generator)
        return image, caption, torch.where(length == length.max(), length, 0), *rest


TASKS = {
    "plain": InpaintingTask,
    "early_stages": EarlyStages,
    "central_square": FixedMask,
    "longest_captions": LongestCaptions,
}


def task_of(choices, pictures, held_out, augment=None):
    """The task that an `Inpainting` describes, with its pictures, two `EncodedPictures`."""
    kind = TASKS[choices.variant]
    return kind(pictures=pictures, held_out=held_out, augment=augment, **asdict(choices))
