"""The claims of the two studies, and ours on what papers since have reported, and what became of each: a rule
that is shown before its number is known, an effect with an interval, a verdict, and what that is about.

A notebook states a claim with its rule, measures, and settles it; `results.save` keeps what was settled, and
one notebook collects it.
"""

from dataclasses import dataclass
from pathlib import Path

from ..show import figures
from . import results
from .intervals import adjusted, p_value, side

VERDICTS = ("supported", "refuted", "undecided")
AS_STATED, ELSEWHERE, TOO_SMALL = "as stated", "on other data", "too small to say"
ANIMATIONS = "the author's own animations"
SCENES, PHOTOGRAPHS, MNIST, CELLS = "drawn scenes", "photographs", "MNIST", "the cells themselves"
ENUMERATED, PUZZLES = "a joint that can be enumerated", "puzzles"


@dataclass(frozen=True)
class Claim:
    """A sentence of 2017, or of ours on a paper since.

    Args:
        text: the sentence, shortened; source: the document that it is from.
        about: what it speaks of; a verdict that was measured on anything else is a transfer and says so.
        ours: in what the sentence is not the document's own; empty where it is.
        history: how its rule was changed after numbers had been published by an earlier one.
    """

    text: str
    source: str
    about: tuple
    ours: str = ""
    history: str = ""

    def standing(self, on, short=""):
        """What a verdict measured `on` some data says of this claim: "as stated", "on ...", or "too small to
        say" where the run falls `short` of what the claim is about."""
        if short:
            return TOO_SMALL
        return AS_STATED if on in self.about else f"on {on}"


