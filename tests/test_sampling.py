"""Sampling follows the distributions it should, and its random numbers have addresses."""

import itertools

import pytest
import torch
from scipy import stats

from nbutils.nade import sampling, schedules, uniforms
from nbutils.nade.inpainter import Inpainter, InpainterConfig


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class Joint(torch.nn.Module):
    """Three binary variables with a known joint: its conditionals are consistent and exact."""

    def __init__(self, seed=0):
        super().__init__()
        self.p = torch.rand(2, 2, 2, generator=seeded(seed), dtype=torch.float64) + 0.05
        self.p /= self.p.sum()
        self.eval()

    def forward(self, image, known, caption=None, caption_length=None):
        states = torch.tensor(list(itertools.product((0, 1), repeat=3)))  # (8, 3)
        agree = ((states == image.flatten(1)[:, None]) | ~known.flatten(1)[:, None]).all(-1) * self.p.flatten()  # (B, 8)
        logits = [torch.stack([agree[:, states[:, v] == level].sum(-1) for level in (0, 1)], -1) for v in range(3)]
        return torch.stack(logits, 1).log().view(*image.shape, 2)


def counts_of(images):
    return torch.bincount(images.flatten(1) @ torch.tensor([4, 2, 1]), minlength=8)


def test_orderless_samples_follow_the_joint():
    model = Joint()
    image = torch.zeros(8000, 1, 1, 3, dtype=torch.long)
    result = sampling.inpaint(model, image, image > 0, strategy="orderless", generator=seeded())
    assert stats.chisquare(counts_of(result.image).numpy(), 8000 * model.p.flatten().numpy()).pvalue > 0.001


def gibbs_transition(model, alpha):
    """The transition matrix of independent Gibbs over the 8 states: every block has its probability, and its variables are
    drawn independently given the others."""
    states = torch.tensor(list(itertools.product((0, 1), repeat=3)))
    matrix = torch.zeros(8, 8, dtype=torch.float64)
    for block in itertools.product((False, True), repeat=3):
        chance = alpha ** sum(block) * (1 - alpha) ** (3 - sum(block))
        hidden = torch.tensor(block)
        p = model(states.view(8, 1, 1, 3), (~hidden).expand(8, 1, 1, 3)).softmax(-1).view(8, 3, 2)
        for to, state in enumerate(states):
            drawn = torch.where(hidden, p[:, torch.arange(3), state], (states == state).double()).prod(-1)
            matrix[:, to] += chance * drawn
    return matrix


@pytest.mark.parametrize("convention", sampling.CONVENTIONS)
def test_independent_gibbs_follows_its_transition_matrix(convention):
    model = Joint(1)
    image = torch.zeros(8000, 1, 1, 3, dtype=torch.long)
    alpha = 0.3
    result = sampling.inpaint(model, image, image > 0, strategy="independent_gibbs", schedule=lambda n, N: alpha, num_steps=2, start="black",
                              convention=convention, generator=seeded())  # fmt: skip
    matrix = gibbs_transition(model, alpha if convention == "resample" else 1 - alpha)
    expected = torch.linalg.matrix_power(matrix, 2)[0]
    assert stats.chisquare(counts_of(result.image).numpy(), 8000 * expected.numpy()).pvalue > 0.001


def test_temperature_zero_is_the_argmax_and_ties_are_broken_uniformly():
    logits = torch.tensor([[0.0, 3.0, 1.0, 3.0]]).expand(4000, -1)
    drawn = sampling.draw_levels(logits, 0.0, torch.rand(4000, generator=seeded(), dtype=torch.float64))
    counts = torch.bincount(drawn, minlength=4)
    assert counts[0] == counts[2] == 0
    assert stats.chisquare(counts[[1, 3]].numpy()).pvalue > 0.001


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 3.0])
def test_temperature_raises_probabilities_to_its_inverse(temperature):
    logits = torch.tensor([0.5, 0.3, 0.2]).log().expand(6000, -1)
    drawn = sampling.draw_levels(logits, temperature, torch.rand(6000, generator=seeded(), dtype=torch.float64))
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64) ** (1 / temperature)
    expected = 6000 * p / p.sum()
    assert stats.chisquare(torch.bincount(drawn, minlength=3)[expected > 1].numpy(), (expected[expected > 1] / expected[expected > 1].sum() * 6000).numpy()).pvalue > 0.001


