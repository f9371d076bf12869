"""The ledger for people: what became of each claim in a sentence."""

from ..show import figures
from . import ledger

CHANGED = ", by a rule that has changed since"

# What each claim's number is, in plain words; the number follows after a colon.
MEASURED = {
    "A01": "How much worse (minus: better) fillings made value by value are than those of Gibbs sampling",
    "A02": "How much worse (minus: better) one-shot Gibbs sampling is than filling value by value",
    "A03": "What a value of a wholly hidden square costs more where the caption is withheld",
    "A04": "How many more values near 0 or 255 samples have than their surroundings",
    "A05": "How far a deep net is still behind a shallow one that has seen fewer examples",
    "A06": "How much more held-out pictures cost than a few training pictures under random masks",
    "A07": "How much rougher than with cross-entropy training runs (an octave is twice as rough)",
    "A08": "How many times as long a training step takes without dilation, where both nets see equally far",
    "A09": "How far the better of the two kinds is ahead of a straight net that has seen more",
    "A10": "What the antigreedy order saves where the truth is told after every guess",
    "A11": "How much worse (minus: better) the antigreedy order fills than a random one",
    "A12": "How probable sizes as uneven as these are if sizes are uniform",
    "A13": "How contiguish masks in training change the cost of a wholly hidden square",
    "A14": "How much worse (minus: better) samples fit at a lower temperature, where it is clearest",
    "A15": "How far cooled conditionals are from the cooled joint (0: the same, 1: nothing in common)",
    "A16": "How the net's doubt changes from large blocks to small ones",
    "A17": "How many fewer planted errors are right after some steps than the same places without them",
    "A18": "How much worse (minus: better) many small blocks fill than the schedule made for music",
    "A19": "How much more the published animations change from frame to frame than the schedule allows",
    "A20": "What a value costs more without the words that name what is hidden than without others",
    "B01": "Largest error of the best cell that was built to output its input",
    "B02": "Least drift of a cell that was built to hold its state",
    "B03": "Error of the best LSTM that was made to imitate a GRU",
    "B04": "How far GRUs are ahead of LSTMs, at the end or in falling back (what speaks against it)",
    "B05": "How many times as many digits are misread without batch normalisation, in octaves",
    "B06": "How far the sizes differ as claimed, in the comparison of four that speaks most against it",
    "B07": "How many more digits a net reads rightly that sees the whole picture at once",
    "B08": "How much more often 0, 1 and 4 are read rightly after their filling than other digits",
    "B09": "How much more the truth costs than samples, both by predictions made for the samples",
    "B10": "The most that an exact filling costs beyond the truth",
    "B11": "How many more fail with 2 x 2 pixels than a multiple of those with one (see its rule)",
    "B12": "How much better a run looks on the pictures that selected it",
    "B13": "LSTMs that were seen to fall from a good result to almost chance",
    "E01": "How many times what was foretold is lost in fact",
    "E02": "The most that the foretold best loses beyond another split (minus: saves), of what that loses",
    "E03": "The temperature at which the model would be as certain as what MaskGIT draws (1: no sharper)",
    "E04": "How many more grids are valid if the surest cell is next",
    "E05": "How many evaluations the bound saves, or how many grids it loses",
    "E06": "How much more (minus: less) than the best of the other orders a spread-out order costs",
    "E07": "How much worse (minus: better) pictures get where what was drawn may be hidden again",
    "E08": "How many more planted errors are repaired by an evaluation that redraws as many",
}


def number(entry):
    """The effect of an entry of `ledger.collect` with its unit, to two digits: shares in per cent."""
    effect, unit = entry["effect"], entry["unit"]
    if unit.startswith("of "):
        return f"{_two_digits(100 * effect)}% {unit}"
    if unit == "times" and 0.95 <= effect < 9.95:
        return f"{effect:.1f} times"  # "1 times" would look like a count
    return f"{_two_digits(effect)} {unit}".strip()


def _two_digits(value):
    if value and abs(value) < 1e-3:
        return f"about {value:.0e}"
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"


def tell(entries):
    """Show entries of `ledger.collect`, a paragraph each: the claim, what was measured, and a link to the
    figure or table that carries it; then, in a fold, their rules and all of their numbers."""
    for entry in entries:
        figures.say(sentence(entry, f"{entry['notebook']}.html"), claim=entry["id"])
    if not entries:
        figures.say("None in this run.")
        return
    figures.say("\n".join(map(_in_full, entries)), fold="Their rules and all numbers")


def sentence(entry, page):
    """A claim, whose it is, what was measured on what, and a link to the figure or table that carries it, on
    the `page` of the report that measured it: Markdown."""
    said = f"**{entry['id']}.** *{entry['claim']}* "
    if ours := entry.get("ours"):
        said += f"({ours[:1].upper()}{ours[1:]}.) "
    said += f"{measured(entry)}"
    if entry["notebook"]:
        said += f" ([report {entry['notebook'].partition('_')[0]}]({page}#{entry['evidence']}))"
    if entry.get("before_correction", entry["verdict"]) != entry["verdict"]:
        said += f" By itself it would be {entry['before_correction']}; not among so many looks."
    return said + "".join(f" {elsewhere(other)}" for other in entry.get("also", ()))


def elsewhere(other):
    """What the rule of a claim says on other data, an entry of `also`: a sentence."""
    short = f" ({other['short']})" if other["short"] else ""
    return f"{_on(other)}{number(other)}: {other['verdict']}{short}."


def measured(entry):
    """What was measured, with its number, and what the run falls short of: a few sentences."""
    if entry["effect"] is None:
        return f"Not measured: {entry['measurement'].rstrip('.')}."
    said = f"{_on(entry)}{MEASURED[entry['id']]}: {number(entry)}."
    if beside := entry.get("beside"):
        said += f" {beside}"
    if short := entry.get("short"):
        said += f" Too small to say: {short}."
    return said


def counted(entry):
    """What was measured and its number, in a few words, or why there is none. A ledger of before verdicts had
    a standing keeps its own words: ours may be about another number."""
    own = entry["measurement"].rstrip(".")
    if entry["effect"] is None:
        return f"not measured: {own}."
    known = MEASURED[entry["id"]] if "standing" in entry else own
    changed = CHANGED if ledger.superseded(entry) else ""
    return f"{known[:1].lower()}{known[1:]}: {number(entry)}{changed}."


def _on(entry):
    """What an entry is about: "*As stated.* ", "*On drawn scenes.* "; nothing of one that does not say."""
    standing = entry.get("standing", "")
    if standing == ledger.TOO_SMALL:
        standing = f"on {entry['on']}"
    return f"*{standing[:1].upper()}{standing[1:]}.* " if standing else ""


def _in_full(entry):
    rule, measurement = " ".join(entry["rule"].split()), entry["measurement"].rstrip(".")
    numbers = f"{measurement[:1].upper()}{measurement[1:]}: {ledger.quantity(entry)}."
    history = f" {entry['history']}" if entry.get("history") else ""
    return f"- **{entry['id']}** ({entry['source']}).{history} {rule} *{numbers}*"
