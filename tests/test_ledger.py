"""Claims are settled by rules that stand before their numbers, and by nothing that an interval does not
support."""

import json

import numpy as np
import pytest
from scipy import stats

from nbutils.evidence import intervals, ledger, results, telling
from nbutils.show import figures


@pytest.fixture
def shown(monkeypatch):
    said = []
    monkeypatch.setattr(figures, "display", lambda value: said.append(value.data))
    return said


def settle(claims, claim, found, **choices):
    return claims.settle(
        claim,
        found,
        **(
            {"unit": "bits", "per": "pictures", "measured": "what it costs", "evidence": "figure-key"}
            | {"on": "music"}
            | choices
        ),
    )


def test_the_interval_of_a_mean_covers_it_as_often_as_it_says():
    """Also of skewed values, thirty at a time, within what their skewness costs."""
    rng, hits = np.random.default_rng(0), 0
    for _ in range(400):
        low, high = intervals.mean(rng.exponential(size=30))["interval"]
        hits += low < 1 < high
    assert stats.binomtest(hits, 400, 0.92).pvalue > 0.01
    assert hits / 400 > 0.89


def test_a_table_and_a_claim_say_the_same():
    rng = np.random.default_rng(0)
    for _ in range(300):
        values = rng.lognormal(0, 1, 12) - 1.2
        in_table, in_claim = intervals.effect(values), intervals.mean(values)
        word = {1: "more", -1: "less", 0: "undecided"}[intervals.side(in_claim)]
        assert in_table["verdict"] == word
        low, high = in_claim["interval"]
        assert (high - low) / 2 == pytest.approx(in_table["half"])


def test_few_values_have_the_wide_interval_of_student_and_one_has_none():
    values = [0.1, 0.4, 0.3]
    found = intervals.mean(values)
    assert found["interval"] == pytest.approx(stats.t.interval(0.95, 2, np.mean(values), stats.sem(values)))
    assert intervals.mean([0.5]) == {"effect": 0.5, "n": 1, "interval": None, "method": "one measurement"}


def test_a_difference_of_two_groups_is_that_of_their_means():
    rng = np.random.default_rng(1)
    first, second = rng.normal(1, 1, 200), rng.normal(0, 2, 300)
    found = intervals.difference(first, second)
    assert found["effect"] == pytest.approx(first.mean() - second.mean())
    errors = [values.var(ddof=1) / len(values) for values in (first, second)]
    freedom = sum(errors) ** 2 / (errors[0] ** 2 / 199 + errors[1] ** 2 / 299)  # Welch and Satterthwaite
    half = stats.t.ppf(0.975, freedom) * sum(errors) ** 0.5
    assert np.diff(found["interval"])[0] == pytest.approx(2 * half)
    with pytest.raises(ValueError, match="an interval needs at least two finite numbers"):
        intervals.difference(first[:1], second)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        (np.linspace(1, 2, 20), "supported"),
        (np.linspace(-2, -1, 20), "refuted"),
        (np.linspace(-1, 1, 20), "undecided"),
    ],
)
def test_the_verdict_follows_from_where_the_interval_lies(shown, values, verdict):
    claims = ledger.Ledger()
    claims.state("A10", "the rule")
    assert settle(claims, "A10", intervals.mean(values)) == verdict
    assert shown[0].startswith("**Claim A10.** *The antigreedy order")
    assert "<summary>How it is decided</summary>" in shown[1]
    assert "the rule" in shown[1]
    said = f"**{verdict.capitalize()}, as stated: [claim](#claim-A10).** See [figure](#figure-key)."
    assert shown[2] == said
    assert "What it costs: " in shown[3]
    assert "pictures: 20." in shown[3]
    assert claims.entries[0]["repeats"] == 20


def test_the_value_of_the_rule_need_not_be_zero_and_sides_can_be_exchanged(shown):
    claims = ledger.Ledger()
    claims.state("A03", "the rule")
    assert (
        settle(
            claims,
            "A03",
            intervals.mean(np.linspace(0.01, 0.04, 20)),
            null=0.05,
            above="refuted",
            below="supported",
        )
        == "supported"
    )