_FIRST, _SECOND, _THIRD, _DIGITS = (
    "post of 2017-04-02",
    "post of 2017-04-09",
    "post of 2017-04-23",
    "report on MNIST, 2017",
)
_MUSIC = "said of music, and tried on pictures here"
_REGIME = "Until then nets and samples of any size were allowed to decide."
CLAIMS = {
    "A01": Claim(
        "Sequential (ancestral) sampling gives worse samples than Gibbs sampling, because errors accumulate.",
        _FIRST,
        ("music",),
        _MUSIC,
        "First decided on 16 scenes, against one-shot Gibbs, by distances to the original that reward "
        "caution; now against the Gibbs sampling that the sentence speaks of, by a proper score, and whose "
        "first sweep draws the whole hole.",
    ),
    "A02": Claim(
        "Resampling the block independently, in one shot, still beats ancestral sampling.",
        _FIRST,
        ("music",),
        _MUSIC,
        "First decided on 16 scenes by distances to the original that reward caution, and against ancestral "
        "blocks too, of which the sentence does not speak; now the judge is a proper score.",
    ),
    "A03": Claim(
        "The caption provides very little information.",
        _FIRST,
        (PHOTOGRAPHS,),
        "an expectation in a subordinate clause there, given as the reason for a design",
        "First decided on drawn scenes alone, though the post speaks of photographs, and with one border; "
        "then supported by a net that had not learned to read. Now between 0.05 and 0.1 bits is neither, and "
        "a net that does not read decides nothing.",
    ),
    "A04": Claim(
        "Samples are fond of extreme values, although the levels are 256 unordered categories.",
        _FIRST,
        (PHOTOGRAPHS, ANIMATIONS),
        history="First decided on drawn scenes, in which extreme values hardly occur; the sentence is about "
        "samples that can still be looked at.",
    ),
    "A05": Claim(
        "Shallower models are drastically easier to optimise.",
        _SECOND,
        (PHOTOGRAPHS,),
        history="First refuted where the deep net was ahead of a shallow one that had seen half; now of one "
        "that has seen three quarters.",
    ),
    "A06": Claim(
        "Random masking makes it practically impossible to overfit.",
        _SECOND,
        (PHOTOGRAPHS,),
        history="First supported by a gap that was small only beside that under a fixed mask; now the gap "
        "itself counts.",
    ),
    "A07": Claim(
        "Optimisation is much smoother with the earth mover's distance than with cross-entropy.",
        _SECOND,
        (PHOTOGRAPHS,),
        history="First refuted by anything less than half as rough; now between half and three quarters is "
        "neither.",
    ),
    "A08": Claim(
        "With dilated convolutions the whole thing runs about three times as fast.",
        _SECOND,
        ("a graphics card",),
    ),
    "A09": Claim(
        "Residual and dilated convolutions bring no particular luck.",
        _SECOND,
        (PHOTOGRAPHS,),
        history="First refuted by nets that are residual and dilated at once, which the post does not name; "
        "now each of the two is weighed by itself.",
    ),
    "A10": Claim(
        "The antigreedy order gives a dramatically better likelihood with teacher forcing.",
        _SECOND,
        ("music",),
        _MUSIC,
        "First decided on five pictures, and refuted by anything below its border; now what lies between two "
        "borders is neither.",
    ),
    "A11": Claim(
        "The antigreedy order also helps in generation.",
        _SECOND,
        (PHOTOGRAPHS,),
        "a question there, which the post does not answer",
        "First decided on 16 scenes by distances to the original that reward caution.",
    ),
    "A12": Claim(
        "The size of a random mask is uniform when the share of known variables is drawn from U(0, 1).",
        "source of the " + _THIRD,
        ("masks",),
        "read here of variables that are known independently of each other; it was written where contiguish "
        "masks are drawn, of which it does not hold exactly",
    ),
    "A13": Claim(
        "Contiguish masks make the model care about more than local correlations.",
        "source of the " + _THIRD,
        (PHOTOGRAPHS,),
        history="First decided by anything beyond zero, over pictures; now by more than 0.05 bits per "
        "variable, over trainings.",
    ),
    "A14": Claim(
        "Maximum likelihood spreads probability where it should not, so a lower temperature improves "
        "samples.",
        _THIRD,
        (PHOTOGRAPHS,),
        history="First decided on twelve scenes by one temperature that barely cleared its interval; now all "
        "lower temperatures count, with a correction for looking at several.",
    ),
    "A15": Claim(
        "Lowering the temperature of each conditional is not lowering that of the joint; in the limit it is "
        "greedy argmax sampling.",
        _THIRD,
        (ENUMERATED,),
    ),
    "A16": Claim(
        "Smaller blocks mean more context and less entropy, an effect like that of a lower temperature.",
        _THIRD,
        (PHOTOGRAPHS,),
        "a supposition there",
    ),
    "A17": Claim(
        "Gibbs sampling can revisit decisions and correct them.",
        _THIRD,
        (PHOTOGRAPHS,),
        history="First decided by the errors that were repaired alone, then also by what is spoiled "
        "meanwhile, which may be another filling as good. Now by how many fewer are right than where none "
        "was planted.",
    ),
    "A18": Claim(
        "The schedule of 0.9, 0.1 and 0.7 is not right for images; much more time should go to small blocks.",
        _THIRD,
        (PHOTOGRAPHS,),
        "an impression there",
        "First decided on twelve scenes by distances to the original that reward caution; now the judge is a "
        "proper score.",
    ),
    "A19": Claim(
        "The published grid of schedules was run as described.",
        _THIRD,
        (ANIMATIONS,),
        "a sentence that nobody wrote, implied by the table of the post",
        "First decided by one constant; now by every animation of the rows, with what changes outside the "
        "hole taken off.",
    ),
    "A20": Claim(
        "A convolutional reader with attention over words finds the words that matter.",
        _FIRST,
        (PHOTOGRAPHS,),
        "a sentence that nobody wrote, of what the architecture is meant for; read as one about what is lost "
        "with the words that name a hidden thing",
        "First decided by the weights on the words' own places, though the state at a later word carries "
        "earlier ones on.",
    ),
    "B01": Claim("Neither cell can output its input exactly.", _DIGITS, (CELLS,)),
    "B02": Claim("Both cells can hold their state.", _DIGITS, (CELLS,)),
    "B03": Claim("The GRU is not a special case of the LSTM.", _DIGITS, (CELLS,)),
    "B04": Claim(
        "GRUs train more stably than LSTMs and end better.",
        _DIGITS,
        (MNIST,),
        history=_REGIME + " Stability is now how far a run falls back, not a count of collapses.",
    ),
    "B05": Claim(
        "Batch normalisation helps a lot; without it training is erratic.",
        _DIGITS,
        (MNIST,),
        history=_REGIME + " *A lot* had no number, and as many collapses without it as with it passed.",
    ),
    "B06": Claim(
        "More units are better; three stacked layers of 32 fall in between and converge more slowly.",
        _DIGITS,
        (MNIST,),
        "a summary of several remarks",
        _REGIME + " How fast nets converge and 64 units did not count.",
    ),
    "B07": Claim(
        "The recurrent models are slightly worse than a network that sees the whole image at once.",
        _DIGITS,
        (MNIST,),
        history="First called supported at 15 points, between nets that had hardly been trained; now "
        "*slightly* is at most 3 points, and both nets have to be trained to their end.",
    ),
    "B08": Claim(
        "Distinct digits (0, 1, 4) are filled in correctly more often than ambiguous ones.",
        _DIGITS,
        (MNIST,),
        history=_REGIME,
    ),
    "B09": Claim(
        "In long in-paintings samples have a lower cross-entropy than the truth.",
        _DIGITS,
        (MNIST,),
        history=_REGIME,
    ),
    "B10": Claim("The exact in-painting never has a higher cross-entropy than the truth.", _DIGITS, (MNIST,)),
    "B11": Claim(
        "One-pixel in-paintings equal the truth much more often than those of 2 x 2.",
        _DIGITS,
        (MNIST,),
        history=_REGIME + " Failing anything but half as often refuted it; now failing more than three "
        "quarters as often does.",
    ),
    "B12": Claim(
        "That the test set was used for selection did not matter.",
        _DIGITS,
        (MNIST,),
        "implied there: the test set selects and is reported",
        _REGIME + " Few pictures select here, which flatters more than the 10,000 of 2017 did; that could "
        "refute the claim, and no longer can.",
    ),
    "B13": Claim(
        "Some LSTM runs drop from a good result to almost chance in the middle of training.",
        _DIGITS,
        (MNIST,),
        history=_REGIME
        + " A fall of ten points counted, and one by running averages alone refuted the claim; "
        "now it has to be from a good result to almost chance, by either averages, and runs are counted "
        "instead of looks at them.",
    ),
    "E01": Claim(
        "What drawing in rounds loses can be foretold from the information profile.",
        "Hoogeboom and others, 2021",
        (PHOTOGRAPHS,),
        history="Four rounds, which lose most, outweighed all other numbers of rounds; then all counted "
        "alike, but in sums over splits, in which errors to either side cancelled. Now every split counts.",
    ),
    "E02": Claim(
        "For every number of rounds the split that the profile foretells to be best loses no more than a "
        "uniform or a cosine one.",
        "Hoogeboom and others, 2021",
        (PHOTOGRAPHS,),
        history="A hundredth of what the hole costs was let pass, which is more than some splits lose at "
        "all; then a tenth of what the other split is foretold to lose. Now a tenth of what it loses is.",
    ),
    "E03": Claim(
        "MaskGIT draws more sharply than its model, even one variable at a time with exact conditionals.",
        "Hayakawa and others, 2025",
        (ENUMERATED,),
    ),
    "E04": Claim(
        "In a puzzle a net that takes the surest cell next is right much more often than in a random order.",
        "Kim and others, 2025",
        (PUZZLES,),
        history="First tried with a net that a random order, too, led to the right grid nearly always.",
    ),
    "E05": Claim(
        "A bound on the entropy of a round saves evaluations and costs little quality.",
        "Ben-Hamu and others, 2025",
        (PUZZLES,),
        history='The sentence said "at equal quality", which up to three points of valid grids are not.',
    ),
    "E06": Claim(
        "On pictures, drawn in rounds, a spread-out order costs less than a random one and than the surest "
        "first.",
        "Besnier and others, 2025",
        (PHOTOGRAPHS,),
        history="The channels of a pixel followed one another in the order, and so were drawn together; now "
        "it is spread out over them too. The surest by margin stood aside.",
    ),
    "E07": Claim(
        "Hiding again what has been drawn gives better pictures than never looking back, with as many "
        "evaluations.",
        "Wang and others, 2025",
        (PHOTOGRAPHS,),
        history="ReMDM stood against annealed Gibbs sampling, by distances of one sample, which reward "
        "caution; then against the same net without remasking, by energy scores of two. Now it also has to "
        "keep up with what the caption says.",
    ),
    "E08": Claim(
        "To redraw what is least probable repairs more errors per evaluation than to redraw as many "
        "anywhere.",
        "Zhao and others, 2024",
        (PHOTOGRAPHS,),
        history="Repairs were counted when either sampler had repaired all it could; now halfway there. The "
        "sentence spoke of redrawing anything, however much.",
    ),
}


