"""What a page computes with a model is what torch computes: random numbers, logits, samples, fillings."""

import numpy as np
import pytest
import torch
from test_incremental import random_case
from test_pixel_models import predictor

from nbutils.data import scenes
from nbutils.data.captions import Vocabulary, split_words
from nbutils.nade import sampling, splits, uniforms
from nbutils.nade.categorical import draw_levels, entropy
from nbutils.nade.inpainter import Inpainter, InpainterConfig
from nbutils.pixelrnn import filling
from nbutils.pixelrnn.models import pixel_nll
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
    assert found == [
        float(uniforms.uniform(torch.tensor(s), *map(torch.tensor, a))) for s, a in zip(seeds, parts)
    ]


def test_every_half_precision_number_is_read(page):
    found = np.array(page.arithmetic("[...HALVES].map(String)", None), float)
    assert np.array_equal(found, np.arange(65536, dtype=np.uint16).view(np.float16), equal_nan=True)


@pytest.mark.parametrize(
    "captions",
    [
        ["A large red ball.", "Snow below, clear sky above."],
        ["It's Bob\u2019s 2nd try: «Größe», 日本 ٣x² — ok_1 👍🏽!", "a<separator>b", ""],
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
            assert answer["words"] == split_words(text)
            assert answer["layers"] == list(weights)
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


HOLES = {
    "in the middle": lambda y, x: (y // 4 == 3) & (x // 4 == 3),
    "at a border": lambda y, x: (y < 3) & (x > 28),
    "one pixel": lambda y, x: (y == 31) & (x == 0),
    "none": lambda y, x: (y < 0) & (x < 0),
}


@pytest.fixture(scope="module")
def published(page):
    """The small published net of scenes, its vocabulary, and its name in the page."""
    place, saved = publications.fitting("05_sampling_orderings", image_size=32)
    model, vocabulary = job.load(place / saved["checkpoints"]["cross_entropy"], "cpu")
    return model, vocabulary, page.load(live.pack(model, vocabulary))


@pytest.mark.parametrize("hole", HOLES)
def test_the_published_net_draws_its_own_samples_in_half_precision(page, published, hole):
    """Every level drawn is that of torch given the same past, but where a cumulative probability is within
    1e-4 of the random number, which is counted."""
    model, vocabulary, name = published
    image, known = torch.from_numpy(scenes.draw(10_000_005, size=32)).long()[None], torch.ones(1, 3, 32, 32)
    known = known.masked_fill(torch.from_numpy(HOLES[hole](*np.ogrid[:32, :32])), 0).bool()
    text = ["A large zebra ball.", "Snow below, clear sky above."]
    words = vocabulary.encode([text])
    asked = picture(image, known, text) | {"model": name, "seed": "-5"}
    began, *drew, _ = page.ask("fill", **asked, strategy="orderless")
    history = [draw for part in drew for draw in zip(part["index"], part["levels"])]
    assert sorted(index for index, _ in history) == (~known).flatten().nonzero()[:, 0].tolist()
    state, differ = image.clone(), 0
    for index, level in history:
        index = torch.tensor([index])
        with torch.no_grad():
            logits = model(state, known, *words, index=index)
        number = uniforms.uniform(torch.tensor(-5), uniforms.LEVEL, 0, 0, index)
        if int(draw_levels(logits, 1.0, number)) != level:
            assert (logits.double().softmax(-1).cumsum(-1) - number[:, None]).abs().min() < 1e-4
            differ += 1
        state.view(-1)[index], known.view(-1)[index] = level, True
    assert differ <= 1
    assert shown(began, drew) == state.flatten().tolist()


@pytest.mark.parametrize("config", [dict(), dict(num_layers=3), dict(hidden_size=9)])
def test_a_gru_reads_and_writes_as_torch(page, config):
    model = predictor(**config).float()
    pixels = (torch.rand(1, 30, generator=torch.Generator().manual_seed(1)) > 0.6).float()
    expected = pixel_nll(model.double(), pixels.double()).detach()[0]
    for precision, near in (("single", 1e-5), ("half", 1e-3)):
        name = page.load(live.pack(model, precision=precision))
        levels = pixels[0].int().tolist()
        answer = page.ask("nats", model=name, levels=levels)[-1]
        assert far(numbers(answer["nats"]), expected) < 3 * near
        ink = torch.where(pixels[0] > 0, -expected, (-(-expected).expm1()).log()).exp()
        assert torch.allclose(numbers(answer["probabilities"]), ink, atol=near)
        assert answer["total"] == pytest.approx(float(expected.sum()), rel=near)
        drew = page.ask("continue", model=name, levels=levels, first=12, seed=9, temperature=0.8)[:-1]
        written = [draw for part in drew for draw in zip(part["index"], part["levels"])]
        assert [index for index, _ in written] == list(range(12, 30))
        follow = torch.cat([pixels[0, :12], torch.tensor([level for _, level in written])])[None].double()
        logits, _ = model(torch.cat([torch.full((1, 1), 0.5), follow[:, :-1]], 1))
        number = uniforms.uniform(torch.tensor(9), uniforms.LEVEL, 0, 0, torch.arange(30))
        probable = (logits[0].detach() / 0.8).sigmoid()
        assert ((probable - number).abs()[12:] > near).all(), "take another seed: a draw is too close to call"
        assert torch.equal((number < probable)[12:], follow[0, 12:] > 0)


@pytest.mark.parametrize("missing", [[5], [0, 29], [21, 7, 8, 22], [3, 4, 5, 13, 14, 15, 23, 24, 25]])
def test_the_posterior_of_a_patch_is_exact(page, missing):
    model = predictor().float()
    name = page.load(live.pack(model, precision="single"))
    pixels = (torch.rand(1, 30, generator=torch.Generator().manual_seed(2)) > 0.6).double()
    expected = filling.filling_nlls(model.double(), pixels, torch.tensor([missing]))[0]
    *shares, answer = page.ask("posterior", model=name, levels=pixels[0].int().tolist(), missing=missing)
    assert torch.allclose(numbers(answer["nats"]), expected, rtol=1e-5)
    assert torch.allclose(numbers(answer["probabilities"]), (-expected).softmax(0), atol=1e-5)
    assert shares[-1]["share"] == 1
    assert all(0 < told["share"] <= 1 for told in shares)


def test_two_hundred_random_fillings_end_well(page):
    """Any hole, caption and setting: every hidden variable is drawn, none other, and nothing is no number."""
    pick, models = np.random.default_rng(0), []
    for seed in range(12):
        model, vocabulary, *_ = case(seed)
        models.append((page.load(live.pack(model, vocabulary)), model.config))
    for _ in range(200):
        name, config = models[pick.integers(len(models))]
        shape = (1, config.channels, config.image_size, config.image_size)
        image = torch.from_numpy(pick.integers(config.levels, size=shape))
        known = torch.from_numpy(pick.random(shape) < pick.choice([0, 0.5, 0.9, 1]))
        count = int((~known).sum())
        text = [
            " ".join(
                pick.choice([*WORDS.words, "xyz", "<separator>", "👍🏽", "", "\u200d"], pick.integers(9))
            )
        ]
        settings = {
            "strategy": str(pick.choice(sampling.STRATEGIES)),
            "temperature": float(pick.choice([0, 1e-3, 0.5, 1, 30])),
            "seed": str(pick.integers(-(2**63), 2**63)),
            "rounds": int(pick.integers(1, count + 1)) if count and pick.random() < 0.8 else None,
            "steps": int(pick.integers(1, 8)),
            "schedule": {
                "alpha_max": 0.95,
                "alpha_min": float(pick.random() * 0.95),
                "eta": 0.1 + float(pick.random()),
            },
            "noise": float(pick.random()),
            "remasking": float(pick.random()),
            "redrawn": 1 - float(pick.random()),
        }
        began, *drew, _ = page.ask("fill", **picture(image, known, text), model=name, **settings)
        drawn = {index for part in drew for index in part["index"]}
        hidden = set((~known).flatten().nonzero()[:, 0].tolist())
        exact = settings["strategy"] not in sampling.GIBBS
        assert drawn == hidden if exact else drawn <= hidden, settings
        final = torch.tensor(shown(began, drew)).view(shape)
        assert torch.equal(final[known], image[known])
        assert 0 <= final.min() <= final.max() < config.levels
        assert np.isfinite([bits for part in drew for bits in part["bits"]]).all()


def test_a_filling_can_be_paused_asked_and_stopped(page, published):
    """Between pause and resume nothing is drawn, and a question is answered; after a stop nothing comes."""
    image = torch.from_numpy(scenes.draw(10_000_005, size=32)).long()[None]
    asked = picture(image, torch.zeros(1, 3, 32, 32)) | {"model": published[2]}
    said = page.page.evaluate(
        """async request => {
          const said = [], soon = () => new Promise(done => setTimeout(done, 60));
          const until = async did => { while (!said.includes(did)) await soon(); };
          const job = send({...request, do: 'fill', strategy: 'orderless'}, answer => said.push(answer.did));
          await until('drew');
          control('pause', job);
          await until('paused');
          await soon();
          said.push('asked');
          said.push((await ask({...request, do: 'entropies'})).at(-1).did);
          control('resume', job);
          await until('resumed');
          const before = said.length;
          while (said.length === before) await soon();
          control('stop', job);
          await until('stopped');
          await soon();
          control('stop', job);
          await until('ended');
          return said;
        }""",
        asked,
    )
    quiet = said[said.index("paused") : said.index("resumed") + 1]
    assert quiet == ["paused", "asked", "entropies", "resumed"]
    assert said[-2:] == ["stopped", "ended"]
    assert "drew" in said[said.index("resumed") :]
    assert "done" not in said


def test_what_makes_no_sense_is_answered_and_harms_nobody(page):
    model, vocabulary, image, known, _, text = case(3)
    name = page.load(live.pack(model, vocabulary))
    good = picture(image, known, text) | {"model": name, "strategy": "orderless"}
    for wrong, said in (
        ({"model": "nobody"}, "model: nobody"),
        ({"levels": [0, 1]}, "levels, known: 2"),
        ({"levels": [255] * image.numel()}, "from 0 to 3"),
        ({"strategy": "alphabetical"}, "strategy: alphabetical"),
        ({"rounds": 0}, "rounds: 0"),
        ({"strategy": "independent_gibbs", "schedule": {"alpha_min": 2}}, "schedule"),
        ({"do": "dance"}, "do: dance"),
    ):
        answer = page.page.evaluate("request => ask(request)", {"do": "fill"} | good | wrong)[-1]
        assert answer["did"] == "error"
        assert said in answer["message"]
    assert page.ask("fill", **good)[-1]["did"] == "done"


def test_only_what_a_page_can_run_is_packed():
    captioned = Inpainter(InpainterConfig(image_size=5, levels=4, width=4, layers=2, vocabulary_size=7))
    with pytest.raises(ValueError, match="vocabulary: 0 words; expected the 7 words"):
        live.pack(captioned)
    with pytest.raises(ValueError, match="model: PixelPredictor of LSTM cells; expected"):
        live.pack(predictor(cell="lstm"))
    with pytest.raises(ValueError, match="model: Linear; expected an Inpainter"):
        live.pack(torch.nn.Linear(2, 2))
    captioned.head.weight.data[0, 0] = 1e6
    with pytest.raises(ValueError, match=r"head\.weight holds numbers that are not finite in half"):
        live.pack(captioned, WORDS)
    assert live.pack(captioned, WORDS, "single").name == live.pack(captioned, WORDS, "single").name
    assert "</script" not in live.worker_source()