@pytest.mark.parametrize("temperature", [0.0, 1e-300, 1e-3, 1.0, 1e6])
def test_impossible_levels_are_never_drawn_and_nothing_is_nan(temperature):
    logits = torch.tensor([-torch.inf, 0.0, -torch.inf, -2.0, -torch.inf]).expand(500, -1)
    uniform = torch.cat([torch.tensor([0.0, 1 - 2.0**-53]), torch.rand(498, generator=seeded())]).double()
    drawn = sampling.draw_levels(logits, temperature, uniform)
    assert set(drawn.tolist()) <= {1, 3}
    assert sampling.entropy(logits).isfinite().all()


def test_entropy_is_in_bits():
    assert torch.allclose(sampling.entropy(torch.zeros(1, 8)), torch.tensor([3.0]))


def small_model(**settings):
    torch.manual_seed(0)
    return Inpainter(InpainterConfig(image_size=6, levels=4, width=5, layers=2, vocabulary_size=7, embedding_size=4, reader_size=4, **settings)).eval()


def small_case(batch=4):
    generator = seeded(3)
    image = torch.randint(4, (batch, 3, 6, 6), generator=generator)
    known = torch.ones_like(image, dtype=torch.bool)
    known[0, :, 1:4, 2:5] = False
    known[1, 1, 0, 0] = False
    if batch > 2:
        known[2] = False
    return image, known, torch.tensor([[2, 3, 4]] * batch), torch.tensor([3, 2, 1, 0][:batch])


@pytest.mark.parametrize("strategy", sampling.STRATEGIES)
def test_the_known_stays_and_holes_of_any_size_share_a_batch(strategy):
    image, known, caption, length = small_case()  # a square, one channel of a corner, everything, nothing
    result = sampling.inpaint(small_model(), image, known, caption, length, strategy=strategy, frames=5, generator=seeded())
    assert torch.equal(result.image[known], image[known])
    assert torch.equal(result.frames[-1], result.image)
    assert torch.equal(result.frames[0][known], image[known])
    assert result.steps[-1].tolist() == [27, 1, 108, 0]
    assert (result.frames == torch.where(known, image, result.frames)).all()
    assert result.entropy_frames[:, 3].eq(0).all()
    assert result.image.min() >= 0
    assert result.image.max() < 4


@pytest.mark.parametrize("strategy", sampling.STRATEGIES)
def test_the_same_seed_gives_the_same_animation_whatever_the_batch_size(strategy):
    model = small_model().double()
    image, known, caption, length = small_case()
    together = sampling.inpaint(model, image, known, caption, length, strategy=strategy, generator=seeded(5))
    alone = sampling.inpaint(model, image[:1], known[:1], caption[:1], length[:1], strategy=strategy, generator=seeded(5))
    pair = sampling.inpaint(model, image[:2], known[:2], caption[:2], length[:2], strategy=strategy, generator=seeded(5))
    assert torch.equal(together.image[:1], alone.image)
    assert torch.equal(together.image[:2], pair.image)
    assert torch.equal(alone.frames[[0, -1]], together.frames[[0, -1]][:, :1])


def test_runs_that_differ_in_one_knob_start_from_the_same_picture():
    image, known, caption, length = small_case()
    runs = [sampling.inpaint(small_model(), image, known, caption, length, strategy="independent_gibbs", temperature=t, num_steps=4, generator=seeded(2)) for t in (0, 1)]
    assert torch.equal(runs[0].frames[0], runs[1].frames[0])
    black = sampling.inpaint(small_model(), image, known, caption, length, strategy="independent_gibbs", start="black", num_steps=4, generator=seeded(2))
    assert (black.frames[0][~known] == 0).all()


