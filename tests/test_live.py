"""What a page computes with a model is what torch computes: the same numbers, logits, samples and fillings."""

import numpy as np
import pytest
import torch
from test_incremental import random_case
from test_pixel_models import predictor

from nbutils.data.captions import Vocabulary, split_words
from nbutils.nade import sampling, splits, uniforms
from nbutils.nade.categorical import draw_levels, entropy
from nbutils.nade.inpainter import Inpainter, InpainterConfig
from nbutils.pixelrnn import filling
from nbutils.pixelrnn.models import PixelPredictor, RecurrentConfig, pixel_nll
from nbutils.reports import publications
from nbutils.reports.render import live
from nbutils.training import job

WORDS = Vocabulary(("<padding>", "<unknown>", "a", "red", "ball", ".", "It's"))

BEGIN = """source => {
  const code = URL.createObjectURL(new Blob([source], {type: 'text/javascript'}));
  const worker = new Worker(code), waiting = new Map();
  let number = 0;
  const plain = value => ArrayBuffer.isView(value) ? [...value]
    : Array.isArray(value) ? value.map(plain) : value;
  const heard = message => Object.fromEntries(Object.entries(message).map(([k, v]) => [k, plain(v)]));
  worker.onmessage = ({data}) => waiting.get(data.job)(heard(data));
  worker.onerror = event => { throw new Error(event.message); };
  const goesOn = ['started', 'drew', 'progress', 'paused', 'resumed'];
  window.send = (request, hear) => {
    const typed = ['levels', 'known'].filter(name => request[name]);
    for (const name of typed) request[name] = Uint8Array.from(request[name]);
    waiting.set(request.job = ++number, hear);
    worker.postMessage(request);
    return number;
  };
  window.control = (what, target) => worker.postMessage({do: what, target});
  window.ask = request => new Promise(done => {
    const answers = [];
    send(request, answer => { answers.push(answer); if (!goesOn.includes(answer.did)) done(answers); });
  });
}"""


class Page:
    """A page with a worker and models of which only the last is of interest."""

    def __init__(self, browser):
        self.page = browser.new_page()
        self.page.evaluate(BEGIN, live.worker_source())

    def ask(self, what, **fields):
        """All answers to a request, the last of which is not an error."""
        answers = self.page.evaluate("request => ask(request)", {"do": what, **fields})
        assert answers[-1]["did"] != "error", answers[-1]
        return answers

    def load(self, packed):
        text = packed.html().partition(">")[2].partition("<")[0]
        self.ask("load", model=packed.name, description=packed.description, weights=text)
        return packed.name

    def arithmetic(self, expression, value):
        """An expression of the worker's own names and of `value`, in the page."""
        return self.page.evaluate(f"value => {{ {live.worker_source()}\n return {expression}; }}", value)


@pytest.fixture(scope="module")
def page(browser):
    return Page(browser)


def picture(image, known, caption=None):
    return {
        "levels": image.flatten().tolist(),
        "known": known.flatten().int().tolist(),
        "caption": caption or [],
    }


def case(seed):
    """A small model of any kind in single precision, one picture, its hole, a caption as text and numbers."""
    model, image, known, caption, length = random_case(seed)
    model, words = model.float(), None
    if caption is not None:
        caption, length = caption[:1, : length[0]], length[:1]
        words = [" ".join("zebra" if n == 1 else WORDS.words[n] for n in caption[0].tolist())]
    vocabulary = WORDS if model.config.vocabulary_size else None
    return model, vocabulary, image[:1], known[:1], (caption, length), words


def numbers(browser_numbers):
    return torch.tensor([float("nan") if n is None else n for n in browser_numbers], dtype=torch.float64)


def far(found, expected):
    """The largest difference relative to the largest logit."""
    return float((found - expected).abs().max() / expected.abs().max())


def test_random_numbers_are_those_of_torch_to_the_last_bit(page):
    generator = np.random.default_rng(0)
    seeds = [0, -1, 2**63 - 1, -(2**63), *generator.integers(-(2**63), 2**63, 200).tolist()]
    parts = generator.integers(0, [5, 3, 4000, 2**31 - 2], (len(seeds), 4)).tolist()
    found = page.arithmetic(
        "value.map(([seed, ...parts]) => Address.of(seed, ...parts).uniform)",
        [[str(seed), *address] for seed, address in zip(seeds, parts)],
    )
    assert found == [float(uniforms.uniform(torch.tensor(s), *map(torch.tensor, a))) for s, a in zip(seeds, parts)]


def test_every_half_precision_number_is_read(page):
    found = np.array(page.arithmetic("[...HALVES].map(String)", None), float)
    assert np.array_equal(found, np.arange(65536, dtype=np.uint16).view(np.float16), equal_nan=True)


