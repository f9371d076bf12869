"""The pages in a real browser, and the notebooks through the tools that people use directly."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from in_process import no_kernels
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from nbutils.evidence import results
from nbutils.reports import publications
from nbutils.reports.render import rendering
from nbutils.reports.run import execution

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
AXE = Path(__file__).parents[1] / "build" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
MORE_RULES = {rule: {"enabled": True} for rule in ("landmark-unique", "empty-table-header")}


WIDTHS = {"light": (320, 390, 768, 1440), "dark": (1440, 768, 390)}  # axe-core sees the last of them


def faults_of(browser, paths, scheme):
    """What a browser and axe-core have against pages in a colour scheme: network requests, messages,
    horizontal scrolling at any of the widths, violations of WCAG 2.2 AA."""
    assert AXE.is_file(), f"{AXE} is missing; run the tests by `make test`, or `make browser` once"
    context = browser.new_context(color_scheme=scheme)
    page, faults = context.new_page(), []
    page.on(
        "request",
        lambda request: (
            faults.append(request.url) if not request.url.startswith(("file:", "data:", "blob:")) else None
        ),
    )
    page.on(
        "console",
        lambda message: faults.append(message.text) if message.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: faults.append(str(error)))
    for path in paths:
        page.goto(path.as_uri())
        for width in WIDTHS[scheme]:
            page.set_viewport_size({"width": width, "height": 900})
            if page.evaluate("document.documentElement.scrollWidth") > width:
                faults.append(f"{path.name} scrolls sideways at {width}")
        page.evaluate(AXE.read_text())
        found = page.evaluate(
            "([tags, rules]) => axe.run({runOnly: {type: 'tag', values: tags}, rules})", [RULES, MORE_RULES]
        )
        faults += [
            f"{path.name}: {fault['id']}: {fault['nodes'][0]['html'][:200]} ({len(fault['nodes'])})"
            for fault in found["violations"]
        ]
    context.close()
    return faults


@pytest.mark.parametrize("scheme", WIDTHS)
def test_the_index_and_a_page_have_no_faults(browser, smoke, scheme):
    assert faults_of(browser, [smoke / "index.html", smoke / "11_pixel_prediction.html"], scheme) == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", WIDTHS)
def test_no_page_has_faults(browser, smoke, scheme):
    assert faults_of(browser, sorted(smoke.glob("*.html")), scheme) == []


def test_the_checks_find_what_is_wrong_with_a_page(browser, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<html><body><img src='https://example.invalid/a.png'><p "
        "style='color:#aaa;width:2000px'>pale</p><table><tr><th></th></tr></table><script>undefined_thing()</script></body></html>"
    )
    faults = "\n".join(faults_of(browser, [bad], "light"))
    for fault in (
        "example.invalid",
        "undefined_thing",
        "scrolls sideways at 390",
        "scrolls sideways at 1440",
        "image-alt",
        "color-contrast",
        "html-has-lang",
        "empty-table-header",
    ):
        assert fault in faults


def transforms(figure):
    return figure.locator(".strip > img").evaluate_all("images => images.map(image => image.style.transform)")


def test_animations_pause_play_and_are_looked_through_by_mouse_and_by_keyboard(browser, smoke):
    page = browser.new_page()
    page.goto((smoke / "05_sampling_orderings.html").as_uri())
    figure = page.locator("figure:has(button.pause)").first
    figure.scroll_into_view_if_needed()
    button, slider = figure.locator("button.pause"), figure.get_by_label("Frame")
    before = transforms(figure)
    page.wait_for_function(
        "before => document.querySelector('.strip > img').style.transform !== before", arg=before[0]
    )
    button.focus()
    page.keyboard.press("Enter")
    assert button.text_content() == "Play"
    assert button.get_attribute("aria-pressed") == "true"
    stopped = transforms(figure)
    page.wait_for_timeout(400)
    assert transforms(figure) == stopped
    button.click()
    assert button.text_content() == "Pause"
    slider.focus()
    page.keyboard.press("Home")  # to the first frame, of every animation of the figure at once
    assert set(transforms(figure)) == {"translateY(0%)"}
    assert button.text_content() == "Play"
    assert "step 0 of" in figure.locator(".place").text_content()
    page.keyboard.press("End")
    last = transforms(figure)
    page.keyboard.press("Home")
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)
    assert transforms(figure) == last
    assert "translateY(0%)" not in last


def test_readers_who_asked_for_less_motion_and_paper_get_the_last_frame(browser, smoke):
    address = (smoke / "05_sampling_orderings.html").as_uri()
    calm = browser.new_context(reduced_motion="reduce").new_page()
    calm.goto(address)
    assert calm.locator(".strip").first.is_visible()
    assert set(transforms(calm.locator("figure.animated").first)) != {"translateY(0%)"}
    page = browser.new_page()
    page.goto(address)
    page.emulate_media(media="print")
    assert page.locator(".strip").first.is_visible()
    assert not page.locator("button.pause").first.is_visible()


def test_without_a_script_the_frames_move_by_the_style_of_the_page(browser, smoke):
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto((smoke / "05_sampling_orderings.html").as_uri())
    strip = page.locator(".alone .strip > img").first
    strip.scroll_into_view_if_needed()
    seen = {strip.bounding_box()["y"] - strip.locator("..").bounding_box()["y"]}
    for _ in range(40):
        page.wait_for_timeout(50)
        seen.add(strip.bounding_box()["y"] - strip.locator("..").bounding_box()["y"])
    assert len(seen) > 2
    assert "image/gif" not in (smoke / "05_sampling_orderings.html").read_text()


def code(*lines, tag=None):
    return new_code_cell("\n".join(lines), metadata={"tags": [tag]} if tag else {})


MARGIN = "from nbutils.show import animation, exercises, figures"
ARTICLE = [
    new_markdown_cell("# A report\n\nWhat does a NADE know of a *hole*?\n\nMore on [figure](#figure-key)."),
    code("steps = 3  # how long", tag="parameters"),
    code(
        "import sys", "import numpy as np", MARGIN, "from nbutils.evidence import ledger, intervals, results"
    ),
    code("claims = ledger.Ledger()", "print('a log of no interest')", "print('a warning', file=sys.stderr)"),
    code("claims.state('A04', 'It is decided by $x > 0$.')"),
    new_markdown_cell("## The code\n\nA mask is a mask, and a NADE a NADE; `mask` too, and $mask$."),
    new_markdown_cell("It is $wide + " + " + ".join(["x"] * 30) + "$, and more."),
    code(f"figures.say('> {publications.TOO_SMALL} Another one found more.')"),
    code("def square(x):", '    """Of x."""', "    return x**2  # (B, C)", tag="plain"),
    code(
        "figures.say('Largest difference: 0. See [claim](#claim-A04), [table](#table-losses).')", tag="check"
    ),
    code(
        "frames = np.arange(5)[:, None, None, None] * np.full((1, 3, 8, 8), 50)",
        "facts = [f'step {n}, alpha {n}, CELL known' for n in range(5)]",
        "told = [[fact.replace('CELL', str(cell)) for fact in facts] for cell in range(7)]",
        "cells = [animation.cell(frames, None, 'moving', 'a square', 160, fact) for fact in told]",
        "still = figures.picture_cell(frames[0], 'given', 'a square', 160)",
        "animation.animations([still, *cells], 'Squares.', 'key')",
    ),
    code(
        "figure, axis = figures.chart(size=(7.0, 3.0))",
        "axis.plot([1, 2])",
        "figures.show(figure, 'A chart.', 'a line', 'chart')",
    ),
    code(
        "row = {'bits': 1 / 7, 'why': 'because ' * 20, 'n': 'a' * 60}",
        "rows = [{'loss': f'loss {n}'} | row for n in range(9)]",
        "figures.table(rows, 'Losses of all kinds.', 'losses', columns=('loss', 'bits'))",
        "figures.table(rows, 'A wide one, whose caption is long enough to be read.', 'wide')",
    ),
    code(
        "found = intervals.exact(1.0)",
        "claims.settle('A04', found, unit='bits', per='nets', measured='the cost', evidence='figure-key',",
        "              verdict='supported', on=ledger.ANIMATIONS)",
    ),
    new_markdown_cell("## Try it\n\nWhat is 2 x 2? " + "A line. " * 200),
    code("answer = None", "exercises.check(answer, lambda given: given == 4, hint='Count.')", tag="exercise"),
    new_markdown_cell("Four.", metadata={"tags": ["solution"]}),
    code("figures.say('It is 4.')", tag="solution"),
    code(
        "say = lambda n: results.finding(f'Finding {n}.', 'figure-key', 'bits')",
        "results.save(reports, 'article', {'bits': 1.0}, [say(n) for n in range(4)], claims)",
    ),
]


@pytest.fixture(scope="module")
def article(tmp_path_factory):
    """The page of a notebook that has some of everything a page shows."""
    folder = tmp_path_factory.mktemp("article")
    book = new_notebook(cells=ARTICLE)
    book.cells[1].source += "\nreports = '.'"
    nbformat.write(book, folder / "article.ipynb")
    with no_kernels():
        done = execution.execute(folder / "article.ipynb", {"steps": 4, "reports": str(folder)}, folder)
    assert done.outcome.error == ""
    (folder / "article.ipynb").write_bytes(done.notebook)
    found = results.findings(json.loads(done.sidecar))
    neighbours = ("index.html", "Before"), ("index.html", "After")
    page = folder / "article.html"
    page.write_text(rendering.render(folder / "article.ipynb", *neighbours, found))
    return page


@pytest.fixture
def reader(browser, article):
    """The page in a browser, as a reader with a mouse and a keyboard has it."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(article.as_uri())
    yield page
    context.close()


