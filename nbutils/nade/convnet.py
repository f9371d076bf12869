"""The layers of the convnet: a first convolution over one-hot planes, the body, and the two ways to merge a
caption."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from .normalization import BatchNorm2d


def padding(kernel_size, dilation=1):
    """Zeros before and after a row so that its length is kept: (k - 1) // 2 taps before, the rest after."""
    before = (kernel_size - 1) // 2
    return dilation * before, dilation * (kernel_size - 1 - before)


def smooth_functions(levels, count):
    """Orthogonal cosines over the levels, (levels, count), with the energy of high frequencies falling
    off."""
    place = (torch.arange(levels) + 0.5) / levels
    frequency = torch.arange(1, count + 1)
    return torch.cos(math.pi * place[:, None] * frequency) / frequency.sqrt()


# Numbers. Larger scratch memory is returned to the system after every use, and getting it back costs more
# than the work.
_SCRATCH = 1 << 22


class _LookUp(torch.autograd.Function):
    """The sum over taps and channels of table rows. Written out because the backward pass of an embedding bag
    over every tap is several times slower: here each pixel's gradients for all taps lie side by side and are
    added to the rows at once."""

    @staticmethod
    def forward(ctx, rows, index, kernel_size):
        """rows (taps, C * levels, width), index int64 (B, H, W, C) with C * levels where unknown -> (B, H, W,
        width)."""
        ctx.save_for_backward(index)
        ctx.shape, ctx.kernel_size = rows.shape, kernel_size
        batch, height, width, channels = index.shape
        rows = F.pad(rows, (0, 0, 0, 1))  # the row of the unknown
        reach = kernel_size - 1
        out = rows.new_zeros(batch, height + reach, width + reach, rows.shape[2])
        for tap, table in enumerate(rows):
            top, left = reach - tap // kernel_size, reach - tap % kernel_size
            at_pixel = F.embedding_bag(index.view(-1, channels), table, mode="sum")
            out[:, top : top + height, left : left + width] += at_pixel.view(batch, height, width, -1)
        _, after = padding(kernel_size)
        return out[:, after : after + height, after : after + width]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        (index,) = ctx.saved_tensors
        taps, length, channels_out = ctx.shape
        before, after = padding(ctx.kernel_size)
        padded = F.pad(gradient, (0, 0, after, before, after, before))
        # (B, H, W, width, k, k), a view, last tap first
        windows = padded.unfold(1, ctx.kernel_size, 1).unfold(2, ctx.kernel_size, 1)
        rows = gradient.new_zeros(length + 1, taps * channels_out)
        pictures = max(1, _SCRATCH // windows[0].numel())
        for part, code in zip(windows.split(pictures), index.split(pictures)):
            at_pixel = part.permute(0, 1, 2, 4, 5, 3).reshape(-1, taps * channels_out)
            for channel in range(index.shape[3]):
                rows.index_add_(0, code[..., channel].reshape(-1), at_pixel)
        return rows[:-1].view(length, taps, channels_out).flip(1).transpose(0, 1), None, None


class OneHotConv(nn.Module):
    """A convolution over the one-hot planes of the known variables and over the mask, computed by table
    look-up.

    Equal to `conv2d(cat([one_hot(image) * known, known]))`: of the C x levels planes only C are non-zero at a
    pixel, so the output is a sum over taps and channels of rows of a table.

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
            mixture = torch.randn(taps, channels, functions.shape[1], width)
            table = torch.einsum("vk,tckw->tcvw", functions, mixture)
        else:
            table = torch.randn(taps, channels, levels, width)
        self.table = nn.Parameter(scale * table)  # (taps, C, levels, width)
        self.mask_weight = nn.Parameter(scale * torch.randn(taps, channels, 1, width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, image, known):
        """image int64 (B, C, H, W), known bool (B, C, H, W) -> (B, width, H, W), channels last in memory."""
        _, channels, levels, _ = self.table.shape
        rows = (self.table + self.mask_weight).flatten(1, 2)
        first = torch.arange(channels, device=image.device)[:, None, None] * levels
        index = torch.where(known, image + first, channels * levels)
        index = index.permute(0, 2, 3, 1).contiguous()  # (B, H, W, C)
        looked_up = _LookUp.apply(rows, index, self.kernel_size)
        return (looked_up + self.bias).permute(0, 3, 1, 2)

    def as_convolution(self):
        """Weight (width, C * levels + C, k, k) of the equal convolution over one-hot planes followed by the
        mask."""
        k = self.kernel_size
        planes = torch.cat([self.table.flatten(1, 2), self.mask_weight[:, :, 0]], 1)  # (taps, planes, width)
        return planes.permute(2, 1, 0).reshape(planes.shape[2], planes.shape[1], k, k)


class ConvLayer(nn.Module):
    """Convolution that keeps the size, without its nonlinearity, then batch normalisation."""

    def __init__(self, inputs, width, kernel_size, dilation):
        super().__init__()
        before, after = padding(kernel_size, dilation)
        self.pad = None if before == after else (before, after, before, after)
        sides = 0 if self.pad else before
        self.conv = nn.Conv2d(inputs, width, kernel_size, dilation=dilation, padding=sides, bias=False)
        self.norm = BatchNorm2d(width)

    def forward(self, x):
        return self.norm(self.conv(F.pad(x, self.pad) if self.pad else x))


class Attention(nn.Module):
    """Every pixel asks the words: scores x^T U z, softmax over words, the mixture of states added to the
    features."""

    def __init__(self, width, state_size):
        super().__init__()
        self.metric = nn.Linear(state_size, width, bias=False)  # U
        self.value = nn.Linear(state_size, width, bias=False)

    def prepare(self, states, valid, summary):
        """What every pixel needs of the caption: states (B, T, S), valid (B, T) -> keys and values (B, T,
        width), valid."""
        return self.metric(states), self.value(states), valid

    @staticmethod
    def weights(pixels, keys, valid):
        """pixels (B, N, width), keys (B, T, width), valid (B, T) -> (B, N, T), rows sum to one, or to zero
        without words."""
        scores = pixels @ keys.transpose(1, 2) / math.sqrt(pixels.shape[2])
        scores = scores.float() if scores.dtype == torch.bfloat16 else scores
        scores = scores.masked_fill(~valid[:, None], torch.finfo(torch.float32).min)
        return (scores.softmax(-1) * valid[:, None]).to(pixels.dtype)

    def forward(self, pixels, prepared):
        """pixels (B, N, width) -> (B, N, width)."""
        keys, values, valid = prepared
        return pixels + self.weights(pixels, keys, valid) @ values.to(pixels.dtype)


class Concatenation(nn.Module):
    """The caption's summary, projected to a few planes that are constant over the picture and stacked on the
    features."""

    def __init__(self, planes, state_size):
        super().__init__()
        self.project = nn.Linear(state_size, planes, bias=False)

    def prepare(self, states, valid, summary):
        """summary, a function giving (B, S) -> planes (B, planes)."""
        return self.project(summary())

    def forward(self, pixels, prepared):
        """pixels (B, N, width) -> (B, N, width + planes)."""
        return torch.cat([pixels, prepared.to(pixels.dtype)[:, None].expand(-1, pixels.shape[1], -1)], 2)