@pytest.mark.parametrize(
    ("stated", "found", "choices", "message"),
    [
        ("A10", intervals.mean(np.linspace(-1, 1, 20)), {"verdict": "supported"}, "the interval .* holds 0"),
        ("A10", intervals.exact(1.0), {}, "verdict: None for A10; expected one of supported"),
        ("A10", intervals.exact(1.0), {"verdict": "likely"}, "verdict: 'likely'"),
        (
            "A11",
            intervals.exact(1.0),
            {"verdict": "supported"},
            "A10 was not stated; its rule has to stand before its number",
        ),
    ],
)
def test_what_no_rule_or_interval_supports_is_refused(shown, stated, found, choices, message):
    claims = ledger.Ledger()
    claims.state(stated, "the rule")
    with pytest.raises(ValueError, match=message):
        settle(claims, "A10", found, **choices)


def test_of_several_measures_the_one_that_decides_is_one_whose_interval_leaves_zero_out():
    """Also where another has the larger effect for its width, but a lopsided interval that holds zero, or
    none of any width."""
    lopsided, plain, still = (
        {"effect": effect, "interval": interval}
        for effect, interval in ((0.6, [-0.01, 0.99]), (0.3, [0.01, 0.7]), (0.0, [0.0, 0.0]))
    )
    assert intervals.decisive({"lopsided": lopsided, "plain": plain, "still": still}) == ("plain", plain)
    assert [intervals.side(found) for found in (lopsided, plain, still)] == [0, 1, 0]
    assert intervals.side(plain, null=0.8) == -1
    assert (
        intervals.decisive({"plain": plain, "sharp": {"effect": -1.0, "interval": [-1.0, -1.0]}})[0]
        == "sharp"
    )


def test_a_claim_is_settled_once_and_none_is_left_open(shown, tmp_path):
    claims = ledger.Ledger()
    claims.state("A10", "the rule")
    with pytest.raises(ValueError, match="stated and not settled: A10"):
        results.save(tmp_path, "05_sampling_orderings", {}, [], claims)
    settle(claims, "A10", intervals.exact(1.0), verdict="supported")
    with pytest.raises(ValueError, match="A10 is settled already"):
        settle(claims, "A10", intervals.exact(1.0), verdict="supported")
    results.save(tmp_path, "05_sampling_orderings", {}, [], claims)
    assert json.loads((tmp_path / "05_sampling_orderings.json").read_text())["claims"][0]["id"] == "A10"


def test_the_collected_ledger_has_every_claim_once(shown, tmp_path):
    claims = ledger.Ledger()
    claims.state("A10", "the rule")
    claims.state("B01", "the rule")
    settle(claims, "A10", intervals.mean(np.linspace(1, 2, 20)))
    claims.undecided("B01", "It takes more", evidence="figure-key")
    said = "**Undecided, too small to say: [claim](#claim-B01).** It takes more ([figure](#figure-key))."
    assert shown[-1] == said
    results.save(tmp_path, "05_a", {}, [], claims)
    results.save(tmp_path, "06_b", {}, [])
    entries = ledger.collect(tmp_path, ["05_a", "06_b"])
    assert [entry["id"] for entry in entries] == list(ledger.CLAIMS)
    by_id = {entry["id"]: entry for entry in entries}
    assert (by_id["A10"]["verdict"], by_id["A10"]["notebook"]) == ("supported", "05_a")
    assert by_id["B02"]["measurement"] == "no notebook measures it"
    assert {entry["verdict"] for entry in entries if entry["id"] != "A10"} == {"undecided"}
    assert all({"id", "verdict", "effect", "interval", "repeats", "rule"} <= set(entry) for entry in entries)
    results.save(tmp_path, "06_b", {}, [], claims)
    with pytest.raises(ValueError, match=r"06_b\.json: claim A10 is settled by 05_a too"):
        ledger.collect(tmp_path, ["05_a", "06_b"])
    with pytest.raises(FileNotFoundError, match="run `nbutils run 07` first"):
        ledger.collect(tmp_path, ["07_c"])


