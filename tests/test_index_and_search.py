"""The index of a run as the page that invites, and the search over all pages."""

import json
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from nbutils.reports.render import cells, fonts, index_page, pictures, rendering, searching

MOVING = (
    '<img class="moving" src="data:image/gif;base64,AA" alt="A hole being filled; caption: A red box.">'
    '<div class="strip" data-frames="3"><img src="data:image/png;base64,BB" '
    'alt="A hole being filled; caption: A red box., stopped"></div>'
)
CHART = '<img class="chart" src="data:image/png;base64,CC" alt="">'


def holding(*figures):
    """A notebook that has shown figures: (name, what is in it)."""
    shown = [f'<figure data-name="{name}">{content}</figure>' for name, content in figures]
    outputs = [new_output("display_data", {"text/html": text}) for text in shown]
    return new_notebook(cells=[new_code_cell(outputs=outputs)])


def card(number, **facts):
    usual = {"number": number, "animations": [], "findings": [], "facts": {}, "collects": False}
    usual |= {"plays": None, "page": None}
    return usual | {"telling": None, "entrance": None, "minutes": None} | facts


def test_an_animation_is_known_by_its_frames_and_by_the_words_it_is_filled_by():
    (found,) = pictures.animations(pictures.figure(holding(("other", CHART), ("key", MOVING))))
    assert found["address"] == "data:image/png;base64,BB"
    assert (found["frames"], found["caption"]) == (3, "A red box.")


@pytest.mark.parametrize(
    ("place", "address"), [("figure-chart", "CC"), ("table-bits", "BB"), ("figure-none", "BB")]
)
def test_a_finding_has_the_picture_of_its_evidence_or_the_key_figure(place, address):
    notebook = holding(("chart", CHART), ("key", MOVING))
    assert pictures.evidence(notebook, place)["address"].endswith(address)


def test_a_notebook_without_pictures_has_none():
    assert pictures.evidence(holding(), "table-bits") is None


def test_the_front_page_leads_to_where_one_can_play_once_there_is_such_a_page():
    cards = {"01": card("01", page="01.html"), "16": card("16", page=None, plays="holes")}
    assert index_page.shown(cards, [])["play"] is None
    cards["16"]["page"] = "16_play.html"
    assert index_page.shown(cards, [])["play"] is cards["16"]


def test_the_most_telling_report_that_moves_opens_the_page():
    cards = {
        "01": card("01", animations=["a"]),
        "02": card("02", animations=["b"], telling=1, findings=["second"]),
        "03": card("03", telling=2, findings=["third"]),
    }
    claims = [
        {"id": "A01", "verdict": "refuted", "notebook": None},
        {"id": "E01", "verdict": "supported", "notebook": None},
    ]
    shown = index_page.shown(cards, claims)
    assert shown["hero"] is cards["02"]
    assert shown["headlines"] == [cards["02"], cards["03"]]
    assert shown["ledger"] == [("supported", 0), ("refuted", 1), ("undecided", 0)]  # of 2017
    assert shown["since"] == [("supported", 1), ("refuted", 0), ("undecided", 0)]
    assert not index_page.shown(cards, claims[:1])["since"]
    assert shown["standing"] is None  # of a ledger that does not say what its verdicts are about
    told = [
        {"id": claim, "verdict": verdict, "standing": standing, "notebook": None}
        for claim, verdict, standing in (
            ("A01", "refuted", "on drawn scenes"),
            ("A02", "supported", "as stated"),
            ("A03", "undecided", "too small to say"),
            ("A04", "undecided", "as stated"),
        )
    ]
    standing = {"as_stated": 1, "elsewhere": 1, "too_small": 1}
    assert index_page.shown(cards, told)["standing"] == standing


def test_ways_to_read_are_made_of_what_notebooks_say_of_themselves():
    cards = [card("01", entrance="hole", minutes=60), card("02", entrance="hole", minutes=5), card("03")]
    (way,) = index_page._entrances(cards)
    spans = [(span, [one["number"] for one in own]) for span, own in way["times"]]
    assert spans == [("Five minutes", ["02"]), ("An hour", ["01"])]