def of_2017(claim):
    """Whether a claim, an id, was made in 2017; the others are ours, on papers since."""
    return not claim.startswith("E")


def superseded(entry):
    """Whether the rule by which an entry was settled, read from a file, has been changed since."""
    return entry.get("history", "") != CLAIMS[entry["id"]].history


def short_of(at_most=None, **at_least):
    """What a run falls short of, as text; empty where of nothing.

    Args:
        at_most: dict from a name to (what there is, the most with which the claim can be decided).
        at_least: by name, with underscores for blanks: (what there is, the least that it takes).
    """
    short = []
    for name, (value, least) in at_least.items():
        if not value >= least:  # NaN falls short too
            counted = name.removesuffix("s" if value == 1 else "").replace("_", " ")
            short.append(f"{value:.3g} {counted}, and it takes {least:.3g}")
    short += [
        f"{value:.3g} {name}, and it takes {most:.3g} or less"
        for name, (value, most) in (at_most or {}).items()
        if not value <= most
    ]
    return "; ".join(short)


class Ledger:
    """The claims that one notebook settles."""

    def __init__(self):
        self.rules, self.entries = {}, []

    def state(self, claim, rule):
        """Show a claim, and in a fold the rule that will decide it; [claim](#claim-`claim`) leads to it.

        Args:
            claim: its id in `CLAIMS`.
            rule: Markdown; when it is supported, when refuted, when undecided.
        """
        said = CLAIMS[claim]
        self.rules[claim] = rule
        figures.say(f"**Claim {claim}.** *{said.text}*", claim=claim)
        figures.say("\n\n".join([rule, *provenance(claim)]), fold="How it is decided")

    def settle(self, claim, found, *, on, beside="", **how):
        """Decide a claim by its rule and show the verdict, and in a fold its numbers.

        Args:
            claim: its id, stated before.
            found, on, how: as of `measurement`.
            beside: what has to be read with the number, a sentence.
        Returns:
            the verdict.
        Raises:
            ValueError: the claim was not stated or is settled already, no such verdict, or one that the
                interval does not support.
        """
        if claim not in self.rules or any(entry["id"] == claim for entry in self.entries):
            stated = "is settled already"
            not_stated = "was not stated; its rule has to stand before its number"
            raise ValueError(f"claim: {claim} {stated if claim in self.rules else not_stated}")
        said = CLAIMS[claim]
        entry = {
            "id": claim,
            "claim": said.text,
            "source": said.source,
            "ours": said.ours,
            "history": said.history,
            "rule": self.rules[claim],
            **measurement(claim, found, on=on, **how),
            "beside": beside,
            "also": [],
        }
        self.entries.append(entry)
        _show(entry, claim)
        return entry["verdict"]

    def also(self, claim, found, *, on, **how):
        """Show what the rule of a claim that is settled says on other data; the claim's verdict stays.

        Args:
            found, on, how: as of `measurement`.
        Returns:
            the verdict there.
        """
        (entry,) = (entry for entry in self.entries if entry["id"] == claim)
        entry["also"].append(measurement(claim, found, on=on, **how))
        _show(entry["also"][-1], claim)
        return entry["also"][-1]["verdict"]

    def undecided(self, claim, why, *, evidence):
        """Leave a claim undecided that this run cannot measure; `why` says what it would take."""
        nothing = {"effect": None, "interval": None, "n": 0, "method": "not measured"}
        told = dict(unit="", per="", measured=why, evidence=evidence, on="nothing", short="not measured")
        return self.settle(claim, nothing, **told)