def test_a_claim_is_told_in_a_sentence_that_leads_to_the_evidence(shown, tmp_path):
    claims = ledger.Ledger()
    claims.state("A06", "Supported if *less*.")
    how = dict(unit="of the gap", verdict="supported", on="drawn scenes", beside="At a price.")
    settle(claims, "A06", intervals.exact(0.0416), **how)
    there = dict(on="photographs", unit="of the gap", per="seeds", measured="the same", evidence="figure-key")
    claims.also("A06", intervals.exact(0.5), verdict="refuted", **there)
    results.save(tmp_path, "05_a", {}, [], ledger=claims)
    entries = {entry["id"]: entry for entry in ledger.collect(tmp_path, ["05_a"])}
    shown.clear()
    telling.tell([entries["A06"]])
    sentence, fold = shown
    assert (
        "** *Random masking makes it practically impossible to overfit.* *On drawn scenes.* How" in sentence
    )
    here, there = sentence.split(" ([report 05](05_a.html#figure-key)) ")
    assert here.endswith("random masks: 4.2% of the gap. At a price.")
    assert there == "*As stated.* 50% of the gap: refuted."
    assert "Supported if *less*." in fold
    assert "4.16% of the gap; " in fold
    telling.tell([])
    assert shown[-1] == "None in this run."
    telling.tell([entries["B13"]])
    assert "Not measured: no notebook measures it." in shown[-2]


def test_every_claim_has_plain_words_and_its_number_two_digits():
    assert telling.MEASURED.keys() == ledger.CLAIMS.keys()
    told = [telling.number({"effect": value, "unit": "levels"}) for value in (-16.53, 0.4917, 0.0, 2.7e-6)]
    assert told == ["-17 levels", "0.49 levels", "0 levels", "about 3e-06 levels"]
    assert telling.number({"effect": 1.04, "unit": "times"}) == "1.0 times"


def test_a_verdict_says_what_it_is_about_and_none_is_given_by_a_run_that_is_too_small(shown):
    """A claim about photographs is transferred where scenes decide it, and undecided where they are few."""
    claims = ledger.Ledger()
    clear = intervals.mean(np.linspace(1, 2, 20))
    standings = {}
    for claim, on, short in (
        ("A05", "photographs", ""),
        ("A07", "drawn scenes", ""),
        ("A09", "photographs", ledger.short_of(pictures=(20, 64), bits_learned=(2.5, 2))),
    ):
        claims.state(claim, "the rule")
        settle(claims, claim, clear, on=on, short=short)
        entry = claims.entries[-1]
        standings[claim] = entry["verdict"], entry["standing"]
    assert standings["A05"] == ("supported", "as stated")
    assert standings["A07"] == ("supported", "on drawn scenes")
    assert standings["A09"] == ("undecided", "too small to say")
    assert claims.entries[-1]["short"] == "20 pictures, and it takes 64"
    assert "It is said of music, and tried on pictures here." in ledger.provenance("A10")[0]
    assert ledger.standings(claims.entries) == dict.fromkeys(ledger.standings([]), 1)
    assert ledger.short_of(nats=(float("nan"), 0))
    assert ledger.short_of(seeds=(np.float64(1), 4)) == "1 seed, and it takes 4"
    behind = {"nats per pixel of the GRU 64": (0.1614, 0.0972), "nats": (1, 1), "bits": (float("nan"), 1)}
    told = "0.161 nats per pixel of the GRU 64, and it takes 0.0972 or less; nan bits, and it takes 1 or less"
    assert ledger.short_of(behind, seeds=(4, 4)) == told