@pytest.mark.parametrize(
    "captions",
    [
        ["A large red ball.", "Snow below, clear sky above."],
        ["It's Bob’s 2nd try: «Größe», 日本 ٣x² — ok_1 👍🏽!", "a<separator>b", ""],
        [],
    ],
)
def test_words_are_those_of_the_vocabulary(page, captions):
    assert page.arithmetic("splitWords(value)", captions) == split_words(captions)


@pytest.mark.parametrize("temperature", [0, 0.3, 1])
def test_levels_are_drawn_as_torch_draws_them(page, temperature):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randint(-3, 4, (300, 5), generator=generator).float()
    logits[:20, 1] = -torch.inf
    uniform = torch.rand(300, generator=generator, dtype=torch.float64)
    uniform[:3] = torch.tensor([0.0, 1 - 2**-53, 0.5])
    rows = [[str(logit) for logit in row] for row in logits.tolist()]
    named = {"rows": rows, "uniform": uniform.tolist(), "temperature": temperature}
    read = "value.rows.map(row => row.map(text => text === '-inf' ? -Infinity : +text))"
    drawn = f"{read}.map((row, i) => drawLevel(row, 0, 5, value.temperature, value.uniform[i]))"
    assert page.arithmetic(drawn, named) == draw_levels(logits, temperature, uniform).tolist()
    bits = page.arithmetic(f"{read}.map(row => entropy(row, 0, 5))", named)
    assert torch.allclose(numbers(bits), entropy(logits.double()), atol=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_logits_entropies_and_attention_are_those_of_torch(page, seed):
    model, vocabulary, image, known, words, text = case(seed)
    hidden = (~known).flatten().nonzero()[:, 0]
    with torch.no_grad():
        expected = model.double()(image, known, *words, index=hidden)
    for precision, near in (("single", 1e-5), ("half", 1e-3)):
        name = page.load(live.pack(model, vocabulary, precision))
        asked = picture(image, known, text) | {"model": name}
        found = numbers(page.ask("predict", **asked, index=hidden.tolist())[-1]["logits"])
        assert far(found.view_as(expected), expected) < near
        bits = numbers(page.ask("entropies", **asked)[-1]["bits"])
        assert torch.allclose(bits[hidden], entropy(expected), atol=20 * near)
        assert not bits[known.flatten()].any()
        if vocabulary and model.config.merger == "attention":
            answer = page.ask("attention", **asked)[-1]
            with torch.no_grad():
                weights = model.attention(image, known, *words)
            assert answer["words"] == split_words(text) and answer["layers"] == list(weights)
            for found, layer in zip(answer["weights"], weights.values()):
                assert torch.allclose(numbers(found), layer.flatten(), atol=near)


@pytest.mark.parametrize("seed", range(20))
def test_a_seed_gives_the_samples_of_torch(page, seed):
    model, vocabulary, image, known, words, text = case(seed)
    name = page.load(live.pack(model, vocabulary, "single"))
    for number, strategy in enumerate(sampling.STRATEGIES):
        blocks, several = {}, {}
        count = int((~known).sum())
        if strategy in (*sampling.ANCESTRAL, "maskgit") and (seed % 2 or count > 40):
            rounds = min(count, 9)
            blocks, several = {"rounds": rounds}, {"blocks": splits.uniform(count, rounds)}
        if strategy == "remdm" or "gibbs" in strategy:
            blocks, several = {"steps": 6}, {"num_steps": 6}
        same = {"strategy": strategy, "temperature": (0.0, 0.7, 1.0)[(seed + number) % 3]}
        same |= {"convention": sampling.CONVENTIONS[seed % 2], "start": sampling.STARTS[seed % 3]}
        same |= {"maskgit": {"noise": 0.8}, "remdm": {"remasking": 0.7}}.get(strategy, {})
        generator = torch.Generator().manual_seed(seed)
        hashed = int(uniforms.seed_from(torch.Generator().manual_seed(seed)))
        expected = sampling.inpaint(model, image, known, *words, **same, **several, generator=generator)
        asked = picture(image, known, text) | {"model": name, "seed": str(hashed)}
        began, *drew, done = page.ask("fill", **asked, **same, **blocks)
        assert done["evaluations"] == int(expected.evaluations[0]), strategy
        assert began["levels"] == expected.frames[0].flatten().tolist(), strategy
        assert shown(began, drew) == expected.image.flatten().tolist(), strategy


def shown(began, drew):
    """The picture after all that was told."""
    levels = list(began["levels"])
    for part in drew:
        for index, level in zip(part["index"], part["levels"]):
            levels[index] = level if level >= 0 else levels[index]
    return levels


def quick():
    """The small published net of scenes, and a picture with a caption that it has not seen."""
    _, saved = publications.fitting("05_sampling_orderings", size=32)
    return saved
