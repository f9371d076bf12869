"""What an Orderless NADE is trained on: captioned pictures, a random mask, and the loss of what the mask
hides."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from . import masks
from .losses import LOSSES, WEIGHTINGS, cross_entropy, weights

MASKS = ("orderless_in_square", "orderless", "square", "contiguish")
VARIANTS = ("plain", "early_stages", "central_square", "longest_captions")


@dataclass(frozen=True)
class EncodedPictures:
    """Pictures and captions as the model takes them: images uint8 (N, C, H, W), captions int64 (N, T),
    lengths int64 (N,)."""

    images: torch.Tensor
    captions: torch.Tensor
    lengths: torch.Tensor

    def __len__(self):
        return len(self.images)

    def take(self, indices):
        """The pictures `indices`, int64 (B,), as image int64, caption cut to the longest, caption_length."""
        lengths = self.lengths[indices]
        return self.images[indices].long(), self.captions[indices, : int(lengths.max())], lengths


def hide(kind, shape, *, hole_size, generator):
    """Draw a training mask.

    Args:
        kind: "orderless", "square" and "contiguish" as in `masks`, over the whole picture;
            "orderless_in_square": everything outside a square is known and a random part of the square, as in
            the conditionals that filling a square hole asks for.
        hole_size: side of the square, pixels; contiguish windows have a quarter of it as radius, as 8 is of
            32.
    Returns:
        known, hole: bool (B, C, H, W); the hole holds the D variables of the orderings.
    """
    whole = torch.ones(shape, dtype=torch.bool)
    if kind == "orderless":
        return masks.orderless(shape, generator=generator), whole
    if kind == "contiguish":
        return masks.contiguish(shape, radius=hole_size // 4, generator=generator), whole
    outside = masks.square(shape, size=hole_size, generator=generator)
    if kind == "square":
        return outside, whole
    return masks.orderless(shape, hole=~outside, generator=generator), ~outside


def choose(weight, most, generator):
    """The variables with a weight, at most `most` of every example, chosen at random and weighted up for
    those left out.

    Args:
        weight: float (B, C, H, W), zero where nothing is scored.
        most: int, or None for all.
    Returns:
        index: int64 (n,), flat indices, ascending.
        weight: float (n,), with the same expected sum of weighted losses.
    """
    flat = weight.flatten(1)
    if most is not None:
        place = torch.rand(flat.shape, generator=generator).masked_fill_(flat == 0, 2.0)
        first = place.topk(min(most, flat.shape[1]), largest=False).indices
        chosen = torch.zeros_like(flat, dtype=torch.bool).scatter_(1, first, True)
        count = (flat > 0).sum(1, keepdim=True)
        flat = flat * chosen * (count / count.clamp(max=most))
    index = flat.flatten().nonzero()[:, 0]
    return index, flat.flatten()[index]


@dataclass(frozen=True, kw_only=True)
class Inpainting:
    """What an inpainter is to learn, apart from the pictures.

    Args:
        mask: one of `MASKS`.
        variant: one of `VARIANTS`: what training, and not validation, does otherwise, see `variants`.
        hole_size: side of square holes, pixels.
        loss: one of `losses.LOSSES`.
        weighting: one of `losses.WEIGHTINGS`.
        optimize_given: also score known variables.
        caption_dropout: share of training examples whose caption is withheld.
        scored_variables: at most so many variables of an example are scored in a training step, chosen at
            random, with weights that keep the objective unbiased; None for all. The 256-way output costs more
            than the convnet where many are scored.
        validation_masks: masks per held-out picture in a validation, the same at every one.
    Raises:
        ValueError: an impossible value, named.
    """

    mask: str = "orderless_in_square"
    variant: str = "plain"
    hole_size: int = 32
    loss: str = "cross_entropy"
    weighting: str = "ordering_weighted"
    optimize_given: bool = False
    caption_dropout: float = 0.0
    scored_variables: int | None = None
    validation_masks: int = 1

    def __post_init__(self):
        choices = {
            "mask": MASKS,
            "variant": VARIANTS,
            "loss": tuple(LOSSES),
            "weighting": WEIGHTINGS,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}: {getattr(self, name)!r}; expected one of {', '.join(allowed)}")
        if self.scored_variables is not None and self.scored_variables < 1:
            raise ValueError(
                f"scored_variables: {self.scored_variables}; expected at least 1, or None for all"
            )
        if self.variant == "early_stages" and (self.mask != "orderless_in_square" or self.optimize_given):
            raise ValueError(
                f"variant: 'early_stages' with mask {self.mask!r} and optimize_given {self.optimize_given}; "
                "expected 'orderless_in_square' and False, as it draws the moments of filling a square"
            )
        if self.validation_masks < 1:
            raise ValueError(f"validation_masks: {self.validation_masks}; expected at least 1")
        if not 0 <= self.caption_dropout <= 1:
            raise ValueError(f"caption_dropout: {self.caption_dropout}; expected a share between 0 and 1")

    def fits(self, side):
        """Refuse, with a ValueError, a hole that pictures of `side` pixels cannot have."""
        if not 1 <= self.hole_size <= side:
            raise ValueError(
                f"hole_size: a hole of {self.hole_size} x {self.hole_size} does not fit into pictures "
                f"of {side} x {side}"
            )


@dataclass(frozen=True, kw_only=True)
class InpaintingTask(Inpainting):
    """The task that `training.train` asks for batches, losses and validation scores.

    Args:
        pictures, held_out: what to train on and what to validate on.
        augment: called with image, caption, caption_length and a generator for every training batch, gives
            the three back changed; None for none.
        others: see `Inpainting`.
    Raises:
        ValueError: an impossible value, named.
    """

    pictures: EncodedPictures
    held_out: EncodedPictures
    augment: Callable | None = None

    def __post_init__(self):
        super().__post_init__()
        self.fits(min(self.pictures.images.shape[2:]))

    def batch(self, size, generator):
        """`size` random training pictures with fresh masks.

        Returns:
            image, caption, caption_length, known: as the model takes them.
            index: int64 (n,), flat indices of the scored variables.
            weight: float32 (n,), what the loss of each counts for.
        """
        indices = torch.randint(len(self.pictures), (size,), generator=generator)
        image, caption, length = self.pictures.take(indices)
        if self.augment is not None:
            image, caption, length = self.augment(image, caption, length, generator)
        withheld = torch.rand(size, generator=generator) < self.caption_dropout
        known, hole = self.hidden(image.shape, generator)
        weight = weights(known, hole, self.weighting, self.optimize_given)
        if self.weighting == "ordering_weighted":
            weight = weight / hole[0].sum()  # per variable: D is the same for every example of a batch
        index, weight = choose(weight, self.scored_variables, generator)
        return image, caption, torch.where(withheld, 0, length), known, index, weight

    def hidden(self, shape, generator):
        """What is known and what the hole is in a training batch, see `hide`."""
        return hide(self.mask, shape, hole_size=self.hole_size, generator=generator)

    @staticmethod
    def part(batch, number, parts):
        """The `number`-th of `parts` equal parts of a batch from `batch`; the losses of all parts add up to
        the loss of the whole."""
        *pictures, index, weight = batch
        rows, variables = len(pictures[0]) // parts, pictures[0][0].numel()
        own = index // variables // rows == number
        part = (tensor[number * rows : (number + 1) * rows] for tensor in pictures)
        return *part, index[own] - number * rows * variables, weight[own]

    def loss_of(self, model, batch):
        """The objective per hole variable, a scalar: nats for cross-entropy, levels for EMD."""
        image, caption, length, known, index, weight = batch
        logits = model(image, known, caption, length, index=index)
        losses = LOSSES[self.loss](logits, image.flatten()[index])
        return (weight * losses).sum()

    @torch.no_grad()
    def validate(self, model):
        """Scores on the held-out pictures under fixed masks.

        Returns:
            dict: `loss`, the ordering-weighted objective per hole variable; `bits`, its cross-entropy in bits
                per hole variable whatever the training loss; `bits_known`, the cross-entropy of the known
                variables of the hole, NaN where there are none.
        """
        generator = torch.Generator().manual_seed(20170402)
        device = next(model.parameters()).device
        sums = torch.zeros(4, dtype=torch.float64)
        for _ in range(self.validation_masks):
            for indices in torch.arange(len(self.held_out)).split(64):
                image, caption, length = self.held_out.take(indices)
                known, hole = hide(self.mask, image.shape, hole_size=self.hole_size, generator=generator)
                inputs = (tensor.to(device) for tensor in (image, known, caption, length))
                sums += self._scores(model, *inputs, hole.to(device)).double().cpu()
        loss, bits, known_bits, num_known = sums.tolist()
        count = self.validation_masks * len(self.held_out)
        bits_known = known_bits / num_known if num_known else math.nan
        return {"loss": loss / count, "bits": bits / count, "bits_known": bits_known}

    def _scores(self, model, image, known, caption, length, hole):
        """Sums over a batch: the objective and its bits over pictures, the bits of known hole variables and
        their number."""
        index = hole.flatten().nonzero()[:, 0]
        logits, target = model(image, known, caption, length, index=index), image.flatten()[index]
        nats = cross_entropy(logits, target)
        own = nats if self.loss == "cross_entropy" else LOSSES[self.loss](logits, target)
        weight = weights(known, hole, "ordering_weighted").flatten()[index] / hole[0].sum()
        weight, seen = len(image) * weight, known.flatten()[index]
        bits = nats / math.log(2)
        return torch.stack([(weight * own).sum(), (weight * bits).sum(), (bits * seen).sum(), seen.sum()])
