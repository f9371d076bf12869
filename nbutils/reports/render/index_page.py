"""What the index shows beside the cards: a hole being filled, ways to read, findings, 2017 beside today."""

import math

from ...evidence import ledger, telling

TITLE = "Filling holes by what a caption says"
_HEADLINES = 5
_ENTRANCES = {  # `entrance` in the metadata of a notebook
    "hole": (
        "Fill a hole",
        "Part of a picture is missing, and a sentence says what the picture shows. One net learns to fill "
        "any hole in any order, because it is trained on pictures with random parts hidden.",
    ),
    "digit": (
        "Read a digit",
        "A small recurrent net reads handwritten digits one pixel after the other: to say which digit it "
        "is, to write half a digit to its end, and to find the most probable filling of a gap, exactly.",
    ),
}
_TIMES = {5: "Five minutes", 60: "An hour", 240: "An afternoon"}  # `minutes` in the metadata
_POSTS = "https://cooijmanstim.github.io/blog/2017/"
# When, what was said or done, where that stands, which reports look at it today, and its claims.
_TIMELINE = (
    (
        "2 April 2017",
        "Gibbs sampling is wasteful, but lets the model correct itself; drawing one variable after the other "
        "lets errors pile up.",
        (
            "Caption-conditional image inpainting using orderless NADE",
            "04/02/caption_conditional_image_inpainting_orderless_nade/",
        ),
        ("04", "05", "17"),
        ("A01", "A02", "A03", "A17"),
        "Both watched side by side, their costs computed exactly, and errors planted to see which repairs "
        "them.",
    ),
    (
        "9 April 2017",
        "Shallow nets are easier to train, an earth mover's distance is a smoother way to punish a wrong "
        "guess, and no net learns its pictures by heart.",
        ("New inpainting samples", "04/09/shallow-emd/"),
        ("03", "09"),
        ("A05", "A06", "A07", "A09"),
        "What each loss is best served by, and small controlled trainings that change one thing at a time.",
    ),
    (
        "17 and 21 April 2017",
        "Hiding whole neighbourhoods in training makes samples more interesting.",
        ("More contiguous masking", "04/17/more-contiguous-masking/"),
        ("01", "09"),
        ("A12", "A13"),
        "The masks drawn and counted, and nets trained with each kind of them.",
    ),
    (
        "23 April 2017",
        "A lower temperature, and a schedule that draws less and less of the hole again.",
        ("Tweaking the generative process", "04/23/tweaking-sampling/"),
        ("06",),
        ("A14", "A15", "A18", "A19"),
        "The schedule as it was described beside what the published animations show, which is not the same.",
    ),
    (
        "1 May 2017",
        "A random search over hyper-parameters finds no clear direction.",
        ("Hyperparameter search results", "05/01/hyperparameter-search/"),
        ("08",),
        (),
        "The same search with three losses, and a measure of what matters by more than chance.",
    ),
)
_DIGITS = (
    "8 March 2017",
    "LSTM and GRU nets classify digits, predict their next pixels and fill their gaps.",
    ("10", "11", "12"),
    ("B04", "B05", "B09", "B10"),
    "Trained again on every cell and size, scored with the truth told as the model goes, and filled exactly.",
)


