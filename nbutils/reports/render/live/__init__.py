"""Models that a page runs itself, with no server and no network: their weights as text, and the worker that
computes with them (`arithmetic.js`, `samplers.js`, `worker.js`, whose head says how a page speaks to it).
"""

import base64
import hashlib
import html
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ....nade.inpainter import Inpainter
from ....pixelrnn.models import PixelPredictor

_EPSILON = 1e-5  # of torch's normalisations
_PRECISIONS = {"half": np.float16, "single": np.float32}


@dataclass(frozen=True)
class Packed:
    """A model as a page carries it.

    name: a digest of all that follows, the same for the same model. description: what the worker is told:
    config, words, and for every tensor its shape, precision and first byte in `weights`.
    """

    name: str
    description: dict
    weights: bytes

    def html(self):
        """The element that holds the model, once per page; its text goes to the worker as it stands."""
        described = html.escape(json.dumps(self.description, ensure_ascii=False, separators=(",", ":")))
        attributes = f'id="live-{self.name}" data-description="{described}"'
        text = base64.b64encode(self.weights).decode()
        return f'<script type="application/octet-stream;base64" {attributes}>{text}</script>'


def pack(model, vocabulary=None, precision="half"):
    """A model for a page.

    Args:
        model: `Inpainter`, or `PixelPredictor` of GRU cells.
        vocabulary: `captions.Vocabulary` of an `Inpainter` that reads captions.
        precision: of its matrices, "half" or "single"; all else is single.
    Returns:
        Packed.
    Raises:
        ValueError: a model of another kind, no vocabulary where one is needed, or weights that half precision
            cannot hold.
    """
    config = asdict(model.config) if isinstance(model, Inpainter | PixelPredictor) else {}
    if not config or config.get("cell") == "lstm":
        found = f"{type(model).__name__}{' of LSTM cells' if config else ''}"
        raise ValueError(f"model: {found}; expected an Inpainter, or a PixelPredictor of GRU cells")
    if isinstance(model, Inpainter):
        config |= {"dilations": model.config.dilations, "epsilon": _EPSILON}
    words = list(vocabulary.words) if vocabulary else []
    if config.get("vocabulary_size") and len(words) != config["vocabulary_size"]:
        expected = f"the {config['vocabulary_size']} words that the model reads"
        raise ValueError(f"vocabulary: {len(words)} words; expected {expected}")
    tensors, parts, first = {}, [], 0
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point():
            continue  # how many batches a normalisation has seen
        kind = precision if tensor.dim() > 1 else "single"
        with np.errstate(over="ignore"):
            values = tensor.detach().cpu().numpy().astype(_PRECISIONS[kind])
        if not np.isfinite(values).all():
            raise ValueError(f"model: {name} holds numbers that are not finite in {kind} precision")
        tensors[name] = [list(values.shape), kind, first]
        parts.append(values.tobytes())
        first += len(parts[-1])
    description, weights = {"config": config, "words": words, "tensors": tensors}, b"".join(parts)
    digest = hashlib.blake2b(json.dumps(description).encode() + weights, digest_size=6)
    return Packed(digest.hexdigest(), description, weights)


def worker_source():
    """The JavaScript of the worker."""
    here = Path(__file__).parent
    names = ("arithmetic.js", "samplers.js", "worker.js")
    return "\n".join((here / name).read_text(encoding="utf-8") for name in names)


def worker_html():
    """The element that holds the worker's JavaScript, once per page."""
    return f'<script type="text/plain" id="live-worker">\n{worker_source()}</script>'
