"""Fillings are weighed by a rule, and shown under named columns."""

import re

import pytest
import torch

from nbutils.data import painted_colours, scenes
from nbutils.evidence import intervals, ledger, samples
from nbutils.nade import masks, sampling
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


def test_holes_that_differ_are_refused(originals):
    other = originals.hole.clone()
    other[0, 0, 0, 0] = ~other[0, 0, 0, 0]
    with pytest.raises(ValueError, match="hole: differs between pictures or channels"):
        samples.Originals(originals.image, other)


def score(originals, pair):
    """The energy score of the levels, as its paper writes it."""
    first, second = (pictures.double() for pictures in pair)
    apart = (
        (first - originals.image).abs() / 2
        + (second - originals.image).abs() / 2
        - (first - second).abs() / 2
    )
    return float(apart[originals.hole].mean())


def pair(originals, by):
    return spoiled(originals, by), spoiled(originals, by, seed=2)


def test_a_filling_nearer_to_the_originals_is_better_and_the_other_way_round_worse(originals):
    near, far = pair(originals, 2), pair(originals, 60)
    effects, verdict = originals.compare(near, far)
    assert verdict == "better"
    assert effects["error"]["effect"] == pytest.approx(score(originals, near) - score(originals, far))
    assert originals.compare(far, near)[1] == "worse"
    assert originals.compare(near, near)[1] == "undecided"
    assert list(originals.compare(near, far, measures=("error",))[0]) == ["error"]


def test_the_energy_score_does_not_reward_caution():
    """Of draws from where the originals came from, and of their median, the draws have the lower score though
    they are further away."""
    lot = torch.Generator().manual_seed(0)
    image, first, second = torch.randint(0, 256, (3, 40, 3, 8, 8), generator=lot)
    hole = ~masks.square(image.shape, size=4, central=True)
    originals = samples.Originals(image, hole)
    cautious = torch.where(hole, 128, image)
    honest = [torch.where(hole, draw, image) for draw in (first, second)]
    distance = [originals.distances(pictures)["error"].mean() for pictures in (cautious, honest[0])]
    assert distance[0] < distance[1]
    effects, _ = originals.compare(honest, (cautious, cautious), measures=("error",))
    assert effects["error"]["interval"][1] < 0


def test_an_effect_counts_only_if_it_stands_among_all_that_are_looked_at():
    clear, hardly = intervals.summarised(-1.0, 1.0, 40), intervals.summarised(-0.33, 1.0, 40)
    nothing = intervals.summarised(0.0, 1.0, 40)
    assert samples.weighed(samples.several({"one": hardly})) == "better"
    assert samples.weighed(samples.several({"one": hardly, "two": nothing, "three": nothing})) == "undecided"
    assert samples.weighed(samples.several({"one": clear, "two": nothing, "three": nothing})) == "better"


def test_closer_by_one_measure_and_further_by_another_is_undecided():
    effects = {"a": intervals.summarised(-1.0, 1.0, 40), "b": intervals.summarised(1.0, 1.0, 40)}
    assert samples.weighed(samples.several(effects)) == "undecided"


def test_a_claim_is_settled_by_the_clearest_measure(originals, capsys):
    effects, verdict = originals.compare(pair(originals, 60), pair(originals, 2))
    claims = ledger.Ledger()
    claims.state("A01", "a rule")
    told = "supported", "noise against less of it", "table-contest"
    samples.settle(claims, "A01", effects, *told, on=ledger.SCENES)
    (entry,) = claims.entries
    name, found = intervals.decisive(effects)
    assert verdict == "worse"
    assert entry["measurement"] == f"noise against less of it, energy score of the {name}"
    assert (entry["effect"], entry["p"]) == (effects[name]["effect"], found["p"])


def test_colours_that_show_nowhere_outside_the_hole_are_counted_apart():
    """A hole of the whole picture hides every object that it reaches, one of a pixel hides none."""
    image = torch.stack([torch.from_numpy(scenes.draw(index, size=16)) for index in range(6)])
    for size, all_hidden in ((16, True), (1, False)):
        hole = ~masks.square(image.shape, size=size, central=True)
        originals = samples.Originals(image.long(), hole, tuple(range(6)), 0)
        hidden = originals.wholly_hidden(6)
        assert len(hidden) == len(originals.colours(image.long()))
        assert set(hidden) <= {all_hidden}
    everything = samples.Originals(image.long(), torch.ones_like(image, dtype=torch.bool), tuple(range(6)), 0)
    assert everything.told(image.long()) == "6 of 6; wholly hidden 6 of 6"


def test_pictures_that_are_no_scenes_have_no_colours(originals):
    assert originals.colours(originals.image) == []
    assert samples.counted([]) == ""
    assert samples.counted([True, False, True]) == "2 of 3"


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
    assert re.findall(r'<th scope="(?:col|colgroup)"[^>]*>([^<]*)<', page) == ["samples", *columns]
    assert len(re.findall("<td", page)) == 1 + 3 + 1  # an empty corner heads nothing
    assert "A &lt;b&gt;box&lt;/b&gt;." in page
    assert "<b>" not in page
    assert 'data-name="key"' in page
    assert page.count('class="pause"') == 1

    still = fillings.beside(image[0], known[0], [])
    fillings.table(["given", "original"], [([], still, "")], "Stills.")
    assert "pause" not in shown[1]


def test_the_drawings_of_as_many_scenes_as_a_verdict_takes_are_kept():
    """In colours and in shapes; fewer, and every table of a report would draw all of them again."""
    assert painted_colours._drawings.cache_info().maxsize >= 2 * 64
