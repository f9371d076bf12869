"""The caption reader: a quasi-recurrent network over word embeddings (Bradbury, Merity, Xiong, Socher
2016)."""

import torch
from torch import nn
from torch.nn import functional as F


class QuasiRecurrentLayer(nn.Module):
    """One direction: a causal convolution over words gives candidate and gates, fo-pooling carries the state.

    z = tanh(W_z * x), f = sigmoid(W_f * x), o = sigmoid(W_o * x) (equations 1 and 2 of the paper);
    c_t = f_t c_{t-1} + (1 - f_t) z_t, h_t = o_t c_t (equation 4).
    """

    def __init__(self, input_size, size, kernel, normalize):
        super().__init__()
        self.kernel = kernel
        self.gates = nn.Conv1d(input_size, 3 * size, kernel)
        self.normalize = nn.ModuleList(nn.LayerNorm(size) for _ in range(3 if normalize else 0))

    def forward(self, words, valid):
        """words (B, T, E), zero at padding; valid bool (B, T) -> states (B, T, size), zero at padding."""
        if words.shape[1] == 0:
            return words.new_zeros(len(words), 0, self.gates.out_channels // 3)
        gates = self.gates(F.pad(words.transpose(1, 2), (self.kernel - 1, 0))).transpose(1, 2)
        candidate, forget, output = gates.chunk(3, -1)
        if self.normalize:
            parts = (candidate, forget, output)
            candidate, forget, output = (norm(part) for norm, part in zip(self.normalize, parts))
        keep = valid[..., None].to(words.dtype)
        forget = torch.sigmoid(forget)
        return torch.sigmoid(output) * pool(forget * keep, (1 - forget) * torch.tanh(candidate) * keep)


def pool(carried, new):
    """The recurrence c_t = carried_t c_{t-1} + new_t from c_{-1} = 0 for all t at once, in log2(T) passes
    that each double the span.

    Args:
        carried, new: float (B, T, size).
    Returns:
        c: float (B, T, size).
    """
    span = 1
    while span < new.shape[1]:
        earlier = F.pad(new, (0, 0, span, 0))[:, : new.shape[1]]
        new = new + carried * earlier
        carried = carried * F.pad(carried, (0, 0, span, 0))[:, : new.shape[1]]
        span *= 2
    return new


class CaptionReader(nn.Module):
    """Words to states, one per word, and to a summary of the whole caption.

    Args:
        vocabulary_size: number of words; word 0 is padding.
        kernel: number of words that the convolution sees.
        bidirectional: half of the `size` units read from the end to the beginning.
    """

    def __init__(self, vocabulary_size, embedding_size, size, kernel, bidirectional, normalize):
        super().__init__()
        if bidirectional and size % 2:
            raise ValueError(
                f"reader_size: {size} units cannot be halved between two directions; take an even number"
            )
        self.embedding = nn.Embedding(vocabulary_size, embedding_size, padding_idx=0)
        directions = 2 if bidirectional else 1
        self.layers = nn.ModuleList(
            QuasiRecurrentLayer(embedding_size, size // directions, kernel, normalize)
            for _ in range(directions)
        )

    def forward(self, caption, length):
        """Read captions.

        Args:
            caption: int64 (B, T), 0 is padding, which has no influence on any state.
            length: int64 (B,), number of words of each.
        Returns:
            states: float (B, T, size), zero at padding; bidirectional readers put the forward half first.
            valid: bool (B, T), True at words.
        """
        valid = torch.arange(caption.shape[1], device=caption.device) < length[:, None]
        words = self.embedding(caption) * valid[..., None]
        states = [self.layers[0](words, valid)]
        if len(self.layers) == 2:
            states.append(self.layers[1](words.flip(1), valid.flip(1)).flip(1))
        return torch.cat(states, -1), valid

    def summary(self, states, length):
        """What is left of a caption at its ends: the forward state at its own last word, the backward state
        at its first.

        Args:
            states: (B, T, size), from `forward`.
            length: int64 (B,).
        Returns:
            (B, size); zero for a caption of no words.
        """
        if states.shape[1] == 0:
            return states.sum(1)
        forward, *backward = states.chunk(len(self.layers), -1)
        last = (length - 1).clamp(min=0)
        return torch.cat([forward[torch.arange(len(states)), last], *(half[:, 0] for half in backward)], -1)