@pytest.mark.parametrize("scheme", WIDTHS)
def test_a_page_with_everything_has_no_faults(browser, article, scheme):
    assert faults_of(browser, [article], scheme) == []


def test_plain_code_stands_open_and_the_rest_is_one_mark_until_it_is_asked_for(reader):
    assert "def square" in reader.locator(".code.plain pre").inner_text()
    assert reader.locator(".code.exercise pre").is_visible()
    marks = reader.locator("details.mark")
    assert "claims.state" in marks.first.locator("pre").last.text_content()  # with the two cells before it
    assert marks.first.locator("pre").count() == 3
    assert not marks.first.locator("pre").first.is_visible()
    marks.first.locator("summary").focus()
    reader.keyboard.press("Enter")
    assert marks.first.locator("pre").first.is_visible()
    marks.nth(1).locator("summary").click()
    assert marks.nth(1).locator("pre").is_visible()
    text = reader.locator("main").text_content()
    assert "a log of no interest" not in text.replace("print('a log of no interest')", "")
    assert "a warning" not in text.replace("print('a warning'", "")


@pytest.mark.parametrize("width", [390, 1440])
def test_a_mark_stands_beside_the_text_and_takes_no_room_from_it(reader, width):
    reader.set_viewport_size({"width": width, "height": 900})
    mark = reader.locator("details.mark > summary").first.bounding_box()
    text = reader.locator("#the-code + p").bounding_box()
    assert mark["width"] == mark["height"] == 24
    beside = mark["x"] + 24 <= text["x"] if width == 1440 else mark["x"] + 24 > text["x"] + text["width"]
    assert beside
    assert text["width"] <= 38 * 16


