"""The reader equals a plain loop, and padding has no influence."""

import pytest
import torch
from torch.nn import functional as F

from nbutils.nade.reader import CaptionReader

CAPTION = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 0, 0, 0], [0, 0, 0, 0, 0], [2, 0, 0, 0, 0]])
LENGTH = torch.tensor([5, 2, 0, 1])


def reader(bidirectional, normalize, kernel=3):
    torch.manual_seed(0)
    return CaptionReader(10, 6, 8, kernel, bidirectional, normalize).double()


def plain_direction(layer, words):
    """The equations of Bradbury et al. (2016), one word at a time: words (T, E) -> states (T, size)."""
    weight, bias, kernel = layer.gates.weight, layer.gates.bias, layer.kernel
    size, states, c = bias.shape[0] // 3, [], 0.0
    for t in range(len(words)):
        window = torch.stack(
            [
                words[t - kernel + 1 + i] if t - kernel + 1 + i >= 0 else torch.zeros_like(words[0])
                for i in range(kernel)
            ]
        )
        gates = list((torch.einsum("ske,ke->s", weight.transpose(1, 2), window) + bias).split(size))
        if layer.normalize:
            gates = [norm(gate) for norm, gate in zip(layer.normalize, gates)]
        z, f, o = torch.tanh(gates[0]), torch.sigmoid(gates[1]), torch.sigmoid(gates[2])
        c = f * c + (1 - f) * z
        states.append(o * c)
    return torch.stack(states)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_the_reader_equals_a_plain_loop(bidirectional, normalize):
    r = reader(bidirectional, normalize)
    states, _ = r(CAPTION, LENGTH)
    for row, (numbers, length) in enumerate(zip(CAPTION, LENGTH)):
        if length == 0:
            continue
        words = r.embedding(numbers[:length])
        expected = plain_direction(r.layers[0], words)
        if bidirectional:
            expected = torch.cat([expected, plain_direction(r.layers[1], words.flip(0)).flip(0)], -1)
        assert torch.allclose(states[row, :length], expected, atol=1e-12)
        assert (states[row, length:] == 0).all()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_has_no_influence(bidirectional):
    r = reader(bidirectional, normalize=True)
    states, _ = r(CAPTION, LENGTH)
    longer, _ = r(F.pad(CAPTION, (0, 9)), LENGTH)
    assert torch.allclose(states, longer[:, :5], atol=1e-14)
    junk = torch.where(torch.arange(5) < LENGTH[:, None], CAPTION, 9)  # words beyond a caption's length
    assert torch.equal(r(junk, LENGTH)[0], states)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_summary_is_the_state_at_the_captions_own_ends(bidirectional):
    r = reader(bidirectional, normalize=False)
    states, _ = r(CAPTION, LENGTH)
    summary = r.summary(states, LENGTH)
    half = 4 if bidirectional else 8
    assert torch.equal(summary[1, :half], states[1, 1, :half])
    assert torch.equal(summary[0, half:], states[0, 0, half:])
    assert (summary[2] == 0).all()


def test_captions_without_words_are_read():
    r = reader(True, False)
    states, valid = r(torch.zeros(2, 0, dtype=torch.long), torch.zeros(2, dtype=torch.long))
    assert states.shape == (2, 0, 8)
    assert valid.shape == (2, 0)
    assert r.summary(states, torch.zeros(2, dtype=torch.long)).shape == (2, 8)


def test_an_odd_size_cannot_be_halved():
    with pytest.raises(ValueError, match="reader_size: 7"):
        CaptionReader(10, 6, 7, 3, True, False)
