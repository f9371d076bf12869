"""Predictions from kept activations: of every layer only those sites are computed again that are out of date and asked for.

A site is a pixel of a layer. When a variable changes, the sites that it can reach grow stale; when a prediction is asked for, the stale
sites that it depends on are computed, layer by layer, each as one matrix product over gathered neighbours. With nothing kept this
would be the window of the prediction's receptive field, or for a dilated net its lattice; with everything kept, greedy orders refresh
what one value can reach. What is stale and needed is counted on the CPU, so on another device nothing waits for a result.
"""

import numpy as np
import torch
from torch.nn import functional as F

from .convnet import padding
from .devices import on_device

_GATHERING = 1.2  # what a multiplication costs after its inputs were gathered, against a convolution
_CHUNK = 4096  # sites whose inputs are gathered at once


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
        self.dense, c = dense, model.config
        self.model, self.device, self.dtype = model, device, model.head.weight.dtype
        self.image_shape = self.batch, self.channels, self.height, self.width = tuple(image_shape)
        self.area = self.height * self.width
        self.num_sites = self.batch * self.area  # site number num_sites stands for everything outside the picture
        self.captions = model.read(caption, caption_length, self.batch)
        self.reaches = np.cumsum([padding(c.kernel_size, d) for d in c.dilations], axis=0)  # (layers, 2): pixels seen before and after
        self.neighbours = {d: self._neighbours(c.kernel_size, d) for d in set(c.dilations)}
        self.weights = [_folded(layer.conv.weight, layer.norm) for layer in model.body]
        self.table, self.shift = _folded_table(model.first, model.first_norm)
        self.taps, self.blank = c.kernel_size**2, c.channels * c.levels  # blank: the row of an unknown variable
        self.code = torch.full((self.num_sites + 1, c.channels), self.blank, device=device)
        self.kept = [torch.zeros(self.num_sites + 1, width, dtype=self.dtype, device=device) for width in self._widths()]
        self.stale = np.ones((c.layers, self.num_sites + 1), bool)
        self.stale[:, -1] = False
        self.marked = np.zeros(self.num_sites + 1, bool)
        self.hole, self.unknown = hole.numpy(), None
        self.computed = [0] * c.layers  # sites of every layer that the last prediction took
        self.changeable = [self._changeable(layer) for layer in range(c.layers)]

    @staticmethod
    def bytes_per_picture(model, image_shape):
        """Memory that the kept activations of a picture take."""
        c = model.config
        planes = c.merger_planes if c.merger == "concat" else 0
        return image_shape[2] * image_shape[3] * c.layers * (c.width + planes) * model.head.weight.element_size()

    def _widths(self):
        return [conv.conv.in_channels for conv in self.model.body] + [(self.model.readout[0] if self.model.config.readout else self.model.head).in_features]

    def _neighbours(self, kernel_size, dilation):
        """The sites that a convolution reads for every site, (sites, taps)."""
        before, _ = padding(kernel_size, dilation)
        offset = dilation * np.arange(kernel_size) - before
        y = np.arange(self.height)[:, None, None, None] + offset[:, None]
        x = np.arange(self.width)[:, None, None] + offset
        inside = (y >= 0) & (y < self.height) & (x >= 0) & (x < self.width)  # (H, W, k, k)
        pixel = (y * self.width + x).reshape(self.area, -1)
        first = self.area * np.arange(self.batch)[:, None, None]
        return np.where(inside.reshape(self.area, -1), first + pixel, self.num_sites).reshape(self.num_sites, -1)

    def _changeable(self, layer):
        """Which sites of a layer anything in the hole can change, or that lie in a rectangle around those."""
        before, after = self.reaches[layer].tolist()
        pixels = torch.from_numpy(self.hole).view(self.batch, self.channels, self.height, self.width).any(1, keepdim=True)
        reached = F.max_pool2d(F.pad(pixels.float(), (before, after, before, after)), before + after + 1, stride=1)
        return np.append(reached.flatten().numpy() > 0, False)

    def _reached(self, layer, sites):
        """The sites of a layer that the input at some pixels can change, or that lie in a rectangle around those, with repetitions."""
        before, after = self.reaches[layer]
        first, pixel = sites // self.area * self.area, sites % self.area
        y = np.clip((pixel // self.width)[:, None] + np.arange(-after, before + 1), 0, self.height - 1)
        x = np.clip((pixel % self.width)[:, None] + np.arange(-after, before + 1), 0, self.width - 1)
        return (first[:, None] + y * self.width)[:, :, None] + x[:, None]

    def cost(self, sites_per_layer):
        """Multiplications and additions of computing so many sites of every layer, the first of which only adds rows of a table."""
        inputs = [self.taps * self.channels] + [len(weight) for weight, _ in self.weights]
        return sum(sites * terms * self.model.config.width for sites, terms in zip(sites_per_layer, inputs))

    @torch.no_grad()
    def predict(self, state, unknown, wanted, only_changed=False):
        """Logits of hole variables given everything that is not unknown.

        A variable's level may change between two calls only if it was unknown in the first of them.

        Args:
            state: int64 (B, V), on the device; unknown, wanted: bool (B, V), on the CPU.
            only_changed: leave out variables whose prediction is the one given for them before.
        Returns:
            index: int64 (n,) on the CPU, flat indices of the wanted variables, ascending.
            logits: (n, levels).
        """
        self._take_in(state, unknown.numpy())
        index = np.flatnonzero(wanted.numpy())
        site, channel = self._site_and_channel(index)
        self.marked[site] = True
        needed = self._needed()
        if self.dense and _GATHERING * self.cost([len(sites) for sites in needed]) > self.cost([int(wanted.any(1).sum()) * self.area] * len(needed)):
            return self.dense.predict(state, unknown, wanted)
        if only_changed:
            self.marked[needed[-1]] = True
            chosen = self.marked[site]
            self.marked[needed[-1]] = False
            index, site, channel = index[chosen], site[chosen], channel[chosen]
        self.computed = [len(sites) for sites in needed]
        for layer, sites in enumerate(needed):
            if len(sites):
                self.kept[layer].index_copy_(0, self._on_device(sites), self._compute(layer, sites))
                self.stale[layer, sites] = False
        rows, row = np.unique(site, return_inverse=True)
        pixels = self.kept[-1].index_select(0, self._on_device(rows))
        return torch.from_numpy(index), self.model.logits_of(pixels, torch.from_numpy(row), torch.from_numpy(channel))

    def _take_in(self, state, unknown):
        """Update the input where variables became known or unknown, and note what that makes stale."""
        changed = np.flatnonzero(unknown ^ self.unknown if self.unknown is not None else np.ones_like(unknown))
        site, channel = self._site_and_channel(changed)
        row = self._on_device(changed)
        level = state.view(-1).index_select(0, row) + self._on_device(channel * self.model.config.levels)
        level = torch.where(self._on_device(unknown.reshape(-1)[changed]), self.blank, level)
        self.code.view(-1).index_copy_(0, self._on_device(site * self.channels + channel), level)
        if self.unknown is not None and len(changed):
            sites = np.unique(site)
            for layer, (before, after) in enumerate(self.reaches):
                if len(sites) * (before + after + 1) ** 2 > self.num_sites:
                    self.stale[layer] |= self.changeable[layer]
                else:
                    self.stale[layer, self._reached(layer, sites)] = True
        self.unknown = unknown.copy()

    def _needed(self):
        """Stale sites of every layer that the marked ones of the last layer depend on, themselves included; takes the marks away."""
        needed = [None] * len(self.stale)
        for layer in range(len(self.stale) - 1, -1, -1):
            needed[layer] = np.flatnonzero(self.marked & self.stale[layer])
            self.marked[:] = False
            if layer:
                self.marked[self._inputs(layer, needed[layer])] = True
        return needed

    def _inputs(self, layer, sites):
        return self.neighbours[self.model.config.dilations[layer]][sites]  # (n, taps)

    def _compute(self, layer, sites):
        """Activations of a layer at some sites, (n, width), from those of the layer before."""
        inputs = self._on_device(self._inputs(layer, sites).reshape(-1))
        if layer == 0:
            tap = torch.arange(self.taps, device=self.device)[:, None] * (self.blank + 1)
            rows = self.code.index_select(0, inputs).view(len(sites), self.taps, self.channels) + tap
            x = F.embedding_bag(rows.view(len(sites), -1), self.table, mode="sum") + self.shift
        else:
            weight, shift = self.weights[layer - 1]
            x = self.kept[layer].new_empty(len(sites), weight.shape[1])
            for part, out in zip(inputs.split(_CHUNK * self.taps), x.split(_CHUNK)):
                torch.addmm(shift, self.kept[layer - 1].index_select(0, part).view(len(out), -1), weight, out=out)
            if self.model.adds_skip(layer + 1):
                x += self.kept[layer - 2].index_select(0, self._on_device(sites))[:, : x.shape[1]]
        x = x.relu_()
        return self._merged(layer + 1, x, sites) if layer + 1 in self.captions else x

    def _merged(self, layer, x, sites):
        """Merge the caption at some sites: padded to (B, most sites of a picture, width), as a merger takes them."""
        example = sites // self.area
        counts = np.bincount(example, minlength=self.batch)
        place = self._on_device(example * counts.max() + np.arange(len(sites)) - (np.cumsum(counts) - counts)[example])
        padded = x.new_zeros(self.batch * int(counts.max()), x.shape[1]).index_copy_(0, place, x)
        merged = self.model.mergers[str(layer)](padded.view(self.batch, -1, x.shape[1]), self.captions[layer])
        return merged.flatten(0, 1).index_select(0, place)

    def _site_and_channel(self, index):
        example, variable = np.divmod(index, self.channels * self.area)
        return example * self.area + variable % self.area, variable // self.area

    def _on_device(self, array):
        return on_device(torch.from_numpy(array), self.device)


def _scale_and_shift(norm):
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale, norm.bias - norm.running_mean * scale


def _folded(weight, norm):
    """A convolution and the batch normalisation after it as a matrix (taps * inputs, outputs) and a shift."""
    scale, shift = _scale_and_shift(norm)
    return (weight * scale[:, None, None, None]).permute(2, 3, 1, 0).flatten(0, 2).contiguous(), shift


def _folded_table(first, norm):
    """The first layer and its batch normalisation as rows (taps * (C * levels + 1), width), the last of a tap for the unknown, and a shift."""
    scale, shift = _scale_and_shift(norm)
    rows = F.pad((first.table + first.mask_weight).flatten(1, 2), (0, 0, 0, 1)) * scale
    return rows.flatten(0, 1).contiguous(), shift + first.bias * scale
