"""What pixel models are trained on and scored by: tasks for `training.train`, and scores over whole sets.

A classifier with batch normalisation is scored twice: with the running averages of its training, and with
averages estimated again over training pictures (torch.optim.swa_utils.update_bn), which tells the model from
its averages.
"""

import copy
import math
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import update_bn

from .models import pixel_nll

_AT_ONCE = 256


def features_of(model, pixels):
    """A classifier's features for many pictures, pixels (N, T) -> (N, units), some at a time."""
    pixels = pixels.to(next(model.parameters()).dtype)
    with torch.no_grad():
        return torch.cat([model.features(part) for part in pixels.split(_AT_ONCE)])


def reestimated(head, features):
    """A copy of a classifier's head whose averages are those of `features`, from training pictures; in
    evaluation mode."""
    head = copy.deepcopy(head)
    update_bn([features], head)
    return head.eval()


@torch.no_grad()
def score(head, features, labels):
    """Nats per picture and whether the likeliest class is right: float (N,) and bool (N,)."""
    logits = head(features)
    return cross_entropy(logits, labels, reduction="none"), logits.argmax(1) == labels


@dataclass(frozen=True, kw_only=True)
class ClassificationTask:
    """Name the digit: pixels (N, T), labels (N,) to train on, and held out; `num_scored` of each are looked
    at in a validation."""

    pixels: torch.Tensor
    labels: torch.Tensor
    held_out_pixels: torch.Tensor
    held_out_labels: torch.Tensor
    num_scored: int = 800

    def batch(self, size, generator):
        """`size` random training pictures: pixels, labels."""
        chosen = torch.randint(len(self.labels), (size,), generator=generator)
        return self.pixels[chosen], self.labels[chosen]

    def loss_of(self, model, batch):
        """Mean cross-entropy, nats per picture."""
        pixels, labels = batch
        return cross_entropy(model(pixels), labels)

    def validate(self, model):
        """Scores on the first held-out and training pictures.

        Returns:
            dict: `loss`, `accuracy` with re-estimated averages; `running_loss`, `running_accuracy` with the
                running ones; `train_accuracy` and
            `train_loss`, re-estimated, on training pictures; `loss_a`, `loss_b`, the loss of each half of the
                held-out pictures.
        """
        device = next(model.parameters()).device
        seen, seen_labels, new, new_labels = (
            part[: self.num_scored].to(device)
            for part in (self.pixels, self.labels, self.held_out_pixels, self.held_out_labels)
        )
        seen, new = features_of(model, seen), features_of(model, new)
        head = reestimated(model.head, seen)
        nats, right = score(head, new, new_labels)
        running, running_right = score(model.head, new, new_labels)
        train, train_right = score(head, seen, seen_labels)
        half = len(nats) // 2
        scores = {
            "loss": nats.mean(),
            "accuracy": right.float().mean(),
            "running_loss": running.mean(),
            "running_accuracy": running_right.float().mean(),
            "train_loss": train.mean(),
            "train_accuracy": train_right.float().mean(),
            "loss_a": nats[:half].mean(),
            "loss_b": nats[half:].mean(),
        }
        return {name: float(value) for name, value in scores.items()}


@dataclass(frozen=True, kw_only=True)
class PredictionTask:
    """Predict the next pixel: binary pixels (N, T) to train on, and held out."""

    pixels: torch.Tensor
    held_out_pixels: torch.Tensor
    num_scored: int = 800

    def batch(self, size, generator):
        """`size` random training pictures."""
        return (self.pixels[torch.randint(len(self.pixels), (size,), generator=generator)],)

    def loss_of(self, model, batch):
        """Mean cross-entropy, nats per pixel, the first pixel included."""
        return pixel_nll(model, *batch).mean()

    def validate(self, model):
        """Nats per pixel without the first, which is given: `loss` held out, with `loss_a` and `loss_b` of
        its halves; `train_loss`; and the share of pixels whose likelier value is right, `accuracy` and
        `train_accuracy`."""
        device = next(model.parameters()).device
        scores = {}
        for prefix, pixels in (("", self.held_out_pixels), ("train_", self.pixels)):
            nats, right = nats_per_pixel(model, pixels[: self.num_scored].to(device))
            half = len(nats) // 2
            scores[f"{prefix}loss"] = float(nats[:, 1:].mean())
            scores[f"{prefix}accuracy"] = float(right[:, 1:].float().mean())
            if not prefix:
                scores |= {"loss_a": float(nats[:half, 1:].mean()), "loss_b": float(nats[half:, 1:].mean())}
        return scores


@torch.no_grad()
def nats_per_pixel(model, pixels):
    """`models.pixel_nll` of many pictures, some at a time, and whether the likelier value was right: (N, T)
    each."""
    nats = torch.cat([pixel_nll(model, part) for part in pixels.split(_AT_ONCE)])
    return nats, nats < math.log(2)