def test_code_is_copied_by_mouse_and_by_keyboard(reader):
    for kind, by_mouse in ((".code.plain", True), (".code.exercise", False)):
        code = reader.locator(kind)
        copy = code.locator(".copy")
        if by_mouse:
            copy.click()
        else:
            copy.focus()
            reader.keyboard.press("Enter")
        copy.filter(has_text="Copied").wait_for()
        assert reader.locator("#said").text_content() == "Copied"
        bar, text = copy.bounding_box(), code.locator("pre").first.bounding_box()
        assert bar["y"] + bar["height"] <= text["y"]
        copy.filter(has_text="Copy").filter(has_not_text="Copied").wait_for()
        wanted = code.locator("pre").inner_text().strip()
        assert reader.evaluate("navigator.clipboard.readText()").strip() == wanted != ""


def test_parameters_solutions_rules_and_numbers_are_folded(reader):
    for name, inside in (
        ("Parameters of this run", "steps = 4"),
        ("How it is decided", "It is decided by"),
        ("The numbers", "The cost: 1 bits; nets: 1."),
        ("All columns", "because"),
        ("Also found", "Finding 3."),
    ):
        fold = reader.locator("details", has=reader.locator("summary", has_text=name)).first
        assert fold.get_attribute("open") is None
        fold.locator("summary").click()
        assert inside in fold.inner_text()
    for solution, said in zip(reader.locator("details.solution").all(), ("Four.", "It is 4.")):
        assert solution.get_attribute("open") is None
        assert said in solution.text_content()
    assert reader.locator("details.fold math").count() == 1


