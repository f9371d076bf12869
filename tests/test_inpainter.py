"""The model's parts equal plainer ones, and the whole is a distribution."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from nbutils.nade import sampling
from nbutils.nade.convnet import Attention, OneHotConv, padding
from nbutils.nade.inpainter import KINDS, MERGERS, Inpainter, InpainterConfig, predict
from nbutils.nade.one_hot import with_planes

SMALL = dict(
    image_size=8,
    levels=5,
    width=6,
    layers=5,
    embedding_size=4,
    reader_size=4,
    reader_kernel=2,
    merger_planes=2,
)


def trained_like(model, seed=0):
    """Give a model batch statistics and biases as after training, in float64 and evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double()
    for name, tensor in itertools.chain(model.named_parameters(), model.named_buffers()):
        if name.endswith("running_var"):
            tensor.data = 0.5 + torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
        elif name.endswith(("bias", "running_mean")):
            tensor.data = 0.3 * torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    return model.eval()


def case(config, batch=3, words=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(
        config.levels, (batch, config.channels, config.image_size, config.image_size), generator=generator
    )
    known = torch.rand(image.shape, generator=generator) < 0.6
    caption = torch.randint(1, max(2, config.vocabulary_size), (batch, words), generator=generator)
    return image, known, caption, torch.tensor([words, 2, 0])[:batch]


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("ordered", [False, True])
def test_the_look_up_is_the_convolution_over_one_hot_planes(kernel_size, ordered):
    torch.manual_seed(0)
    layer = OneHotConv(3, 7, 5, kernel_size, ordered).double()
    layer.bias.data.normal_()
    image, known = torch.randint(7, (2, 3, 6, 5)), torch.rand(2, 3, 6, 5) < 0.6
    planes = (F.one_hot(image, 7) * known[..., None]).permute(0, 1, 4, 2, 3).flatten(1, 2)
    planes = torch.cat([planes, known], 1).double()
    before, after = padding(kernel_size)
    expected = F.conv2d(F.pad(planes, (before, after, before, after)), layer.as_convolution(), layer.bias)
    found = layer(image, known)
    assert torch.allclose(found, expected, atol=1e-12)
    upstream = torch.randn_like(found)
    gradients = [
        torch.autograd.grad((out * upstream).sum(), list(layer.parameters())) for out in (found, expected)
    ]
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(*gradients))


def test_a_net_whose_first_layer_is_a_convolution_over_planes_gives_the_same_logits():
    model = trained_like(Inpainter(InpainterConfig(**SMALL, vocabulary_size=9)))
    given = case(model.config)
    with torch.no_grad():
        assert torch.allclose(with_planes(model)(*given), model(*given), atol=1e-9)
        drawn = [
            sampling.inpaint(net, *given, strategy="orderless", generator=torch.Generator().manual_seed(1))
            for net in (model, with_planes(model))
        ]
        assert torch.equal(drawn[0].image, drawn[1].image)
    assert isinstance(model.first, OneHotConv)  # it is a copy that was changed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("merger", MERGERS)
def test_what_is_hidden_has_no_influence(kind, merger):
    model = trained_like(Inpainter(InpainterConfig(**SMALL, kind=kind, merger=merger, vocabulary_size=9)))
    image, known, caption, length = case(model.config)
    other = torch.where(known, image, (image + 1) % 5)
    assert torch.equal(model(image, known, caption, length), model(other, known, caption, length))