def provenance(claim):
    """Where a claim, an id, is from, and what became of its rule: a list of sentences."""
    said = CLAIMS[claim]
    own = f" It is {said.ours}." if said.ours else ""
    told = [f"The claim is from the {said.source}.{own}"]
    if not of_2017(claim):
        told = [f"The sentence is ours, on what is reported in {said.source}."]
    if said.history:
        told.append(f"The rule was changed after numbers had been published. {said.history}")
    return told


def measurement(
    claim,
    found,
    *,
    on,
    unit,
    per,
    measured,
    evidence,
    above="supported",
    below="refuted",
    null=0.0,
    verdict=None,
    short="",
):
    """What an effect says of a claim, as a dict for the ledger.

    Args:
        claim: its id.
        found: from `intervals.mean`, `difference`, `summarised` or `exact`.
        on: what it was measured on; the claim is decided as stated where it is about that.
        unit: what the effect is measured in.
        per: what was repeated, plural: pictures, seeds, masks.
        measured: what the effect is of, a few words.
        evidence: name of the figure or table that carries it: "figure-NAME" or "table-NAME".
        above, below: the verdicts for an interval above and below `null`; one that holds it leaves the
            claim undecided.
        null: where the verdict turns, the border nearest to the effect where there are two.
        verdict: the rule's verdict where it weighs more than one number; without an interval it is needed.
        short: in what the run is not what the claim is about; the verdict is then undecided.
    Raises:
        ValueError: no such verdict, or one that the interval does not support.
    """
    interval = found["interval"]
    if short:
        verdict = "undecided"
    elif verdict is None and interval:
        verdict = {1: above, -1: below, 0: "undecided"}[side(found, null)]
    if verdict not in VERDICTS:
        raise ValueError(f"verdict: {verdict!r} for {claim}; expected one of {', '.join(VERDICTS)}")
    if interval and not side(found, null) and verdict != "undecided":
        raise ValueError(f"verdict: {verdict!r} for {claim}, but the interval {interval} holds {null}")
    return {
        "measurement": measured,
        "effect": found["effect"],
        "unit": unit,
        "interval": interval,
        "null": null,
        "p": p_value(found, null),
        "repeats": found["n"],
        "per": per,
        "method": found["method"],
        "verdict": verdict,
        "on": on,
        "standing": CLAIMS[claim].standing(on, short),
        "short": short,
        "evidence": evidence,
    }


