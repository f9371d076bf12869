"""The first layer as it was in 2017: a convolution over a plane of zeros and ones for every level. What the
look-up of `convnet.OneHotConv` is measured against."""

import copy

import torch
from torch.nn import functional as F


def planes_of(image, known, levels=256):
    """One-hot planes of the known variables and the mask: image int64 (B, C, H, W), known bool (B, C, H, W)
    -> float32 (B, C * levels + C, H, W)."""
    batch, channels, height, width = image.shape
    planes = torch.zeros(batch, channels * levels + channels, height, width)
    planes.scatter_(1, image + levels * torch.arange(channels)[:, None, None], known.float())
    planes[:, channels * levels :] = known
    return planes


class OneHotPlanes(torch.nn.Module):
    """A first layer that gives what `first`, a `convnet.OneHotConv`, gives, computed as a convolution."""

    def __init__(self, first):
        super().__init__()
        self.levels = first.table.shape[2]
        self.weight, self.bias = torch.nn.Parameter(first.as_convolution().detach().clone()), first.bias

    def forward(self, image, known):
        """image int64 (B, C, H, W), known bool (B, C, H, W) -> (B, width, H, W)."""
        planes = planes_of(image, known, self.levels).to(self.weight.dtype)
        return F.conv2d(planes, self.weight, self.bias, padding="same")


def with_planes(model):
    """A copy of an `Inpainter` whose first layer is a convolution over one-hot planes."""
    model = copy.deepcopy(model)
    model.first = OneHotPlanes(model.first)
    return model