def test_frames_show_what_the_model_was_shown():
    image, known, caption, length = small_case()
    result = sampling.inpaint(small_model(), image, known, caption, length, strategy="orderless", frames=28, generator=seeded())
    for frame, steps in zip(result.known_frames[1:, 0], result.steps[1:, 0]):
        assert int((~frame).sum()) == 27 - int(steps) + 1
    unknown = ~result.known_frames
    assert (result.entropy_frames[~unknown] == 0).all()
    assert (result.entropy_frames[1:, 0][unknown[1:, 0]] > 0).all()


def test_a_whole_picture_can_be_drawn_from_nothing():
    image = torch.zeros(1, 3, 6, 6, dtype=torch.long)
    result = sampling.inpaint(small_model(), image, image > 0, strategy="independent_gibbs", num_steps=3, generator=seeded())
    assert len(result.image.unique()) > 1


def test_the_schedule_is_that_of_the_post():
    alphas = [schedules.annealed(n, 10, alpha_max=0.9, alpha_min=0.1, eta=0.5) for n in range(10)]
    assert alphas == pytest.approx([0.9, 0.74, 0.58, 0.42, 0.26, 0.1, 0.1, 0.1, 0.1, 0.1])
    with pytest.raises(ValueError, match="eta: 0"):
        schedules.annealed(0, 1, eta=0)
    with pytest.raises(ValueError, match=r"alpha_min and alpha_max: 0\.5 and 0\.2"):
        schedules.annealed(0, 1, alpha_max=0.2, alpha_min=0.5)


def test_addressed_numbers_are_uniform_and_unrelated():
    seed = torch.tensor(7)
    u = uniforms.uniform(seed, uniforms.LEVEL, torch.arange(50)[:, None], torch.tensor(3), torch.arange(400)[None])
    assert stats.kstest(u.flatten().numpy(), "uniform").pvalue > 0.001
    assert abs(float(torch.corrcoef(u)[0, 1:].mean())) < 0.05
    v = uniforms.uniform(seed, uniforms.LEVEL, torch.arange(50)[:, None], torch.tensor(4), torch.arange(400)[None])
    assert abs(float(torch.corrcoef(torch.stack([u.flatten(), v.flatten()]))[0, 1])) < 0.03
    assert torch.equal(u[7:8, 5:6], uniforms.uniform(seed, uniforms.LEVEL, torch.tensor([[7]]), torch.tensor(3), torch.tensor([[5]])))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategy": "beam"}, "strategy: 'beam'"),
        ({"temperature": -1.0}, "temperature: -1.0"),
        ({"temperature": float("nan")}, "temperature: nan"),
        ({"convention": "flip"}, "convention: 'flip'"),
        ({"start": "white"}, "start: 'white'"),
        ({"engine": "quick"}, "engine: 'quick'"),
        ({"num_steps": 0}, "num_steps: 0"),
        ({"frames": 1}, "frames: 1"),
        ({"known": torch.ones(4, 3, 6, 5, dtype=torch.bool)}, "known: .*expected bool"),
        ({"image": torch.zeros(4, 3, 6, 6)}, "image: torch.float32"),
        ({"caption_length": None}, "caption and caption_length"),
        ({"caption": torch.zeros(3, 3, dtype=torch.long)}, "caption: shapes"),
    ],
)
def test_bad_arguments_are_refused_by_name(change, message):
    image, known, caption, length = small_case()
    arguments = dict(model=small_model(), image=image, known=known, caption=caption, caption_length=length, strategy="orderless") | change
    with pytest.raises(ValueError, match=message):
        sampling.inpaint(**arguments)


def test_levels_outside_the_models_range_are_refused():
    image, known, caption, length = small_case()
    image[0, 0, 0, 0] = 9
    with pytest.raises(ValueError, match="image: levels from 0 to 9"):
        sampling.inpaint(small_model(), image, known, caption, length, strategy="orderless")


def test_a_model_in_training_mode_is_refused():
    image, known, caption, length = small_case()
    with pytest.raises(ValueError, match="training mode"):
        sampling.inpaint(small_model().train(), image, known, caption, length, strategy="orderless")