def test_the_answer_stands_under_the_question_beside_the_key_figure(reader):
    answer = reader.locator(".answer")
    assert answer.locator("> div > ul > li").count() == 3
    assert reader.locator("blockquote").count() == 1  # moved there, not repeated
    assert answer.locator("blockquote").text_content().strip().startswith("This run is too small")
    assert answer.locator("figure .strip").count() == 7
    places = [
        reader.locator(place).first.bounding_box()["y"]
        for place in ("h1", "h1 + p", ".answer", "#the-code", "#figure-key", "#parameters")
    ]
    assert places == sorted(places)
    links = answer.locator("li").first.locator("a")
    assert links.all_text_contents() == ["Figure 1", "code", "number"]
    links.nth(2).hover()
    reader.locator("#preview").filter(has_text="bits: 1 (article.json)").wait_for()
    reader.mouse.move(0, 0)
    links.nth(1).click()  # to the code that drew it, which opens
    drew = reader.locator("details.mark[open] pre")
    assert "animation.animations" in drew.inner_text()


def test_a_reference_shows_what_it_names_on_hover_and_focus_and_escape_closes_it(reader):
    preview = reader.locator("#preview")
    reader.locator('p > a[href="#table-losses"]').hover()
    preview.wait_for(state="visible")
    assert "Losses of all kinds." in preview.inner_text()
    assert preview.locator(".table").bounding_box()["width"] >= 200
    assert preview.locator("tbody tr:visible").count() == 5
    preview.hover()  # it stays for who wants to read it
    reader.wait_for_timeout(400)
    assert preview.is_visible()
    reader.mouse.move(0, 0)
    preview.wait_for(state="hidden")
    claim = reader.locator('p > a[href="#claim-A04"]').first
    assert claim.inner_text() == "claim A04"
    claim.focus()
    reader.keyboard.press("Shift+Tab")
    reader.keyboard.press("Tab")
    preview.wait_for(state="visible")
    assert "Samples are fond of extreme values" in preview.inner_text()
    assert claim.evaluate("link => link === document.activeElement")
    reader.keyboard.press("Escape")
    assert preview.is_hidden()
    reader.locator('p > a[href="#figure-key"]').first.hover()
    preview.wait_for(state="visible")
    assert preview.locator(".strip").count() == 7
    box = preview.bounding_box()
    assert box["x"] >= 0
    assert box["height"] <= 322


def test_a_reference_shows_what_it_names_at_a_touch_and_leads_there_at_the_next(browser, article):
    context = browser.new_context(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 800})
    page = context.new_page()
    page.goto(article.as_uri())
    preview = page.locator("#preview")
    link = page.locator('p > a[href="#table-losses"]')
    link.tap()
    preview.wait_for(state="visible")
    assert not page.url.endswith("#table-losses")
    link.tap()
    page.wait_for_url("**#table-losses")
    assert preview.is_hidden()
    page.locator(".term").first.tap()
    preview.wait_for(state="visible")
    page.locator("h1").tap()
    assert preview.is_hidden()
    context.close()


def test_the_first_use_of_a_term_says_what_it_means(reader):
    terms = reader.locator(".term")
    assert terms.all_text_contents() == ["NADE", "mask"]
    terms.first.focus()
    reader.keyboard.press("Shift+Tab")
    reader.keyboard.press("Tab")
    assert "autoregressive distribution" in reader.locator("#preview").inner_text()
    assert terms.first.get_attribute("aria-describedby") == "preview"
    reader.keyboard.press("Escape")
    assert reader.locator("#preview").is_hidden()
    reader.keyboard.press("Enter")
    assert reader.locator("#preview").is_visible()
    terms.last.hover()
    reader.locator("#preview").filter(has_text="allowed to see").wait_for()


def test_the_slider_says_where_an_animation_is_and_facts_stand_once_where_they_are_equal(reader):
    figure = reader.locator("figure.animated").last
    figure.scroll_into_view_if_needed()
    place, slider = figure.locator(".place"), figure.get_by_label("Frame")
    place.filter(has_text="frame 3 of 5").wait_for()
    assert figure.locator(".frame-facts").first.is_visible()
    height = figure.bounding_box()["height"]
    slider.focus()
    reader.keyboard.press("Home")
    reader.keyboard.press("ArrowRight")
    assert place.inner_text() == slider.get_attribute("aria-valuetext") == "frame 2 of 5, step 1, alpha 1"
    facts = figure.locator(".frame-facts").all_inner_texts()
    assert facts == [f"{cell} known" for cell in range(7)]
    assert figure.bounding_box()["height"] == height  # whether it plays or not
    reader.wait_for_timeout(400)
    assert place.inner_text().startswith("frame 2 of 5")
    figure.locator("button.pause").click()
    place.filter(has_text="frame 4 of 5").wait_for()