def spelled(seconds):
    """A time as people say it: 40 s, 3 min, 2 h 5 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def shown(cards, claims):
    """What the template of the index shows beside the cards and how they were run.

    Args:
        cards: dict by name, from `rendering`.
        claims: the ledger, list of dicts; empty before it is collected.
    """
    every = list(cards.values())
    of_2017 = [claim for claim in claims if ledger.of_2017(claim["id"])]
    return {
        "title": TITLE,
        "play": next((card for card in every if card["plays"] and card["page"]), None),
        "hero": next((card for card in most_telling(every) if card["animations"]), None),
        "headlines": [card for card in most_telling(every) if card["findings"]][:_HEADLINES],
        "entrances": _entrances(every),
        "timeline": _timeline(every, claims),
        "made": _made(every),
        "ledger": _counts(of_2017),
        "standing": _standing(of_2017),
        "since": _counts([claim for claim in claims if not ledger.of_2017(claim["id"])]),
        "collected": next((card for card in every if card["collects"]), None),
    }


def _counts(claims):
    """Pairs of a verdict and how many claims have it; none of no claims."""
    every = [claim["verdict"] for claim in claims]
    return [(verdict, every.count(verdict)) for verdict in ledger.VERDICTS if every]


def _standing(claims):
    """How many of the decided claims were decided as stated, and how many of the undecided ones met a run
    that was too small; None of a ledger that does not say."""
    if not claims or any("standing" not in claim for claim in claims):
        return None
    decided = [claim for claim in claims if claim["verdict"] != "undecided"]
    return {
        "as_stated": sum(claim["standing"] == ledger.AS_STATED for claim in decided),
        "elsewhere": sum(claim["standing"] != ledger.AS_STATED for claim in decided),
        "too_small": sum(claim["standing"] == ledger.TOO_SMALL for claim in claims),
    }


def most_telling(cards):
    """Cards by the rank `telling` in the metadata of their notebooks; those without come after, in order."""
    return sorted(cards, key=lambda card: card["telling"] or math.inf)


def _entrances(cards):
    """The ways to read: list of dicts with `name`, `about`, and `times`, pairs of a span and its cards; those
    that no notebook belongs to are left out."""
    ways = []
    for entrance, (name, about) in _ENTRANCES.items():
        here = [card for card in cards if card["entrance"] == entrance]
        own = here + [card for card in cards if card["collects"] and here]  # the ledger is about both
        times = [(span, [card for card in own if card["minutes"] == key]) for key, span in _TIMES.items()]
        if own:
            ways.append({"name": name, "about": about, "times": [time for time in times if time[1]]})
    return ways


def _timeline(cards, claims):
    """2017 beside today, list of dicts; `reports` are the cards that there are, `outcomes` what came out."""
    of_number = {card["number"]: card for card in cards}
    rows = []
    for when, then, (post, address), numbers, ids, today in _TIMELINE:
        link = {"text": post, "address": _POSTS + address}
        rows.append(
            {"when": when, "then": then, "post": link, "numbers": numbers, "ids": ids, "today": today}
        )
    when, then, numbers, ids, today = _DIGITS
    rows.insert(0, {"when": when, "then": then, "post": None, "numbers": numbers, "ids": ids, "today": today})
    for row in rows:
        row["reports"] = [of_number[number] for number in row["numbers"] if number in of_number]
        row["outcomes"] = _outcomes(row["ids"], row["reports"], claims)
    return [row for row in rows if row["reports"]]


def _outcomes(ids, reports, claims):
    """What came out of what a row speaks of, from the ledger: list of dicts with `name`, `address`, `text`;
    of a row without claims, what its reports found first. Those that are undecided have no text."""
    settled = [claim for claim in claims if claim["id"] in ids and claim["notebook"]]
    told = []
    for claim in settled:
        decided = claim["verdict"] != "undecided"
        told.append(
            {
                "name": f"{claim['id']} {claim['verdict']}" if decided else claim["id"],
                "address": f"{claim['notebook']}.html#{claim['evidence']}",
                "text": telling.counted(claim) if decided else "",
            }
        )
    found = [] if ids else [card for card in reports if card["findings"]]
    return told + [
        {
            "name": f"Report {card['number']}",
            "address": f"{card['name']}.html#{card['findings'][0]['evidence']}",
            "text": card["findings"][0]["text"],
        }
        for card in found
    ]


def _made(cards):
    """The commits that made the reports, the day of the last, and of what `pictures` and `sizes` they are;
    None before the first has ended."""
    facts = [card["facts"] for card in cards if card["facts"].get("started")]
    if not facts:
        return None
    commits = sorted({fact["commit"] for fact in facts if fact.get("commit")})
    made = {"commits": commits, "day": max(fact["started"] for fact in facts)[:10], "count": len(facts)}
    return made | _data([fact.get("parameters") or {} for fact in facts])


def _data(parameters):
    """What the notebooks learned from, by their `parameters`: two texts."""
    sources = sorted({str(given["data"]) for given in parameters if "data" in given})
    drawn = sources in ([], ["scenes"])
    kinds = ["scenes that a program draws" if name == "scenes" else f"those of {name}" for name in sources]
    kind = "scenes that a program draws" if drawn else " and ".join(kinds)
    spans = {}
    for name in ("image_size", "num_train", "steps"):
        values = sorted({given[name] for given in parameters if name in given})
        spans[name] = " to ".join(f"{value:,}" for value in dict.fromkeys(values[:1] + values[-1:]))
    sizes = [
        f"pictures of {spans['image_size']} pixels a side" if spans["image_size"] else "",
        f"{spans['num_train']} of them to train on" if spans["num_train"] else "",
        f"{spans['steps']} steps a training" if spans["steps"] else "",
    ]
    told = ", ".join(size for size in sizes if size) or "no training"
    return {"pictures": f"Here they are {kind}.", "sizes": told}


def common(cards, outcomes):
    """What all notebooks that were run have in common of device, commit and versions: dict from name to
    text."""
    facts = [cards[name]["facts"] for name, outcome in outcomes.items() if "seconds" in outcome]
    facts = [fact for fact in facts if fact]
    said = [
        {"device": fact.get("device"), "commit": fact.get("commit"), "versions": _versions(fact)}
        for fact in facts
    ]
    return {name: said[0][name] for name in said[0] if len({one[name] for one in said}) == 1} if said else {}


def _versions(facts):
    """The versions of a card in one line."""
    return ", ".join(f"{name} {version}" for name, version in (facts.get("versions") or {}).items())
