"""The claims of the two studies, and ours on what papers since have reported, and what became of each: a rule
that is shown before its number is known, an effect with an interval, a verdict.

A notebook states a claim with its rule, measures, and settles it; `results.save` keeps what was settled, and
the last notebook collects it.
"""

from pathlib import Path

from ..show import figures
from . import results
from .intervals import side

VERDICTS = ("supported", "refuted", "undecided")

_FIRST, _SECOND, _THIRD, _DIGITS = (
    "post of 2017-04-02",
    "post of 2017-04-09",
    "post of 2017-04-23",
    "report on MNIST, 2017",
)
CLAIMS = {
    "A01": (
        "Sequential (ancestral) sampling gives worse samples than Gibbs sampling, because errors accumulate.",
        _FIRST,
    ),
    "A02": ("Resampling the block independently, in one shot, still beats ancestral sampling.", _FIRST),
    "A03": ("The caption provides very little information.", _FIRST),
    "A04": ("Samples are fond of extreme values, although the levels are 256 unordered categories.", _FIRST),
    "A05": ("Shallower models are drastically easier to optimise.", _SECOND),
    "A06": ("Random masking makes it practically impossible to overfit.", _SECOND),
    "A07": (
        "Optimisation is much smoother with the earth mover's distance than with cross-entropy.",
        _SECOND,
    ),
    "A08": ("With dilated convolutions the whole thing runs about three times as fast.", _SECOND),
    "A09": ("Residual and dilated convolutions bring no particular luck.", _SECOND),
    "A10": ("The antigreedy order gives a dramatically better likelihood with teacher forcing.", _SECOND),
    "A11": ("The antigreedy order also helps in generation (asked there, not answered).", _SECOND),
    "A12": (
        "The size of a random mask is uniform when the share of known variables is drawn from U(0, 1).",
        "source of the " + _THIRD,
    ),
    "A13": (
        "Contiguish masks make the model care about more than local correlations.",
        "source of the " + _THIRD,
    ),
    "A14": (
        (
            "Maximum likelihood spreads probability where it should not, so a lower temperature improves "
            "samples."
        ),
        _THIRD,
    ),
    "A15": (
        (
            "Lowering the temperature of each conditional is not lowering that of the joint; in the limit "
            "it is greedy argmax sampling."
        ),
        _THIRD,
    ),
    "A16": (
        "Smaller blocks mean more context and less entropy, an effect like that of a lower temperature.",
        _THIRD,
    ),
    "A17": ("Gibbs sampling can revisit decisions and correct them.", _THIRD),
    "A18": (
        "The schedule of 0.9, 0.1 and 0.7 is not right for images; much more time should go to small blocks.",
        _THIRD,
    ),
    "A19": ("The published grid of schedules was run as described.", _THIRD),
    "A20": ("A convolutional reader with attention over words finds the words that matter.", _FIRST),
    "B01": ("Neither cell can output its input exactly.", _DIGITS),
    "B02": ("Both cells can hold their state.", _DIGITS),
    "B03": ("The GRU is not a special case of the LSTM.", _DIGITS),
    "B04": ("GRUs train more stably than LSTMs and end better.", _DIGITS),
    "B05": ("Batch normalisation helps a lot; without it training is erratic.", _DIGITS),
    "B06": (
        "More units are better; three stacked layers of 32 fall in between and converge more slowly.",
        _DIGITS,
    ),
    "B07": (
        "The recurrent models are slightly worse than a network that sees the whole image at once.",
        _DIGITS,
    ),
    "B08": ("Distinct digits (0, 1, 4) are filled in correctly more often than ambiguous ones.", _DIGITS),
    "B09": ("In long in-paintings samples have a lower cross-entropy than the truth.", _DIGITS),
    "B10": ("The exact in-painting never has a higher cross-entropy than the truth.", _DIGITS),
    "B11": ("One-pixel in-paintings equal the truth much more often than those of 2 x 2.", _DIGITS),
    "B12": ("That the test set was used for selection did not matter.", _DIGITS),
    "B13": ("Some LSTM runs drop from a good result to almost chance in the middle of training.", _DIGITS),
    "E01": (
        "What drawing in rounds loses can be foretold from the information profile.",
        "Hoogeboom and others, 2021",
    ),
    "E02": (
        "For every number of rounds the split that the profile foretells to be best loses no more than a "
        "uniform or a cosine one.",
        "Hoogeboom and others, 2021",
    ),
    "E03": (
        "MaskGIT draws more sharply than its model, even one variable at a time with exact conditionals.",
        "2510.04525, 2025",
    ),
    "E04": (
        "In a puzzle a net that takes the surest cell next is right much more often than in a random order.",
        "Kim and others, 2025",
    ),
    "E05": (
        "A bound on the entropy of a round saves evaluations at equal quality.",
        "Ben-Hamu and others, 2025",
    ),
    "E06": (
        "On pictures, drawn in rounds, a spread-out order costs less than a random one and than the surest "
        "first.",
        "Besnier and others, 2025",
    ),
    "E07": (
        "Hiding again what has been drawn gives better pictures than annealed Gibbs sampling with as many "
        "evaluations.",
        "Wang and others, 2025",
    ),
    "E08": (
        "To redraw what is least probable repairs more errors per evaluation than to redraw anything.",
        "Zhao and others, 2024",
    ),
}