@pytest.mark.parametrize("merger", MERGERS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_has_no_influence_and_words_have(merger, bidirectional):
    model = trained_like(
        Inpainter(
            InpainterConfig(
                **SMALL, merger=merger, bidirectional=bidirectional, vocabulary_size=9, reader_normalize=True
            )
        )
    )
    image, known, caption, length = case(model.config)
    logits = model(image, known, caption, length)
    assert torch.allclose(model(image, known, F.pad(caption, (0, 7), value=3), length), logits, atol=1e-12)
    changed = caption.clone()
    changed[:, 1] = 1 + caption[:, 1] % 8
    difference = (model(image, known, changed, length) - logits).abs().flatten(1).amax(1)
    assert (difference[:2] > 1e-6).all()
    assert difference[2] == 0  # its caption has no words


def test_attention_weights_sum_to_one_over_the_words_alone():
    attention = Attention(6, 4).double()
    valid = torch.tensor([[True, True, False], [False, False, False]])
    weights = attention.weights(
        torch.randn(2, 4, 6).double(), attention.metric(torch.randn(2, 3, 4).double()), valid
    )
    assert torch.allclose(weights[0].sum(-1), torch.ones(4).double())
    assert (weights[0, :, 2] == 0).all()
    assert (weights[1] == 0).all()


@pytest.mark.parametrize("merger", MERGERS)
def test_no_caption_is_a_caption_of_no_words(merger):
    model = trained_like(Inpainter(InpainterConfig(**SMALL, merger=merger, vocabulary_size=9)))
    image, known, caption, length = case(model.config)
    without = model(image, known)
    assert without.isfinite().all()
    assert torch.allclose(without, model(image, known, caption, length * 0), atol=1e-12)


@pytest.mark.parametrize("readout", [0, 7])
def test_chosen_logits_are_those_of_the_whole(readout):
    model = trained_like(Inpainter(InpainterConfig(**SMALL, vocabulary_size=9, readout=readout)))
    image, known, caption, length = case(model.config)
    index = torch.randperm(image.numel(), generator=torch.Generator().manual_seed(1))[:50]
    whole = model(image, known, caption, length)
    assert torch.allclose(
        model(image, known, caption, length, index=index), whole.flatten(0, 3)[index], atol=1e-12
    )
    assert torch.equal(
        predict(lambda *a: whole, image, known, caption, length, index), whole.flatten(0, 3)[index]
    )
    assert model(image, known, caption, length, index=index[:0]).shape == (0, 5)


@pytest.mark.parametrize("kernel_size", [2, 3, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_one_pixel_changes_the_predictions_within_the_receptive_field_and_no_others(kind, kernel_size):
    config = InpainterConfig(
        image_size=33, channels=1, levels=2, width=4, layers=3, kind=kind, kernel_size=kernel_size
    )
    model = trained_like(Inpainter(config))
    for norm in (model.first_norm, *(layer.norm for layer in model.body)):
        norm.running_mean.sub_(100)  # no unit is cut off
    for weight in (model.first.table, *(layer.conv.weight for layer in model.body)):
        weight.data = weight.abs() + 0.1
    model.first.table.data[:, :, 1] += model.first.table[:, :, 0]  # and nothing cancels
    image = torch.zeros(2, 1, 33, 33, dtype=torch.long)
    image[1, 0, 16, 16] = 1
    with torch.no_grad():
        plain, changed = model(image, torch.ones_like(image, dtype=torch.bool))[:, 0]
    before, after = (
        sum(sides) for sides in zip(*(padding(kernel_size, dilation) for dilation in config.dilations))
    )
    expected = torch.zeros(33, 33, dtype=torch.bool)
    expected[16 - after : 17 + before, 16 - after : 17 + before] = True
    assert torch.equal((changed - plain).abs().amax(-1) > 1e-9, expected)
    assert before + 1 + after == config.receptive_field


def test_dilated_fields_span_the_hole_before_they_repeat():
    assert InpainterConfig(image_size=64, kind="dilated").dilations == (1, 2, 4, 8, 16, 1, 2, 4)
    assert InpainterConfig(image_size=32, kind="dilated_residual", layers=5).dilations == (1, 2, 4, 8, 1)


@torch.no_grad()
def test_probabilities_of_all_pictures_sum_to_one_for_every_ordering():
    torch.manual_seed(0)
    model = trained_like(Inpainter(InpainterConfig(image_size=3, channels=1, levels=2, width=5, layers=3)))
    pictures = torch.tensor(list(itertools.product((0, 1), repeat=9))).view(512, 1, 3, 3)
    for seed in range(4):
        order = torch.randperm(9, generator=torch.Generator().manual_seed(seed))
        log_p, known = torch.zeros(512).double(), torch.zeros_like(pictures, dtype=torch.bool)
        for variable in order:
            conditional = model(pictures, known).log_softmax(-1).flatten(1, 3)[:, variable]
            log_p += conditional.gather(1, pictures.flatten(1)[:, variable, None])[:, 0]
            known.flatten(1)[:, variable] = True
        assert abs(float(log_p.exp().sum()) - 1) < 1e-9


def test_parameter_counts_are_pinned():
    """The benchmark's shape: 9 taps x 771 planes x 128 + 7 layers x 9 x 128 x 128 + batch norms + output."""
    count = sum(p.numel() for p in Inpainter(InpainterConfig()).parameters())
    assert count == 9 * 771 * 128 + 128 + 7 * 9 * 128 * 128 + 8 * 2 * 128 + 129 * 768


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"kind": "wide"}, "kind: 'wide'"),
        ({"width": 0}, "width: 0"),
        ({"layers": 2.5}, "layers: 2.5"),
        ({"merger": "sum"}, "merger: 'sum'"),
        ({"merge_layers": (9,)}, "merge_layers"),
        ({"levels": 1}, "levels: 1"),
    ],
)
def test_impossible_configurations_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        InpainterConfig(**setting)