PAGE = """<nav><p>contents</p></nav><main><h1 id="t">Title</h1><p>First words.</p>
<h2 id="holes">Holes <a class="anchor" href="#holes">#</a></h2><p>A <b>hole</b> is filled.</p>
<span id="figure-key"></span><figure><img src="data:image/png;base64,QQ==">
<figcaption>A picture.</figcaption></figure>
<div id="claim-A04"><p>Claim A04. It holds.</p></div>
<details id="fold-1"><summary>How it is decided</summary><p>A04 (a post). Holds if so.</p></details>
<p>Not answered yet.</p><p>The claim is from the post of 2017-04-02.</p><p>&lsaquo; &rsaquo;</p>
<pre>code()</pre>
<table><caption>Numbers.</caption><tbody><tr><td>4.2</td></tr></tbody></table><p>Last.</p></main>"""


def test_what_is_searched_has_its_place():
    assert searching.blocks(PAGE) == (
        ("", "Title", "heading", "Title"),
        ("", "Title", "text", "First words."),
        ("holes", "Holes", "heading", "Holes"),
        ("holes", "Holes", "text", "A hole is filled."),
        ("figure-key", "Holes", "caption", "A picture."),
        ("claim-A04", "Holes", "claim", "It holds."),
        ("fold-1", "Holes", "text", "Rule of A04: Holds if so."),
        ("holes", "Holes", "caption", "Numbers."),
        ("holes", "Holes", "text", "Last."),
    )


def test_a_claim_that_is_found_says_that_it_is_one_and_what_became_of_it():
    (found,) = json.loads(searching.index([("a.html", "01", "Title", PAGE)], {"A04": "undecided"}))
    labels = [label for *_, kind, _, label in found["blocks"] if kind == "claim"]
    assert labels == ["Claim A04 (undecided): "]
    assert {label for *_, kind, _, label in found["blocks"] if kind != "claim"} == {""}


def test_no_text_ends_the_script_that_holds_the_index():
    text = searching.index([("a.html", "01", "</script><b>", "<p>x</p>")], {})
    assert "<" not in text
    assert json.loads(text)[0]["title"] == "</script><b>"


def test_the_search_page_is_small_and_leads_to_places_that_are_there(smoke):
    page = (smoke / "search.html").read_text()
    assert len(page) < 1_000_000
    (texts,) = re.findall(r'<script type="application/json" id="texts">(.*?)</script>', page)
    found = json.loads(texts)
    assert {f"{path.stem}.html" for path in smoke.glob("[0-9]*.ipynb")} == {one["file"] for one in found}
    for one in found:
        written = (smoke / one["file"]).read_text()
        anchors = set(re.findall(r'id="([^"]*)"', written)) | {""}
        assert {anchor for anchor, *_ in one["blocks"]} <= anchors


def test_the_index_shows_a_hole_being_filled_and_where_to_begin(smoke):
    index = (smoke / "index.html").read_text()
    for number in ("04", "11"):
        assert re.search(rf'<li><span class="number">{number}</span> <a href="{number}_', index)
    assert 'id="filling"' in index
    assert len(re.findall("<article", index)) == 5
    every = nbformat.read(next(smoke.glob("05_*.ipynb")), as_version=4)
    assert pictures.animations(pictures.figure(every))


def test_pages_carry_their_typefaces_and_set_formulas_in_one_of_them(browser, smoke):
    page = browser.new_page()
    for path in smoke.glob("*.html"):
        faces = re.findall(r"@font-face\{[^}]*\}", path.read_text())
        assert 3 <= len(faces) <= 4
        assert sum(map(len, faces)) < 150_000
    page.goto((smoke / "03_losses.html").as_uri())
    page.evaluate("document.fonts.ready")
    loaded = "[...document.fonts].filter(face => face.status === 'loaded').map(face => face.family)"
    assert {"Report Text", "Report Math"} <= {family for family in page.evaluate(loaded)}
    assert (
        page.locator("math mi")
        .first.evaluate("one => getComputedStyle(one).fontFamily")
        .startswith('"Report Math"')
    )


def test_a_letter_of_a_formula_that_no_other_page_has_is_there_too():
    plain, special = (fonts.embedded(f"<style></style><math><mi>{one}</mi></math>") for one in ("x", "ℵ"))
    assert plain != special
    assert fonts.embedded("<style></style><p>x</p>").count("@font-face") == 3


def asked(page, words):
    """Search by keyboard from the page that is open; the links and texts of what was found."""
    page.keyboard.press("/")
    page.keyboard.type(words)
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=*")
    page.locator("#hits li").first.wait_for()
    return page.locator("#hits li")


