"""The model: a convnet that predicts every hidden variable of a picture from the known ones and a caption.

Orderless NADE (Uria, Murray, Larochelle 2014) for pictures of categorical variables, after the blog posts of
2017.
"""

from dataclasses import dataclass, fields
from functools import partial

import torch
from torch import nn

from .categorical import in_parts
from .convnet import Attention, Concatenation, ConvLayer, OneHotConv, smooth_functions
from .devices import on_device
from .normalization import BatchNorm2d
from .reader import CaptionReader

KINDS = ("straight", "residual", "dilated", "dilated_residual")
MERGERS = ("attention", "concat")


@dataclass(frozen=True, kw_only=True)
class InpainterConfig:
    """Sizes and choices of an `Inpainter`; the defaults are those of the benchmark.

    `layers` counts convolutions, the 1 x 1 output not among them. `merge_layers` are the layers, counted from
    1, after which the caption is merged; None is every second one, from the first. `vocabulary_size` counts
    padding and the unknown word; 0 makes a model that reads no captions. `ordered` starts the input table and
    the output weights as smooth functions of the level, where False starts every level on its own, as in
    2017; both can represent the same functions. `readout` is the width of one more 1 x 1 layer before the
    output, 0 for none, as in 2017: with few filters the logits of 3 x 256 levels have a low rank.

    Raises:
        ValueError: an impossible value, named.
    """

    image_size: int = 64
    channels: int = 3
    levels: int = 256
    width: int = 128
    layers: int = 8
    kernel_size: int = 3
    kind: str = "straight"
    vocabulary_size: int = 0
    embedding_size: int = 128
    reader_size: int = 128
    reader_kernel: int = 5
    bidirectional: bool = True
    reader_normalize: bool = False
    merger: str = "attention"
    merge_layers: tuple[int, ...] | None = None
    merger_planes: int = 16
    ordered: bool = True
    readout: int = 0

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            least = {"vocabulary_size": 0, "levels": 2, "readout": 0}.get(field.name, 1)
            if field.type is int and (type(value) is not int or value < least):
                raise ValueError(f"{field.name}: {value!r}; expected a whole number of at least {least}")
        if self.vocabulary_size and self.bidirectional and self.reader_size % 2:
            raise ValueError(f"reader_size: {self.reader_size}; expected an even number, half for each way")
        for name, allowed in (("kind", KINDS), ("merger", MERGERS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}: {getattr(self, name)!r}; expected one of {', '.join(allowed)}")
        if self.merge_layers is None:
            object.__setattr__(self, "merge_layers", tuple(range(1, self.layers + 1, 2)))
        object.__setattr__(self, "merge_layers", tuple(self.merge_layers))
        if any(not 1 <= layer <= self.layers for layer in self.merge_layers):
            raise ValueError(
                f"merge_layers: {self.merge_layers}; layers are numbered from 1 to {self.layers}"
            )

    @property
    def dilations(self):
        """Dilation of every layer. `dilated` doubles until the field of a pixel spans a hole of half the
        side, then begins again."""
        if not self.kind.startswith("dilated") or self.kernel_size == 1:
            return (1,) * self.layers
        cycle, reach = [], 0
        while reach < self.image_size // 2 - 1:
            cycle.append(2 ** len(cycle))
            reach += cycle[-1] * (self.kernel_size // 2)
        return tuple(cycle[i % len(cycle)] if cycle else 1 for i in range(self.layers))

    @property
    def receptive_field(self):
        """Side, in pixels, of the square that a prediction can depend on."""
        return 1 + (self.kernel_size - 1) * sum(self.dilations)


class Inpainter(nn.Module):
    """Predicts a categorical distribution for every variable of a picture, given the known ones and a
    caption."""

    def __init__(self, config):
        super().__init__()
        self.config = c = config
        self.first = OneHotConv(c.channels, c.levels, c.width, c.kernel_size, c.ordered)
        self.first_norm = BatchNorm2d(c.width)
        self.mergers = nn.ModuleDict()
        if c.vocabulary_size:
            self.reader = CaptionReader(
                c.vocabulary_size,
                c.embedding_size,
                c.reader_size,
                c.reader_kernel,
                c.bidirectional,
                c.reader_normalize,
            )
            for layer in c.merge_layers:
                if c.merger == "attention":
                    self.mergers[str(layer)] = Attention(c.width, c.reader_size)
                else:
                    self.mergers[str(layer)] = Concatenation(c.merger_planes, c.reader_size)
        extra = c.merger_planes if c.merger == "concat" else 0
        inputs = [c.width + (extra if str(layer) in self.mergers else 0) for layer in range(1, c.layers + 1)]
        self.body = nn.ModuleList(
            ConvLayer(inputs[i], c.width, c.kernel_size, c.dilations[i + 1]) for i in range(c.layers - 1)
        )
        self.readout = nn.Identity()
        if c.readout:
            self.readout = nn.Sequential(nn.Linear(inputs[-1], c.readout), nn.ReLU())
        self.head = nn.Linear(c.readout or inputs[-1], c.channels * c.levels)
        nn.init.zeros_(self.head.bias)
        if c.ordered:
            functions = smooth_functions(c.levels, min(64, c.levels - 1))
            inputs = self.head.in_features
            mixed = torch.randn(c.channels, inputs, functions.shape[1]) @ functions.T  # (C, inputs, levels)
            self.head.weight.data.copy_(0.5 * mixed.transpose(1, 2).flatten(0, 1) / inputs**0.5)

    def forward(self, image, known, caption=None, caption_length=None, index=None):
        """Logits of every variable, or of chosen ones.

        Args:
            image: int64 (B, C, H, W), levels; what stands where `known` is False has no influence.
            known: bool (B, C, H, W).
            caption: int64 (B, T), 0 is padding; None is a caption of no words.
            caption_length: int64 (B,).
            index: int64 (n,), flat indices into (B, C, H, W); None for all.
        Returns:
            logits: float32 (B, C, H, W, levels), or (n, levels) in the order of `index`.
        """
        x = self.features(image, known, caption, caption_length)
        # logits in full precision whatever the convnet runs in
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self.head.weight.dtype)
            if index is not None:
                return self.logits_at(x, index)
            logits = self.head(self.readout(x.permute(0, 2, 3, 1)))
            logits = logits.unflatten(-1, (self.config.channels, self.config.levels))
            return logits.permute(0, 3, 1, 2, 4)

    def features(self, image, known, caption=None, caption_length=None, attention=None):
        """The last hidden layer, (B, width, H, W); arguments as in `forward`. A dict `attention` is filled as
        `attention` says, pixels in one axis."""
        captions = self.read(caption, caption_length, len(image))
        x = torch.relu(self.first_norm(self.first(image, known)))
        x = skip = self._merge(1, x, captions, attention)
        for layer, conv in enumerate(self.body, start=2):
            x = conv(x)
            if self.adds_skip(layer):
                x = x + skip[:, : self.config.width]
            x = self._merge(layer, torch.relu(x), captions, attention)
            if layer % 2:
                skip = x
        return x

    def adds_skip(self, layer):
        """Whether a layer adds the output of the layer two before: a residual block is layers 2 and 3, 4 and
        5, ..."""
        return self.config.kind.endswith("residual") and layer % 2 == 1

    def read(self, caption, length, batch):
        """What the mergers need of the captions, a dict from layer to what its merger has prepared; empty
        without mergers."""
        if not self.mergers:
            return {}
        if caption is None:
            device = self.head.weight.device
            caption = torch.zeros(batch, 0, dtype=torch.long, device=device)
            length = torch.zeros(batch, dtype=torch.long, device=device)
        states, valid = self.reader(caption, length)
        summary = partial(self.reader.summary, states, length)
        return {int(layer): merger.prepare(states, valid, summary) for layer, merger in self.mergers.items()}

    @torch.no_grad()
    def attention(self, image, known, caption, caption_length):
        """What every pixel attends to: dict from layer to float (B, H, W, T), over words; arguments as in
        `forward`.

        Raises:
            ValueError: the model merges no captions, or not by attention.
        """
        if self.config.merger != "attention" or not self.mergers:
            raise ValueError(
                f"model: merges no captions by attention (merger {self.config.merger!r}, "
                f"{len(self.mergers)} merging layers)"
            )
        found = {}
        self.features(image, known, caption, caption_length, attention=found)
        return {layer: weights.unflatten(1, image.shape[2:]) for layer, weights in found.items()}

    def _merge(self, layer, x, captions, attention=None):
        if layer not in captions:
            return x
        merger, pixels = self.mergers[str(layer)], x.flatten(2).transpose(1, 2)  # (B, H * W, width)
        if attention is not None:
            keys, _, valid = captions[layer]
            attention[layer] = merger.weights(pixels, keys, valid)
        pixels = merger(pixels, captions[layer])
        return pixels.transpose(1, 2).unflatten(2, x.shape[2:])

    def logits_at(self, features, index):
        """Logits of chosen variables alone.

        Args:
            features: (B, width, H, W), from `features`.
            index: int64 (n,), flat indices into (B, C, H, W).
        Returns:
            logits: float (n, levels), in the order of `index`.
        """
        area = features.shape[2] * features.shape[3]
        channel = index // area % self.config.channels
        example = index // (self.config.channels * area)
        pixels, row = (example * area + index % area).unique(return_inverse=True)
        flat = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
        # index_select rather than indexing: the gradient of the latter is added up in an order that changes
        # from run to run
        return self.logits_of(flat.index_select(0, pixels), row, channel)

    def logits_of(self, pixels, row, channel):
        """Logits of one channel of each of n pixels: pixels (m, width), row int64 (n,) into them, channel
        int64 (n,) -> (n, levels).

        `row` and `channel` may be on the CPU whatever the device of the pixels; then nothing waits for that
        device."""
        pixels = self.readout(pixels)
        order = channel.argsort(stable=True)
        counts = torch.bincount(channel, minlength=self.config.channels).tolist()
        parts = pixels.index_select(0, on_device(row[order], pixels.device)).split(counts)
        logits = torch.cat([nn.functional.linear(rows, *head) for head, rows in zip(self._heads(), parts)])
        return logits.index_select(0, on_device(order.argsort(), pixels.device))

    @torch.no_grad()
    def scores_of(self, pixels, row, channel, measure):
        """What `measure` gives, (n, ...), for the logits that `logits_of` has for `row` and `channel` on the
        CPU: some at a time, so that no logits are kept."""
        pixels, found = self.readout(pixels), []
        counts = torch.bincount(channel, minlength=self.config.channels).tolist()
        by_channel = channel.argsort(stable=True)
        for head, which in zip(self._heads(), by_channel.split(counts)):
            for (part,) in in_parts(self.config.levels, on_device(row[which], pixels.device)):
                found.append(measure(nn.functional.linear(pixels.index_select(0, part), *head)))
        found = torch.cat(found)
        return torch.empty_like(found).index_copy_(0, on_device(by_channel, found.device), found)

    def _heads(self):
        """Weight (levels, inputs) and bias (levels,) of every channel."""
        levels = self.config.levels
        return list(zip(self.head.weight.split(levels), self.head.bias.split(levels)))


def predict(model, image, known, caption, caption_length, index):
    """Logits (n, levels) of the variables `index` from an `Inpainter`, or from any callable that gives all
    logits."""
    if isinstance(model, Inpainter):
        return model(image, known, caption, caption_length, index=index)
    logits = model(image, known, caption, caption_length)
    return logits.reshape(-1, logits.shape[-1])[index]