def test_cells_of_a_gallery_wrap_evenly_and_their_labels_are_in_line(reader):
    reader.set_viewport_size({"width": 1440, "height": 900})
    boxes = [
        cell.bounding_box() for cell in reader.locator("figure.animated").last.locator(".gallery > div").all()
    ]
    rows = [box["y"] for box in boxes]
    assert [rows.count(row) for row in sorted(set(rows))] == [4, 4]
    labels = reader.locator("figure.animated").last.locator(".gallery > div > span:not(.frame-facts)")
    places = [label.bounding_box()["y"] for label in labels.all()]
    assert max(places[:4]) - min(places[:4]) < 1


def test_on_a_phone_charts_keep_their_letters_and_captions_of_wide_tables_stay(reader):
    reader.set_viewport_size({"width": 390, "height": 800})
    chart = reader.locator("figure:not(.answer figure) .scroll").last
    assert chart.locator("img").bounding_box()["width"] >= 9 / (8 * 100 / 72) * 700
    assert chart.get_attribute("tabindex") == "0"
    table = reader.locator(".table", has=reader.locator("caption", has_text="A wide one"))
    before = table.locator("caption").bounding_box()
    assert before["width"] <= 390
    table.evaluate("box => box.scrollLeft = 300")
    assert table.locator("caption").bounding_box()["x"] == pytest.approx(before["x"], abs=1)
    first = table.locator("tbody td").first.bounding_box()
    assert first["x"] == pytest.approx(table.bounding_box()["x"], abs=1)  # what a line is about stays too


def test_what_is_cut_says_that_it_goes_on_until_its_end_is_seen(reader):
    reader.set_viewport_size({"width": 390, "height": 800})
    chart = reader.locator("figure:not(.answer figure) .scroll").last
    said = "element => getComputedStyle(element.nextElementSibling, '::before').content"
    assert "sideways" in chart.evaluate(said)
    fades = "element => getComputedStyle(element).maskImage !== 'none'"
    assert chart.evaluate(fades)
    chart.evaluate("box => box.scrollLeft = 10000")
    seen = "() => ![...document.querySelectorAll('main .scroll')].at(-1).matches('.more')"
    reader.wait_for_function(seen)
    assert not chart.evaluate(fades)
    reader.set_viewport_size({"width": 1440, "height": 900})
    assert chart.evaluate(said) == "none"


def test_on_a_phone_the_title_is_near_the_top_and_the_contents_unfold(browser, article):
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(article.as_uri())
    assert page.locator("h1").bounding_box()["y"] < 260
    contents = page.locator("nav.contents ol")
    assert not contents.is_visible()
    page.locator("nav.contents summary").click()
    assert contents.is_visible()
    wide = browser.new_page(viewport={"width": 1280, "height": 800})
    wide.goto(article.as_uri())
    assert wide.locator("nav.contents ol").is_visible()


def test_formulas_keep_their_punctuation_and_wide_ones_scroll_by_themselves(reader):
    assert reader.locator(".inline-formula", has_text="wide").text_content().endswith(",")
    reader.set_viewport_size({"width": 320, "height": 800})
    wide = reader.locator(".inline-formula.scroll")
    wide.wait_for()
    assert wide.bounding_box()["width"] <= 320
    assert wide.get_attribute("tabindex") == "0"


def test_a_link_into_a_fold_opens_it(reader):
    fold = reader.locator("details.fold").last
    assert fold.get_attribute("open") is None
    reader.evaluate("name => location.hash = name", fold.get_attribute("id"))
    reader.wait_for_function("[...document.querySelectorAll('details.fold')].at(-1).open")


@pytest.mark.slow
def test_notebooks_run_directly_with_papermill_and_nbconvert_from_their_folder(tmp_path):
    parameters = ["-p", "num_train", "60", "-p", "num_valid", "16", "-p", "reports", str(tmp_path)]
    command = [
        sys.executable,
        "-m",
        "papermill",
        "01_data_and_captions.ipynb",
        str(tmp_path / "a.ipynb"),
        *parameters,
    ]
    assert subprocess.run(command, cwd=NOTEBOOKS, capture_output=True).returncode == 0
    copy = tmp_path / "notebooks" / "02_model.ipynb"
    copy.parent.mkdir()
    shutil.copy(NOTEBOOKS / copy.name, copy)
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--execute", "--to", "html", copy.name]
    assert subprocess.run(command, cwd=copy.parent, capture_output=True).returncode == 0