@pytest.mark.parametrize("start", ["index.html", "05_sampling_orderings.html", "status.html"])
def test_a_search_by_keyboard_leads_from_every_page_to_a_place(browser, smoke, start):
    page, requests = browser.new_page(), []
    page.on("request", lambda request: requests.append(request.url))
    page.goto((smoke / start).as_uri())
    hits = asked(page, "antigreedy order")
    assert hits.first.locator("mark").first.text_content().lower().startswith(("antigreedy", "order"))
    assert "place" in page.locator("#told").text_content()
    hits.first.locator("a").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/\d\d_\w+\.html"))
    assert all(address.startswith(("file:", "data:")) for address in requests)


def test_a_search_goes_on_while_one_writes_and_says_when_nothing_is_found(browser, smoke):
    page = browser.new_page()
    page.goto((smoke / "search.html").as_uri() + "?q=Gibbs")
    told = page.locator("#told")
    assert "place" in told.text_content()
    page.locator(".search input").fill("zzzzqq")
    assert told.text_content() == "Nothing found."
    page.locator(".search input").fill("Gibbs zzzzqq")
    assert "none has all" in told.text_content()


def test_the_slash_is_written_where_one_writes(browser, smoke):
    page = browser.new_page()
    page.goto((smoke / "search.html").as_uri())
    page.locator(".search input").fill("")
    page.keyboard.type("1/2")
    assert page.locator(".search input").input_value() == "1/2"


def test_the_hole_stops_by_keyboard_and_stands_filled_for_who_wants_less_motion(browser, smoke):
    page = browser.new_page()
    page.goto((smoke / "index.html").as_uri())
    page.locator("#pause").focus()
    page.keyboard.press("Enter")
    picture = page.locator(".fill img").first
    assert picture.evaluate("image => getComputedStyle(image).animationPlayState") == "paused"
    assert page.locator("#pause").get_attribute("aria-pressed") == "true"
    calm = browser.new_context(reduced_motion="reduce").new_page()
    calm.goto((smoke / "index.html").as_uri())
    moved = "image => new DOMMatrix(getComputedStyle(image).transform).f / image.height"
    assert calm.locator(".fill img").first.evaluate(moved) < -0.5


@pytest.mark.parametrize(
    ("query", "text"), [("calibration", "It is calibrated."), ("batchnorm", "With batch normalisation.")]
)
def test_words_are_found_in_other_forms(browser, tmp_path, query, text):
    pages = [("a.html", "01", "A", f"<p>{text}</p>"), ("b.html", "15", "B", f"<p>{text}</p>")]
    page, place = browser.new_page(), tmp_path / "search.html"
    place.write_text(rendering.template("search_page").render(texts=searching.index(pages, {})))
    page.goto(f"{place.as_uri()}?q={query}")
    hits = page.locator("#hits li")
    assert [hit.split("\n")[0] for hit in hits.all_inner_texts()] == ["Report 01: A"]  # the first to say it
    assert hits.locator("p").inner_text() == text
    assert hits.locator("mark").count() >= 1


def test_no_page_shows_what_python_calls_an_object(smoke):
    for path in smoke.glob("[0-9]*.html"):
        assert re.findall(r"(?:&lt;|<)[\w.]+ (?:object )?at 0x\w+", path.read_text()) == [], path.name


@pytest.mark.parametrize(
    ("formula", "spaces"),
    [(r"\ln n", 1), (r"-\log_2 p", 1), (r"o_t \tanh(c)", 1), (r"\log(x)", 0), (r"a + \alpha_{\max}", 0)],
)
def test_names_of_functions_stand_apart_from_what_they_are_of(formula, spaces):
    assert cells.mathml(formula).count("<mspace") == spaces


def test_the_ledger_stands_in_every_way_to_read_and_beside_2017():
    every = {
        "10": card("10", entrance="digit", minutes=5, name="10_cells", page="10_cells.html"),
        "15": card("15", collects=True, minutes=5),
    }
    claim = {"id": "B04", "verdict": "refuted", "effect": 0.1, "unit": "of the digits", "evidence": "table-a"}
    shown = index_page.shown(every, [claim | {"notebook": "10_cells", "measurement": "it"}])
    assert shown["entrances"][0]["times"] == [("Five minutes", [every["10"], every["15"]])]
    (outcome,) = shown["timeline"][0]["outcomes"]
    assert (outcome["name"], outcome["address"]) == ("B04 refuted", "10_cells.html#table-a")
    assert "10% of the digits" in outcome["text"]
