"""Fillings are weighed by a rule, and shown under named columns."""

import re

import pytest
import torch

from nbutils.evidence import intervals, ledger, samples
from nbutils.nade import masks, sampling, statistics
from nbutils.show import animation, figures, fillings


@pytest.fixture
def originals():
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(100, 110, (6, 3, 8, 8), generator=generator)
    return samples.Originals(image, ~masks.square(image.shape, size=4, central=True))


def spoiled(originals, by, seed=1):
    noise = torch.randint(-by, by + 1, originals.image.shape, generator=torch.Generator().manual_seed(seed))
    return torch.where(originals.hole, originals.image + noise, originals.image)


def test_the_originals_are_at_no_distance_from_themselves(originals):
    for distance in originals.distances(originals.image[:4]).values():
        assert distance.tolist() == [0] * 4


def test_a_filling_nearer_to_the_originals_is_better_and_the_other_way_round_worse(originals):
    near, far = spoiled(originals, 2), spoiled(originals, 60)
    effects, verdict = originals.compare(near, far)
    assert verdict == "better"
    difference = statistics.hole_mean((near - originals.image).abs(), originals.hole)
    difference -= statistics.hole_mean((far - originals.image).abs(), originals.hole)
    assert effects["error"] == intervals.mean(difference)
    assert originals.compare(far, near)[1] == "worse"
    assert originals.compare(near, near)[1] == "undecided"
    assert list(originals.compare(near, far, measures=("error",))[0]) == ["error"]


def test_closer_by_one_measure_and_further_by_another_is_undecided(originals):
    flat = torch.where(originals.hole, 105, originals.image)  # near in levels, far in roughness
    rough = torch.where(originals.hole, originals.image.roll(1, 0), originals.image)
    effects, verdict = originals.compare(flat, rough)
    assert effects["error"]["interval"][1] < 0 < effects["roughness"]["interval"][0]
    assert verdict == "undecided"


def test_a_claim_is_settled_by_the_clearest_measure(originals, capsys):
    effects, verdict = originals.compare(spoiled(originals, 60), spoiled(originals, 2))
    claims = ledger.Ledger()
    claims.state("A01", "a rule")
    samples.settle(claims, "A01", effects, "supported", "noise against less of it", "table-contest")
    (entry,) = claims.entries
    name, _ = intervals.decisive(effects)
    assert verdict == "worse"
    assert entry["measurement"] == f"noise against less of it, distance from the originals in {name}"
    assert entry["effect"] == effects[name]["effect"]


def test_pictures_that_are_no_scenes_have_no_colours(originals):
    assert originals.colours(originals.image) == []
    assert samples.counted([]) == ""
    assert samples.counted([True, False, True]) == "2 of 3"


def test_an_effect_reads_as_mean_and_half_width():
    found = intervals.effect([0.1, 0.2, 0.3])
    assert intervals.text(found) == "+0.20 ± 0.25"
    assert intervals.text(found, 1, scale=100, sign="") == "20.0 ± 24.8"


def test_fillings_stand_under_their_columns_and_a_caption_is_escaped(monkeypatch, originals):
    shown = []
    monkeypatch.setattr(animation, "display", lambda html: shown.append(html.data))
    monkeypatch.setattr(figures, "display", lambda html: shown.append(html.data))

    def model(image, known, caption=None, length=None):
        return torch.zeros(*image.shape, 256)

    image, known = originals.image[:1], ~originals.hole[:1]
    result = sampling.inpaint(model, image, known, strategy="orderless", frames=3)
    one = fillings.filling(result, 0, originals.hole[0], "a hole being filled")
    row = (["1.0"], fillings.beside(image[0], known[0], [one]), "A <b>box</b>.")
    columns = ["T", "given", "filled", "original"]
    fillings.table(columns, [row], "What is shown.", "key", groups=[("", 1), ("samples", 3)])
    (page,) = shown
    assert re.findall(r'<th scope="(?:col|colgroup)"[^>]*>([^<]*)<', page) == ["", "samples", *columns]
    assert len(re.findall("<td", page)) == 3 + 1
    assert "A &lt;b&gt;box&lt;/b&gt;." in page
    assert "<b>" not in page
    assert 'data-name="key"' in page
    assert page.count('class="pause"') == 1

    still = fillings.beside(image[0], known[0], [])
    fillings.table(["given", "original"], [([], still, "")], "Stills.")
    assert "pause" not in shown[1]