def of_2017(claim):
    """Whether a claim, an id, was made in 2017; the others are ours, on papers since."""
    return not claim.startswith("E")


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
        text, source = CLAIMS[claim]
        self.rules[claim] = rule
        figures.say(f"**Claim {claim}.** *{text}*", claim=claim)
        told = f"The claim is from the {source}."
        if not of_2017(claim):
            told = f"The sentence is ours, on what is reported in {source}."
        figures.say(f"{rule}\n\n{told}", fold="How it is decided")

    def settle(
        self,
        claim,
        found,
        *,
        unit,
        per,
        measured,
        evidence,
        above="supported",
        below="refuted",
        null=0.0,
        verdict=None,
    ):
        """Decide a claim by its rule and show the verdict, and in a fold its numbers.

        Args:
            claim: its id, stated before.
            found: from `intervals.mean`, `difference` or `exact`.
            unit: what the effect is measured in.
            per: what was repeated, plural: pictures, seeds, masks.
            measured: what the effect is of, a few words.
            evidence: name of the figure or table that carries it: "figure-NAME" or "table-NAME".
            above, below: the verdicts for an interval above and below `null`; one that holds it leaves the
                claim undecided.
            verdict: the rule's verdict where it weighs more than one number; without an interval it is
                needed.
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
        interval = found["interval"]
        if verdict is None and interval:
            by_side = {1: above, -1: below, 0: "undecided"}
            verdict = by_side[side(found, null)]
        if verdict not in VERDICTS:
            raise ValueError(f"verdict: {verdict!r} for {claim}; expected one of {', '.join(VERDICTS)}")
        if interval and not side(found, null) and verdict != "undecided":
            raise ValueError(f"verdict: {verdict!r} for {claim}, but the interval {interval} holds {null}")
        text, source = CLAIMS[claim]
        entry = {
            "id": claim,
            "claim": text,
            "source": source,
            "rule": self.rules[claim],
            "measurement": measured,
            "effect": found["effect"],
            "unit": unit,
            "interval": interval,
            "null": null,
            "repeats": found["n"],
            "per": per,
            "method": found["method"],
            "verdict": verdict,
            "evidence": evidence,
        }
        self.entries.append(entry)
        sentence = f"**{verdict.capitalize()}: [claim](#claim-{claim}).**"
        kind = evidence.partition("-")[0]
        measured = f"{measured[0].upper()}{measured[1:]}"
        if found["effect"] is None:
            figures.say(f"{sentence} {measured.rstrip('.')} ([{kind}](#{evidence})).")
        else:
            figures.say(f"{sentence} See [{kind}](#{evidence}).")
            figures.say(f"{measured}: {quantity(entry)}.", fold="The numbers")
        return verdict

    def undecided(self, claim, why, *, evidence):
        """Leave a claim undecided that this run cannot measure; `why` says what it would take."""
        nothing = {"effect": None, "interval": None, "n": 0, "method": "not measured"}
        told = dict(unit="", per="", measured=why, evidence=evidence, verdict="undecided")
        return self.settle(claim, nothing, **told)


def quantity(entry):
    """Effect, interval and repeats of an entry, as text."""
    if entry["effect"] is None:
        return "not measured"
    text = f"{entry['effect']:+.3g} {entry['unit']}".strip()
    if entry["interval"]:
        low, high = entry["interval"]
        text += f" (95% interval {low:+.3g} to {high:+.3g}, {entry['method']})"
    return text + f", {entry['repeats']:,} {entry['per']}"


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
    nothing = dict.fromkeys(("rule", "unit", "per", "method", "evidence", "notebook"), "")
    nothing |= {"measurement": "no notebook measures it", "verdict": "undecided"}
    nothing |= {"effect": None, "interval": None, "null": 0.0, "repeats": 0}
    return [
        found.get(claim) or {"id": claim, "claim": text, "source": source, **nothing}
        for claim, (text, source) in CLAIMS.items()
    ]
