"""The layers of the convnet: a first convolution over one-hot planes, the body, and the two ways to merge a caption."""

import math

import torch
from torch import nn
from torch.nn import functional as F


def padding(kernel_size, dilation=1):
    """Zeros before and after a row so that its length is kept: (k - 1) // 2 taps before, the rest after."""
    before = (kernel_size - 1) // 2
    return dilation * before, dilation * (kernel_size - 1 - before)


def smooth_functions(levels, count):
    """Orthogonal cosines over the levels, (levels, count), with the energy of high frequencies falling off."""
    place = (torch.arange(levels) + 0.5) / levels
    frequency = torch.arange(1, count + 1)
    return torch.cos(math.pi * place[:, None] * frequency) / frequency.sqrt()


class _LookUp(torch.autograd.Function):
    """The sum over taps and channels of table rows. Written out because the backward pass of an embedding bag over every tap is
    several times slower: here each pixel's rows for all taps lie side by side and are fetched, or added to, at once."""

    @staticmethod
    def forward(ctx, rows, index, kernel_size):
        """rows (C * levels, taps * width), index int64 (B, H, W, C) with C * levels where unknown -> (B, H, W, width)."""
        ctx.save_for_backward(index)
        ctx.shape, ctx.kernel_size = rows.shape, kernel_size
        batch, height, width, channels = index.shape
        rows = torch.cat([rows, rows.new_zeros(1, rows.shape[1])])
        at_pixel = F.embedding_bag(index.reshape(-1, channels), rows, mode="sum").view(batch, height, width, kernel_size**2, -1)
        out = rows.new_zeros(batch, height + kernel_size - 1, width + kernel_size - 1, at_pixel.shape[-1])
        for tap, window in _LookUp._windows(out, height, width, kernel_size):
            window += at_pixel[..., tap, :]
        _, after = padding(kernel_size)
        return out[:, after : after + height, after : after + width]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        (index,) = ctx.saved_tensors
        _, height, width, channels = index.shape
        before, after = padding(ctx.kernel_size)
        padded = F.pad(gradient, (0, 0, after, before, after, before))
        at_pixel = torch.stack([window for _, window in _LookUp._windows(padded, height, width, ctx.kernel_size)], 3)
        at_pixel = at_pixel.view(-1, ctx.shape[1])
        rows = gradient.new_zeros(ctx.shape[0] + 1, ctx.shape[1])
        for channel in range(channels):
            rows.index_add_(0, index[..., channel].reshape(-1), at_pixel)
        return rows[:-1], None, None

    @staticmethod
    def _windows(field, height, width, kernel_size):
        """For every tap, where the pixels of the picture land in a field padded by the kernel's reach."""
        for tap in range(kernel_size**2):
            top, left = kernel_size - 1 - tap // kernel_size, kernel_size - 1 - tap % kernel_size
            yield tap, field[:, top : top + height, left : left + width]


class OneHotConv(nn.Module):
    """A convolution over the one-hot planes of the known variables and over the mask, computed by table look-up.

    Equal to `conv2d(cat([one_hot(image) * known, known]))`: of the C x levels planes only C are non-zero at a pixel, so the
    output is a sum over taps and channels of rows of a table.

    Args:
        ordered: start the rows as smooth functions of the level rather than independently for every level.
    """

    def __init__(self, channels, levels, width, kernel_size, ordered):
        super().__init__()
        self.kernel_size = kernel_size
        taps = kernel_size**2
        scale = math.sqrt(1 / (taps * channels))
        if ordered:
            functions = smooth_functions(levels, min(16, levels))
            functions = functions / functions.square().sum(1).mean().sqrt()
            table = torch.einsum("vk,tckw->tcvw", functions, torch.randn(taps, channels, functions.shape[1], width))
        else:
            table = torch.randn(taps, channels, levels, width)
        self.table = nn.Parameter(scale * table)  # (taps, C, levels, width)
        self.mask_weight = nn.Parameter(scale * torch.randn(taps, channels, 1, width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, image, known):
        """image int64 (B, C, H, W), known bool (B, C, H, W) -> (B, width, H, W), channels last in memory."""
        taps, channels, levels, width = self.table.shape
        rows = (self.table + self.mask_weight).permute(1, 2, 0, 3).reshape(channels * levels, taps * width)
        first = torch.arange(channels, device=image.device)[:, None, None] * levels
        index = torch.where(known, image + first, channels * levels).permute(0, 2, 3, 1)  # (B, H, W, C)
        return (_LookUp.apply(rows, index, self.kernel_size) + self.bias).permute(0, 3, 1, 2)

    def as_convolution(self):
        """Weight (width, C * levels + C, k, k) of the equal convolution over one-hot planes followed by the mask."""
        k = self.kernel_size
        planes = torch.cat([self.table.flatten(1, 2), self.mask_weight[:, :, 0]], 1)  # (taps, planes, width)
        return planes.permute(2, 1, 0).reshape(planes.shape[2], planes.shape[1], k, k)


class ConvLayer(nn.Module):
    """Convolution that keeps the size, without its nonlinearity, then batch normalisation."""

    def __init__(self, inputs, width, kernel_size, dilation):
        super().__init__()
        before, after = padding(kernel_size, dilation)
        self.pad = None if before == after else (before, after, before, after)
        self.conv = nn.Conv2d(inputs, width, kernel_size, dilation=dilation, padding=0 if self.pad else before, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x):
        return self.norm(self.conv(F.pad(x, self.pad) if self.pad else x))


class Attention(nn.Module):
    """Every pixel asks the words: scores x^T U z, softmax over words, the mixture of states added to the features."""

    def __init__(self, width, state_size):
        super().__init__()
        self.metric = nn.Linear(state_size, width, bias=False)  # U
        self.value = nn.Linear(state_size, width, bias=False)

    def weights(self, features, states, valid):
        """features (B, width, H, W), states (B, T, S), valid (B, T) -> (B, H * W, T), rows sum to one, or to zero without words."""
        pixels = features.flatten(2).transpose(1, 2)
        scores = pixels @ self.metric(states).transpose(1, 2) / math.sqrt(features.shape[1])
        scores = scores.float().masked_fill(~valid[:, None], torch.finfo(torch.float32).min)
        return (scores.softmax(-1) * valid[:, None]).to(features.dtype)

    def forward(self, features, states, valid, summary):
        added = self.weights(features, states, valid) @ self.value(states).to(features.dtype)  # (B, H * W, width)
        return features + added.transpose(1, 2).view(features.shape)


class Concatenation(nn.Module):
    """The caption's summary, projected to a few planes that are constant over the picture and stacked on the features."""

    def __init__(self, planes, state_size):
        super().__init__()
        self.project = nn.Linear(state_size, planes, bias=False)

    def forward(self, features, states, valid, summary):
        planes = self.project(summary()).to(features.dtype)[:, :, None, None]
        return torch.cat([features, planes.expand(-1, -1, *features.shape[2:])], 1)
