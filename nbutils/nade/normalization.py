"""Batch normalisation whose statistics are those of the whole batch, also where several processes each hold a
part of it."""

import torch
from torch import distributed, nn


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes; so is its gradient."""

    @staticmethod
    def forward(ctx, x):
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient):
        return _Sum.apply(gradient)


class BatchNorm2d(nn.BatchNorm2d):
    """torch's, and with several processes equal to it on their parts put together (Ioffe and Szegedy 2015,
    algorithm 1).

    torch's own SyncBatchNorm does that on accelerators alone. Every process holds a part of the same size.
    """

    def forward(self, x):
        """x (B, C, H, W) -> the same shape, normalised over B, H, W and, in training, over processes."""
        if not self.training or not distributed.is_initialized() or distributed.get_world_size() == 1:
            return super().forward(x)
        values = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        count = x.numel() // x.shape[1] * distributed.get_world_size()
        mean = _Sum.apply(values.sum((0, 2, 3))) / count
        centred = values - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_((variance * count / (count - 1)).to(self.running_var.dtype), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)
