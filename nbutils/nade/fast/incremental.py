"""Predictions from kept activations: of every layer only those sites are computed again that are out of date
and asked for.

A site is a pixel of a layer. When a variable changes, the sites that it can reach grow stale; when a
prediction is asked for, the stale sites that it depends on are computed, layer by layer: as one matrix
product over gathered neighbours where they are scattered, as a convolution of the rectangle around them where
they nearly fill it. With nothing kept this would be the window of the prediction's receptive field, or for a
dilated net its lattice; with everything kept, greedy orders refresh what one value can reach, and the blocks
of Gibbs sampling what the hole can. What is stale and needed is counted on the CPU, so on another device
nothing waits for a result.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from ..convnet import padding
from ..devices import on_device

_GATHERING = 2.0  # what a multiplication costs after its inputs were gathered, against a convolution
_CHUNK = 512  # sites whose inputs are gathered at once: as many as stay in a core's cache


class IncrementalEngine:
    """Logits of an `Inpainter` for pictures whose known variables change little by little.

    Args:
        model: an `Inpainter` in evaluation mode.
        hole: bool tensor (B, V) on the CPU; only these variables ever change.
        caption, caption_length: as the model takes them.
        device: where the pictures are.
        dense: the engine to use where counting says that it is cheaper; None never to.
    """

    @torch.no_grad()
    def __init__(self, model, image_shape, hole, caption, caption_length, device, dense=None):
        c = model.config
        self.model, self.device, self.dense = model, device, dense
        self.image_shape = tuple(image_shape)
        self.batch, self.channels, self.height, self.width = self.image_shape
        self.area = self.height * self.width
        # site number num_sites stands for everything outside the picture
        self.num_sites = self.batch * self.area
        self.captions = model.read(caption, caption_length, self.batch)
        # (layers, 2): how many pixels a layer sees before and after a pixel
        self.reaches = np.cumsum([padding(c.kernel_size, d) for d in c.dilations], axis=0)
        self.neighbours = {d: self._neighbours(c.kernel_size, d) for d in set(c.dilations)}
        self.kernels = [_folded(layer.conv.weight, layer.norm) for layer in model.body]
        # (taps * inputs, outputs)
        self.weights = [k.permute(2, 3, 1, 0).flatten(0, 2).contiguous() for k, _ in self.kernels]
        self.table, self.shift = _folded_table(model.first, model.first_norm)
        self.taps = c.kernel_size**2
        self.blank = c.channels * c.levels  # the row of an unknown variable
        self.first_rows = torch.arange(self.taps, device=device)[:, None] * (self.blank + 1)
        self.code = torch.full((self.num_sites + 1, c.channels), self.blank, device=device)
        like = dict(dtype=model.head.weight.dtype, device=device)
        self.kept = [torch.zeros(self.num_sites + 1, width, **like) for width in self._widths()]
        self.stale = np.ones((c.layers, self.num_sites + 1), bool)
        self.stale[:, -1] = False
        self.marked = np.zeros(self.num_sites + 1, bool)
        self.place = np.zeros(self.num_sites + 1, np.int64)
        self.hole, self.unknown = hole.numpy(), None
        self.computed = [0] * c.layers  # sites of every layer that the last prediction took
        self.changeable = [self._changeable(layer) for layer in range(c.layers)]

    @staticmethod
    def bytes_per_picture(model, image_shape):
        """Memory that the kept activations of a picture take."""
        c = model.config
        planes = c.merger_planes if c.merger == "concat" else 0
        area = image_shape[2] * image_shape[3]
        return area * c.layers * (c.width + planes) * model.head.weight.element_size()

    def _widths(self):
        """How many numbers each layer hands on."""
        last = self.model.readout[0] if self.model.config.readout else self.model.head
        return [layer.conv.in_channels for layer in self.model.body] + [last.in_features]

    def _neighbours(self, kernel_size, dilation):
        """The sites that a convolution reads for every site, (sites, taps)."""
        before, _ = padding(kernel_size, dilation)
        offset = dilation * np.arange(kernel_size) - before
        y = np.arange(self.height)[:, None, None, None] + offset[:, None]
        x = np.arange(self.width)[:, None, None] + offset
        inside = (y >= 0) & (y < self.height) & (x >= 0) & (x < self.width)  # (H, W, k, k)
        pixel = (y * self.width + x).reshape(self.area, -1)
        first = self.area * np.arange(self.batch)[:, None, None]
        site = np.where(inside.reshape(self.area, -1), first + pixel, self.num_sites)
        return site.reshape(self.num_sites, -1)

    def _changeable(self, layer):
        """Which sites of a layer anything in the hole can change, or that lie in a rectangle around those."""
        before, after = self.reaches[layer].tolist()
        side = before + after + 1
        pixels = torch.from_numpy(self.hole).view(self.image_shape).any(1, keepdim=True)
        reached = F.pad(pixels.float(), (before, after, before, after))
        for window in ((side, 1), (1, side)):
            reached = F.max_pool2d(reached, window, stride=1)
        return np.append(reached.flatten().numpy() > 0, False)

    def _reached(self, layer, sites):
        """The sites of a layer that the input at some pixels can change, or that lie in a rectangle around
        those, with repetitions."""
        before, after = self.reaches[layer]
        first, pixel = sites // self.area * self.area, sites % self.area
        y = np.clip((pixel // self.width)[:, None] + np.arange(-after, before + 1), 0, self.height - 1)
        x = np.clip((pixel % self.width)[:, None] + np.arange(-after, before + 1), 0, self.width - 1)
        return (first[:, None] + y * self.width)[:, :, None] + x[:, None]

    def cost(self, sites_per_layer):
        """Multiplications and additions of computing so many sites of every layer, the first of which only
        adds rows of a table."""
        inputs = [self.taps * self.channels] + [len(weight) for weight in self.weights]
        return sum(sites * terms * self.model.config.width for sites, terms in zip(sites_per_layer, inputs))

    @torch.no_grad()
    def predict(self, state, unknown, wanted):
        """Logits of hole variables given everything that is not unknown.

        A variable's level may change between two calls only if it was unknown in the first of them.

        Args:
            state: int64 (B, V), on the device; unknown, wanted: bool (B, V), on the CPU.
        Returns:
            index: int64 (n,) on the CPU, flat indices of the wanted variables, ascending.
            logits: (n, levels).
        """
        index = np.flatnonzero(wanted.numpy())
        needed = self._refresh(state, unknown, index)
        if needed is None:
            return self.dense.predict(state, unknown, wanted)
        return torch.from_numpy(index), self.model.logits_of(*self._places(index))

    @torch.no_grad()
    def scores(self, state, unknown, wanted, measure):
        """What `measure`, such as `categorical.entropy`, gives for the predictions of hole variables, without
        those whose prediction has not changed since they were given.

        Returns:
            index: int64 (n,) on the CPU, flat indices, ascending; scores: (n,).
            logits: a function from flat indices of wanted variables, int64 (m,), ascending, on the CPU, to
                their logits (m, levels).
        """
        index = np.flatnonzero(wanted.numpy())
        needed = self._refresh(state, unknown, index)
        if needed is None:
            return self.dense.scores(state, unknown, wanted, measure)
        self.marked[needed] = True
        index = index[self.marked[self._site_and_channel(index)[0]]]
        self.marked[needed] = False
        scores = self.model.scores_of(*self._places(index), measure)

        def logits_of(chosen):
            return self.model.logits_of(*self._places(chosen.numpy()))

        return torch.from_numpy(index), scores, logits_of

    def _refresh(self, state, unknown, index):
        """Compute what the predictions of the variables `index` depend on and is stale; the sites of the last
        layer that were computed, or None where the whole net is cheaper, and nothing was."""
        self._take_in(state, unknown.numpy())
        self.marked[self._site_and_channel(index)[0]] = True
        needed, inputs = self._needed()
        # the first layer only looks rows up
        around = [_Rectangle.around(sites, self.height, self.width) for sites in needed[1:]]
        rectangles = [None, *around]
        if self.dense and self._dearer_than_the_whole_net(needed, rectangles, index):
            return None
        self.computed = [len(sites) for sites in needed]
        for layer, sites in enumerate(needed):
            if len(sites):
                place = self._on_device(sites)
                activations = self._compute(layer, sites, place, inputs[layer], rectangles[layer])
                self.kept[layer].index_copy_(0, place, activations)
                self.stale[layer, sites] = False
        return needed[-1]

    def _dearer_than_the_whole_net(self, needed, rectangles, index):
        """Whether computing the needed sites of every layer costs more than the net on all pictures."""
        sites = [
            _GATHERING * len(sites) if rectangle is None else rectangle.size
            for sites, rectangle in zip(needed, rectangles)
        ]
        pictures = len(np.unique(index // (self.channels * self.area)))
        return self.cost(sites) > self.cost([pictures * self.area] * len(needed))

    def _places(self, index):
        """Activations of the pixels of the variables `index`, and for each the row of its own and its
        channel, as the output layer takes them."""
        site, channel = self._site_and_channel(index)
        self.marked[site] = True
        sites = np.flatnonzero(self.marked)
        self.marked[sites], self.place[sites] = False, np.arange(len(sites))
        pixels = self.kept[-1].index_select(0, self._on_device(sites))
        return pixels, torch.from_numpy(self.place[site]), torch.from_numpy(channel)

    def _take_in(self, state, unknown):
        """Update the input where variables became known or unknown, and note what that makes stale."""
        first_time = self.unknown is None
        changed = np.flatnonzero(np.ones_like(unknown) if first_time else unknown ^ self.unknown)
        site, channel = self._site_and_channel(changed)
        row = self._on_device(changed)
        level = state.view(-1).index_select(0, row) + self._on_device(channel * self.model.config.levels)
        level = torch.where(self._on_device(unknown.reshape(-1)[changed]), self.blank, level)
        self.code.view(-1).index_copy_(0, self._on_device(site * self.channels + channel), level)
        if not first_time and len(changed):
            self._make_stale(np.unique(site))
        self.unknown = unknown.copy()

    def _make_stale(self, sites):
        """Note that every layer is out of date where a change of the input at some sites can reach it."""
        for layer, (before, after) in enumerate(self.reaches):
            if len(sites) * (before + after + 1) ** 2 > self.num_sites:  # their fields cover everything
                self.stale[layer] |= self.changeable[layer]
            else:
                self.stale[layer, self._reached(layer, sites)] = True

    def _needed(self):
        """Stale sites of every layer that the marked ones of the last layer depend on, themselves included,
        and the sites that each of them reads, (n, taps); takes the marks away."""
        needed, inputs = [None] * len(self.stale), [None] * len(self.stale)
        for layer in range(len(self.stale) - 1, -1, -1):
            needed[layer] = np.flatnonzero(self.marked & self.stale[layer])
            inputs[layer] = self.neighbours[self.model.config.dilations[layer]].take(needed[layer], 0)
            self.marked[:] = False
            if layer:
                self.marked[inputs[layer]] = True
        return needed, inputs

    def _compute(self, layer, sites, place, inputs, rectangle):
        """Activations of a layer at some sites, (n, width), from those of the layer before; `place` is the
        sites on the device."""
        if layer == 0:
            x = self._looked_up(inputs)
        elif rectangle is None:
            x = self._gathered(layer, inputs)
        else:
            x = self._convolved(layer, sites, rectangle)
        if layer and self.model.adds_skip(layer + 1):
            x += self.kept[layer - 2].index_select(0, place)[:, : x.shape[1]]
        x = x.relu_()
        return self._merged(layer + 1, x, sites) if layer + 1 in self.captions else x

    def _looked_up(self, inputs):
        """The first layer, which adds rows of its table."""
        code = self.code.index_select(0, self._on_device(inputs.reshape(-1)))
        rows = code.view(len(inputs), self.taps, self.channels) + self.first_rows
        return F.embedding_bag(rows.view(len(inputs), -1), self.table, mode="sum").add_(self.shift)

    def _gathered(self, layer, inputs):
        """A convolution of scattered sites: one matrix product over what each of them reads."""
        weight, (_, shift) = self.weights[layer - 1], self.kernels[layer - 1]
        x = self.kept[layer].new_empty(len(inputs), weight.shape[1])
        read = self._on_device(inputs.reshape(-1))
        for part, out in zip(read.split(_CHUNK * self.taps), x.split(_CHUNK)):
            gathered = self.kept[layer - 1].index_select(0, part).view(len(out), -1)
            torch.addmm(shift, gathered, weight, out=out)
        return x

    def _convolved(self, layer, sites, rectangle):
        """A convolution of the rectangle around some sites."""
        kernel, shift = self.kernels[layer - 1]
        dilation = self.model.config.dilations[layer]
        before = self.kept[layer - 1][:-1].view(self.batch, self.height, self.width, -1)
        inputs = rectangle.cut(before, *padding(kernel.shape[2], dilation))
        x = F.conv2d(inputs.permute(0, 3, 1, 2), kernel, shift, dilation=dilation)
        x = x.permute(0, 2, 3, 1).reshape(rectangle.size, -1)
        if len(sites) == rectangle.size:
            return x
        return x.index_select(0, self._on_device(rectangle.place(sites)))

    def _merged(self, layer, x, sites):
        """Merge the caption at some sites: padded to (B, most sites of a picture, width), as a merger takes
        them."""
        example = sites // self.area
        counts = np.bincount(example, minlength=self.batch)
        before = np.cumsum(counts) - counts  # sites of the pictures before
        place = self._on_device(example * counts.max() + np.arange(len(sites)) - before[example])
        padded = x.new_zeros(self.batch * int(counts.max()), x.shape[1]).index_copy_(0, place, x)
        merged = self.model.mergers[str(layer)](padded.view(self.batch, -1, x.shape[1]), self.captions[layer])
        return merged.flatten(0, 1).index_select(0, place)

    def _site_and_channel(self, index):
        example, variable = np.divmod(index, self.channels * self.area)
        return example * self.area + variable % self.area, variable // self.area

    def _on_device(self, array):
        return on_device(torch.from_numpy(array), self.device)


@dataclass(frozen=True)
class _Rectangle:
    """The pixels from `top` to before `bottom` and from `left` to before `right` of some pictures, int64
    array, of `height` x `width`."""

    pictures: np.ndarray
    top: int
    bottom: int
    left: int
    right: int
    height: int
    width: int

    @classmethod
    def around(cls, sites, height, width):
        """The smallest rectangle that holds some sites, ascending; None where to gather their inputs is
        cheaper than to convolve all of it."""
        if not len(sites):
            return None
        picture, pixel = np.divmod(sites, height * width)
        row, column = np.divmod(pixel, width)
        rows, columns = (row.min(), row.max() + 1), (column.min(), column.max() + 1)
        found = cls(np.unique(picture), *rows, *columns, height, width)
        return found if found.size <= _GATHERING * len(sites) else None

    @property
    def size(self):
        """The number of its sites."""
        return len(self.pictures) * (self.bottom - self.top) * (self.right - self.left)

    def place(self, sites):
        """Where some of its sites stand among all of them."""
        picture, pixel = np.divmod(sites, self.height * self.width)
        rows_before = np.searchsorted(self.pictures, picture) * (self.bottom - self.top)
        row = rows_before + pixel // self.width - self.top
        return row * (self.right - self.left) + pixel % self.width - self.left

    def cut(self, x, before, after):
        """What a convolution reads to compute it: `before` more pixels above and on the left, `after` on the
        other sides, zeros outside the picture.

        x: (B, H, W, width)."""
        top, bottom = self.top - before, self.bottom + after
        left, right = self.left - before, self.right + after
        part = x[:, max(0, top) : bottom, max(0, left) : right]
        if len(self.pictures) < len(x):
            part = part.index_select(0, on_device(torch.from_numpy(self.pictures), x.device))
        outside = (max(0, -left), max(0, right - self.width), max(0, -top), max(0, bottom - self.height))
        return F.pad(part, (0, 0, *outside)) if any(outside) else part


def _scale_and_shift(norm):
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale, norm.bias - norm.running_mean * scale


def _folded(weight, norm):
    """A convolution and the batch normalisation after it as one: weight (outputs, inputs, k, k) and shift."""
    scale, shift = _scale_and_shift(norm)
    return weight * scale[:, None, None, None], shift


def _folded_table(first, norm):
    """The first layer and its batch normalisation as rows (taps * (C * levels + 1), width), the last of a tap
    for the unknown, and a shift."""
    scale, shift = _scale_and_shift(norm)
    rows = F.pad((first.table + first.mask_weight).flatten(1, 2), (0, 0, 0, 1)) * scale
    return rows.flatten(0, 1).contiguous(), shift + first.bias * scale