def test_p_values_are_those_of_scipy_and_a_verdict_among_many_has_to_stand_a_correction(shown, tmp_path):
    values = np.random.default_rng(0).normal(0.4, 1, 30)
    found = intervals.mean(values)
    assert intervals.p_value(found, 0.1) == pytest.approx(stats.ttest_1samp(values, 0.1).pvalue)
    assert intervals.p_value(intervals.exact(1.0)) is None
    first, second = np.random.default_rng(1).normal(0, (1, 2), (40, 2)).T
    unpaired = intervals.p_value(intervals.difference(first, second))
    assert unpaired == pytest.approx(stats.ttest_ind(first, second, equal_var=False).pvalue)
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    assert intervals.summarised(mean, deviation, 30) == found
    effect = intervals.effect(values)
    assert intervals.of_effect(effect)["error"] == pytest.approx(found["error"])

    def entry(claim, p):
        return {"id": claim, "p": p, "verdict": "supported", "standing": "as stated"}

    noise = [entry(f"N{number}", p) for number, p in enumerate(np.linspace(0.3, 1, 20))]
    alone, among = ledger.corrected([entry("X", 0.04)]), ledger.corrected([entry("X", 0.04), *noise])
    assert (alone[0]["verdict"], among[0]["verdict"]) == ("supported", "undecided")
    assert among[0]["before_correction"] == "supported"
    assert among[0]["adjusted_p"] == pytest.approx(
        stats.false_discovery_control([0.04, *np.linspace(0.3, 1, 20)])[0]
    )


@pytest.mark.parametrize(
    ("middle", "verdict", "null"),
    [(-1.0, "refuted", 0.0), (0.015, "supported", 0.0), (0.15, "refuted", 0.03), (0.03, "undecided", 0.03)],
)
def test_slightly_has_a_number_on_both_sides(middle, verdict, null):
    found = intervals.summarised(middle, 0.02, 100)
    sides = intervals.borders(found, 0.0, 0.03, below="refuted", within="supported", above="refuted")
    assert sides["verdict"] == verdict
    assert verdict == "undecided" or sides["null"] in (0.0, 0.03)


def test_sentences_of_ours_are_told_from_the_claims_of_2017(shown):
    claims = ledger.Ledger()
    claims.state("B13", "the rule")
    assert "The claim is from the report on MNIST, 2017." in shown[-1]
    claims.state("E03", "the rule")
    assert "The sentence is ours, on what is reported in Hayakawa and others, 2025." in shown[-1]
    assert sum(map(ledger.of_2017, ledger.CLAIMS)) == 33


def test_several_effects_agree_only_where_all_intervals_lie_on_one_side():
    above, below = (intervals.mean([sign * 1.0, sign * 1.1, sign * 1.2]) for sign in (1, -1))
    both = intervals.mean([-1.0, 0.0, 1.2])
    assert intervals.agreed([above, above]) == "supported"
    assert intervals.agreed([below, below], above="kept", below="lost") == "lost"
    assert intervals.agreed([above, below]) == intervals.agreed([above, both]) == "undecided"
    assert intervals.agreed([above], null=2.0) == "refuted"
    assert intervals.span(above, ".1f") == "1.1 (0.9 to 1.3)"
    assert intervals.span(intervals.exact(0.5)) == "+0.50"


def test_trainings_have_the_same_sign_or_not():
    assert intervals.same_sign(np.array([[1.0, 2.0], [0.5, 0.6]]))
    assert not intervals.same_sign(np.array([[1.0, 2.0], [-0.5, -0.6]]))
    assert not intervals.same_sign(np.array([[1.0, 2.0]]))


def test_an_interval_is_told_in_words_and_a_difference_with_its_sign():
    values = [1.0, 2.0, 3.0]
    half = stats.t.ppf(0.975, 2) * np.std(values, ddof=1) / 3**0.5
    assert intervals.told(values) == f"2.00 ± {half:.2f}"
    assert intervals.told(intervals.effect(values), ".1%") == f"+200.0% ± {half:.1%}"


def test_reliability_counts_what_happened_by_groups_of_what_was_said():
    said, happened = [0.1, 0.2, 0.8, 0.9, 0.9], [0, 1, 1, 1, 0]
    low, high = intervals.reliability(said, happened, (0.5, 0.95))
    assert low == (pytest.approx(0.15), intervals.share(1, 2))
    assert high == (pytest.approx(2.6 / 3), intervals.share(2, 3))