def _show(measured, claim):
    """A measurement as a sentence, and its numbers in a fold."""
    sentence = f"**{measured['verdict'].capitalize()}, {measured['standing']}: [claim](#claim-{claim}).**"
    kind = measured["evidence"].partition("-")[0]
    what = f"{measured['measurement'][0].upper()}{measured['measurement'][1:]}"
    beside = f" {measured['beside']}" if measured.get("beside") else ""
    if measured["effect"] is None:
        figures.say(f"{sentence} {what.rstrip('.')} ([{kind}](#{measured['evidence']})).{beside}")
        return
    why = f" ({measured['short']}.)" if measured["short"] else ""
    figures.say(f"{sentence}{why} See [{kind}](#{measured['evidence']}).{beside}")
    figures.say(f"{what}: {quantity(measured)}.", fold="The numbers")


def quantity(entry):
    """Effect, interval and repeats of an entry, as text: shares in per cent, counts and zero unsigned."""
    if entry["effect"] is None:
        return "not measured"
    scale, mark = (100, "%") if entry["unit"].startswith("of ") else (1, "")
    form = "+.3g" if entry["effect"] and entry["method"] != "exact" else ".3g"
    text = f"{scale * entry['effect']:{form}}{mark} {entry['unit']}".strip()
    if entry["interval"]:
        low, high = (f"{scale * end:+.3g}{mark}" for end in entry["interval"])
        text += f" (95% interval {low} to {high}, {entry['method']})"
    return f"{text}; {entry['per']}: {entry['repeats']:,}"


