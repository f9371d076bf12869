"""The ledger for people: what became of each claim in a sentence."""

from ..show import figures
from . import ledger

# What each claim's number is, in plain words; the number follows after a colon.
MEASURED = {
    "A01": "How much farther (minus: nearer) from the originals value by value ends than Gibbs sampling",
    "A02": "How much farther (minus: nearer) Gibbs sampling, one shot a block, ends than value by value",
    "A03": "What a value of a wholly hidden square costs more where the caption is withheld",
    "A04": "How many more values of 0 or 255 the samples have than the originals",
    "A05": "How far a deep net is still behind a shallow one that has seen half as many examples",
    "A06": "How much of the overfitting under a fixed mask is left under random masks",
    "A07": "How much rougher than with cross-entropy training runs (an octave is twice as rough)",
    "A08": "How many times as long a training step takes without dilation, where both nets see equally far",
    "A09": "How far the best other kind of net is ahead of a straight one that has seen twice as much",
    "A10": "What the antigreedy order saves where the truth is told after every guess",
    "A11": "How much farther from the originals' speckle the antigreedy order ends than a random one",
    "A12": "How probable sizes as uneven as these are if sizes are uniform",
    "A13": "How contiguish masks in training change the cost of a wholly hidden square",
    "A14": "How much farther (minus: nearer) from the originals' roughness a lower temperature ends",
    "A15": "How far cooled conditionals are from the cooled joint (0: the same, 1: nothing in common)",
    "A16": "How the net's doubt changes from large blocks to small ones",
    "A17": "How many errors that were planted in a picture are right again after some steps",
    "A18": "How much farther (minus: nearer) many small blocks end than the schedule made for music",
    "A19": "How much more the published animations change from frame to frame than the schedule allows",
    "A20": "How much more attention than an even share goes to the words that name what is hidden",
    "B01": "Largest error of the best cell that was built to output its input",
    "B02": "Least drift of a cell that was built to hold its state",
    "B03": "Error of the best LSTM that was made to imitate a GRU",
    "B04": "How many more digits GRUs read rightly than LSTMs",
    "B05": "How many more digits are read rightly with batch normalisation than without",
    "B06": "How many more digits 128 units read rightly than 32",
    "B07": "How many more digits a net reads rightly that sees the whole picture at once",
    "B08": "How much more often 0, 1 and 4 are read rightly after their filling than other digits",
    "B09": "How much more the truth costs a model than its own samples",
    "B10": "The most that an exact filling costs beyond the truth",
    "B11": "Failures with 2 x 2 pixels beyond twice those with one",
    "B12": "How much better a run looks on the pictures that selected it",
    "B13": "Collapses that were seen",
    "E01": "How many times what was foretold is lost in fact",
    "E02": "The most that the foretold best loses beyond another split (minus: saves), of what a hole costs",
    "E03": "The temperature at which the model would be as certain as what MaskGIT draws (1: no sharper)",
    "E04": "How many more grids are valid if the surest cell is next",
    "E05": "How many evaluations the bound saves",
    "E06": "How much more (minus: less) than the better of the two a spread-out order costs",
    "E07": "How much farther (minus: nearer) from the originals hiding again ends than Gibbs sampling",
    "E08": "How many more planted errors are repaired by an evaluation",
}


def number(entry):
    """The effect of an entry of `ledger.collect` with its unit, to two digits: shares in per cent."""
    effect, unit = entry["effect"], entry["unit"]
    if unit.startswith("of "):
        return f"{_two_digits(100 * effect)}% {unit}"
    return f"{_two_digits(effect)} {unit}".strip()


def _two_digits(value):
    if value and abs(value) < 1e-3:
        return f"about {value:.0e}"
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"


def tell(entries):
    """Show entries of `ledger.collect`, a paragraph each: the claim, what was measured, and a link to the
    figure or table that carries it; then, in a fold, their rules and all of their numbers."""
    for entry in entries:
        said = f"**{entry['id']}.** *{entry['claim']}* "
        if entry["effect"] is None:
            said += f"Not measured: {entry['measurement'].rstrip('.')}."
        else:
            said += f"{MEASURED[entry['id']]}: {number(entry)}."
        if entry["notebook"]:
            report = entry["notebook"].partition("_")[0]
            said += f" ([report {report}]({entry['notebook']}.html#{entry['evidence']}))"
        figures.say(said, claim=entry["id"])
    if not entries:
        figures.say("None in this run.")
        return
    figures.say("\n".join(map(_in_full, entries)), fold="Their rules and all numbers")


def _in_full(entry):
    rule, measurement = " ".join(entry["rule"].split()), entry["measurement"].rstrip(".")
    numbers = f"{measurement[:1].upper()}{measurement[1:]}: {ledger.quantity(entry)}."
    return f"- **{entry['id']}** ({entry['source']}). {rule} *{numbers}*"
