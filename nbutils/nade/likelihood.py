"""How probable the model finds what was in the hole."""

import torch

from . import masks
from .inpainter import predict
from .losses import cross_entropy


@torch.no_grad()
def estimate_nll(model, image, known, caption=None, caption_length=None, *, num_masks, generator):
    """Unbiased estimate of the negative log-likelihood of the hole, averaged over all orderings of its D variables.

    Each mask shows a random set of d hole variables and scores the others with weight D / (D - d)
    (Uria, Murray, Larochelle 2014, equation 9), in one evaluation where an exact ordering needs D.

    Args:
        model: an `Inpainter` in evaluation mode, or any callable of its signature.
        image, known, caption, caption_length: as in `sampling.inpaint`.
        num_masks: number of masks per picture, at least 2.
        generator: torch.Generator of the CPU.
    Returns:
        estimate: (B,) nats.
        standard_error: (B,) nats, over masks.
    Raises:
        ValueError: fewer than two masks, an empty hole, or a model in training mode.
    """
    if num_masks < 2:
        raise ValueError(f"num_masks: {num_masks}; a standard error needs at least 2")
    if getattr(model, "training", False):
        raise ValueError("model: is in training mode, where its batch statistics would mix examples; call model.eval() first")
    hole = ~known
    sizes = hole.flatten(1).sum(1)
    estimates = []
    for _ in range(num_masks):
        shown = masks.orderless(image.shape, hole=hole.cpu(), generator=generator).to(image.device)
        index = (~shown).flatten().nonzero()[:, 0]
        nats = cross_entropy(predict(model, image, shown, caption, caption_length, index), image.flatten()[index])
        example = index // image[0].numel()
        total = torch.zeros(len(image), dtype=torch.float64, device=image.device).index_add_(0, example, nats.double())
        estimates.append(total * sizes / (~shown).flatten(1).sum(1))
    estimates = torch.stack(estimates)
    return estimates.mean(0), estimates.std(0) / num_masks**0.5