def collect(reports, notebooks):
    """What the notebooks of a series settled.

    Args:
        reports: folder of their results.
        notebooks: their names.
    Returns:
        list of dicts, one for each of `CLAIMS` in order: the entries of `Ledger.settle` with the `notebook`;
            a claim that none of them settled is undecided, and its `measurement` says so.
    Raises:
        FileNotFoundError: a notebook has not been run.
        ValueError: two notebooks settle one claim.
    """
    found = {}
    for notebook in notebooks:
        for entry in results.load(reports, notebook).get("claims", []):
            if entry["id"] in found:
                other = found[entry["id"]]["notebook"]
                where = f"{Path(reports) / notebook}.json"
                raise ValueError(f"{where}: claim {entry['id']} is settled by {other} too")
            found[entry["id"]] = entry | {"notebook": notebook}
    nothing = dict.fromkeys(("rule", "unit", "per", "method", "evidence", "notebook", "beside"), "")
    nothing |= {"measurement": "no notebook measures it", "verdict": "undecided", "also": [], "p": None}
    nothing |= {"effect": None, "interval": None, "null": 0.0, "repeats": 0}
    nothing |= {"on": "nothing", "standing": TOO_SMALL, "short": "not measured"}
    entries = [
        found.get(claim)
        or {
            "id": claim,
            "claim": said.text,
            "source": said.source,
            "ours": said.ours,
            "history": said.history,
            **nothing,
        }
        for claim, said in CLAIMS.items()
    ]
    return corrected(entries)


def settled_since(entries, saved):
    """What notebooks have settled since a ledger was collected, and it lacks or has otherwise: list of its
    entries, in the order of the claims.

    Args:
        entries: from `collect`.
        saved: dict from the name of a notebook to its results.
    """
    had = {
        (entry["id"], entry["notebook"]): entry.get("before_correction", entry["verdict"])
        for entry in entries
    }
    later = [
        entry | {"notebook": notebook}
        for notebook, results_of in saved.items()
        for entry in results_of.get("claims", ())
        if had.get((entry["id"], notebook)) != entry["verdict"]
    ]
    return sorted(later, key=lambda entry: list(CLAIMS).index(entry["id"]))


def standings(entries):
    """How many entries are decided as stated, on other data, and too small to say: dict by these names."""
    found = {AS_STATED: 0, ELSEWHERE: 0, TOO_SMALL: 0}
    for entry in entries:
        found[entry["standing"] if entry["standing"] in found else ELSEWHERE] += 1
    return found


def corrected(entries):
    """Entries with `adjusted_p`, their p-values as Benjamini and Hochberg (1995) adjust them for the number
    of claims that are looked at, and `before_correction`, the verdict on the page that measured it: one whose
    adjusted p is above 0.05 is undecided after all."""
    tested = [entry for entry in entries if entry["p"] is not None and entry["standing"] != TOO_SMALL]
    by_id = dict(zip((entry["id"] for entry in tested), adjusted([entry["p"] for entry in tested])))
    done = []
    for entry in entries:
        p = by_id.get(entry["id"])
        kept = "undecided" if p is not None and p > 0.05 else entry["verdict"]
        done.append(entry | {"adjusted_p": p, "before_correction": entry["verdict"], "verdict": kept})
    return done
