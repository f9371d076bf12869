"""Panels that run a model in a page: by mouse, by finger, by keyboard, and what they show against torch."""

import base64
import io
import json
import re

import nbformat
import numpy as np
import pytest
import torch
from in_process import no_kernels
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image
from test_browser import faults_of

from nbutils.data import sources
from nbutils.pixelrnn import filling, objective
from nbutils.reports import publications
from nbutils.reports.live import holes, parts
from nbutils.reports.live.parts import place
from nbutils.reports.render import panels, rendering
from nbutils.reports.render.cells import LinkError
from nbutils.reports.run import execution
from nbutils.training import job

CELLS = [
    new_markdown_cell("# Play\n\nWhat can be tried?\n\nSee [figure](#figure-holes)."),
    new_code_cell("reports = '.'", metadata={"tags": ["parameters"]}),
    new_code_cell(
        "import torch\n"
        "from nbutils.data import sources\n"
        "from nbutils.reports import publications\n"
        "from nbutils.reports.live.holes import live_holes\n"
        "from nbutils.reports.live.pixels import live_digits\n"
        "from nbutils.reports.live.units import live_cells\n"
        "wrong_size = publications.checkpoint('05_sampling_orderings', 'cross_entropy')\n"
        "small = sources.load('scenes', image_size=16, num_train=1, num_valid=2).valid\n"
        "live_holes(wrong_size, small, 'holes')"
    ),
    new_code_cell("live_digits('none', torch.zeros(1, 64), 'none', 'digits')"),
    new_code_cell("live_cells('cells')"),
]
HOLES, DIGITS, UNITS = "figure.live >> nth=0", "figure.live >> nth=1", "figure.live >> nth=2"


@pytest.fixture(scope="module")
def play(tmp_path_factory):
    """A page with all panels, made from a run whose own models are of no size that a page takes."""
    folder = tmp_path_factory.mktemp("play")
    nbformat.write(new_notebook(cells=CELLS), folder / "play.ipynb")
    with no_kernels():
        done = execution.execute(folder / "play.ipynb", {"reports": str(folder)}, folder)
    assert done.outcome.error == ""
    (folder / "play.ipynb").write_bytes(done.notebook)
    page = folder / "play.html"
    page.write_text(rendering.render(folder / "play.ipynb"))
    return page


@pytest.fixture
def page(browser, play):
    """The page as a reader has it; whatever it says is wrong fails the test."""
    context, said = browser.new_context(accept_downloads=True), []
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(play.as_uri())
    yield page
    assert said == []
    context.close()


def status(figure):
    return figure.locator(".status-line").inner_text()


def wait(figure, state="resting"):
    figure.page.wait_for_function(
        "([figure, state]) => figure.dataset.state === state", arg=[figure.element_handle(), state]
    )


def drawn(figure):
    return int(figure.get_attribute("data-drawn") or 0)


def pixels(figure):
    """The colours that stand on the board, a list of (r, g, b)."""
    address = figure.locator("canvas.board").evaluate("canvas => canvas.toDataURL()")
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as board:
        side = board.width // 12
        small = board.convert("RGB").resize((side, side), Image.Resampling.NEAREST)
    return [tuple(colour) for colour in np.asarray(small).reshape(-1, 3).tolist()]


def dab(figure, *keys):
    """Paint what the chosen tool paints, by keyboard, after some other keys."""
    figure.locator("canvas.board").focus()
    for key in (*keys, " "):
        figure.page.keyboard.press(key)


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_a_page_of_panels_has_no_faults(browser, play, scheme):
    assert faults_of(browser, [play], scheme) == []


def test_a_model_is_carried_once_and_the_page_stays_small(play):
    text = play.read_text()
    names = re.findall(r'id="live-([0-9a-f]+)"', text)
    assert len(names) == len(set(names)) == 3
    assert len(text) < 3_500_000


def test_without_scripts_and_on_paper_the_still_picture_stands_there(browser, play):
    bare = browser.new_context(java_script_enabled=False).new_page()
    bare.goto(play.as_uri())
    assert bare.locator(HOLES).locator("img").count() == 2
    assert all(image.is_visible() for image in bare.locator("figure.live img").all())
    whole = browser.new_page()
    whole.goto(play.as_uri())
    assert whole.locator(HOLES).locator("canvas.board").is_visible()
    assert not whole.locator(HOLES).locator("img").first.is_visible()
    whole.emulate_media(media="print")
    assert whole.locator(HOLES).locator("img").first.is_visible()
    assert not whole.locator(HOLES).locator(".panel").is_visible()


def test_a_hole_is_painted_by_keyboard_and_filled_and_its_moments_come_back(page):
    figure = page.locator(HOLES)
    figure.get_by_role("button", name="No hole").click()
    before = pixels(figure)
    dab(figure, "ArrowLeft", "ArrowUp")
    assert "row 16, column 16: hidden" in figure.locator("[role=status]").first.text_content()
    hidden = [i for i, (now, then) in enumerate(zip(pixels(figure), before)) if now != then]
    assert hidden == [32 * row + column for row in (14, 15, 16) for column in (14, 15, 16)]
    figure.get_by_role("button", name="Fill").click()
    wait(figure)
    assert drawn(figure) == 27
    after = pixels(figure)
    assert [i for i in range(1024) if after[i] != before[i] and i not in hidden] == []
    assert "moment 27 of 27" in status(figure)
    figure.get_by_label("Moment of the filling").focus()
    page.keyboard.press("Home")
    assert {pixels(figure)[i] for i in hidden} == {(128, 128, 128)}
    page.keyboard.press("End")
    assert pixels(figure) == after
    figure.get_by_role("button", name="Fill").click()
    wait(figure)
    assert pixels(figure) == after  # the same seed, the same picture
    figure.get_by_role("button", name="Keep").click()
    assert pixels(figure) == after
    assert "Nothing is hidden" in status(figure)


@pytest.mark.slow
def test_a_hole_is_dragged_by_mouse_and_painted_by_finger(browser, play):
    context = browser.new_context(has_touch=True, viewport={"width": 390, "height": 900})
    page = context.new_page()
    page.goto(play.as_uri())
    figure = page.locator(HOLES)
    figure.get_by_role("button", name="No hole").click()
    board = figure.locator("canvas.board")
    board.scroll_into_view_if_needed()
    box = board.bounding_box()
    unit = box["width"] / 32
    page.mouse.move(box["x"] + 2.5 * unit, box["y"] + 3.5 * unit)
    page.mouse.down()
    page.mouse.move(box["x"] + 5.5 * unit, box["y"] + 4.5 * unit)
    page.mouse.up()
    assert "24 values are hidden" in status(figure)  # 4 x 2 pixels of three colours
    figure.get_by_role("button", name="Give back").click()
    page.touchscreen.tap(box["x"] + 2.5 * unit, box["y"] + 3.5 * unit)
    assert "12 values are hidden" in status(figure)
    context.close()


@pytest.mark.slow
def test_words_outside_of_the_vocabulary_are_shown_while_one_types(page):
    figure = page.locator(HOLES)
    caption = figure.get_by_label("Caption")
    caption.fill("")
    caption.press_sequentially("A large mauve sphere")
    figure.locator(".chip", has_text="sphere").wait_for()
    assert figure.locator(".chip").all_inner_texts() == ["A", "large", "mauve", "sphere"]
    assert "mauve" in figure.locator(".unknowns").inner_text()
    assert "large" not in figure.locator(".unknowns").inner_text()


@pytest.mark.slow
def test_maps_are_shown_when_they_are_asked_for(page):
    figure = page.locator(HOLES)
    assert not figure.locator(".map").is_visible()
    figure.get_by_role("button", name="How unsure?").click()
    figure.locator(".map p", has_text="Bits of doubt").wait_for()
    figure.locator(".chip").nth(3).click()
    figure.locator(".map p", has_text="is listened to").wait_for()
    figure.locator(".chip").nth(3).click()
    figure.locator(".map").wait_for(state="hidden")


@pytest.mark.slow
def test_a_run_is_paused_goes_on_and_is_stopped(page):
    figure = page.locator(HOLES)
    figure.get_by_role("button", name="Fill").click()
    page.wait_for_function("figure => figure.dataset.drawn > 0", arg=figure.element_handle())
    figure.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(300)
    paused = drawn(figure)
    page.wait_for_timeout(500)
    assert drawn(figure) == paused
    assert "Paused" in status(figure)
    figure.get_by_role("button", name="Go on").click()
    page.wait_for_function(
        "([figure, paused]) => figure.dataset.drawn > paused", arg=[figure.element_handle(), paused]
    )
    figure.get_by_role("button", name="Stop").click()
    page.wait_for_timeout(300)
    stopped = drawn(figure)
    page.wait_for_timeout(500)
    assert drawn(figure) == stopped < 768
    assert "stopped" in status(figure)


@pytest.mark.slow
def test_a_filling_is_saved_as_an_animation(page, tmp_path):
    figure = page.locator(HOLES)
    figure.get_by_role("button", name="No hole").click()
    dab(figure)
    figure.get_by_role("button", name="Fill").click()
    wait(figure)
    with page.expect_download() as saved:
        figure.get_by_role("button", name="Save").click()
    saved.value.save_as(tmp_path / "filling.png")
    with Image.open(tmp_path / "filling.png") as animation:
        assert animation.n_frames == 28
        assert animation.size == (256, 256)
        middle = []
        for frame in (0, 27):
            animation.seek(frame)
            middle.append(animation.convert("RGB").getpixel((132, 132)))
    assert middle[0] == (128, 128, 128)
    assert middle[1] == pixels(figure)[16 * 32 + 16]


@pytest.fixture(scope="module")
def writer():
    """The GRU of the page, with the weights that it has there."""
    return job.load(publications.checkpoint("11_pixel_prediction", "GRU 128"), "cpu").model


def digit(page, number=0):
    given = json.loads(page.locator(DIGITS).get_attribute("data-live"))
    return torch.tensor([[float(pixel) for pixel in given["pictures"][number]]])


@pytest.mark.slow
def test_a_digit_costs_what_torch_says_and_ink_changes_it(page, writer):
    figure = page.locator(DIGITS)

    def costs(pixels):
        wanted = float(objective.nats_per_pixel(writer, pixels)[0].sum())
        page.wait_for_function(
            "([figure, wanted]) => Math.abs(figure.dataset.nats - wanted) < 0.01 * wanted",
            arg=[figure.element_handle(), wanted],
        )

    figure.get_by_role("button", name="No hole").click()
    costs(digit(page))
    figure.get_by_role("button", name="Ink").click()
    dab(figure)
    inked = digit(page).view(28, 28)
    inked[13:16, 13:16] = 1
    costs(inked.view(1, -1))


def test_all_fillings_of_a_patch_are_weighed_as_torch_weighs_them(page, writer):
    figure = page.locator(DIGITS)
    figure.get_by_role("button", name="2 x 2").click()
    figure.get_by_role("button", name="Weigh").click()
    figure.locator(".bars li").nth(7).wait_for()
    shown = [float(text.rstrip("% ")) for text in figure.locator(".bars li").all_inner_texts()]
    missing = torch.tensor([[13 * 28 + 13, 13 * 28 + 14, 14 * 28 + 13, 14 * 28 + 14]])
    posterior = torch.softmax(-filling.filling_nlls(writer, digit(page), missing)[0], 0)
    wanted = 100 * posterior.sort(descending=True).values[:8]
    assert (torch.tensor(shown) - wanted).abs().max() < 0.3


@pytest.mark.slow
def test_a_digit_is_written_on_and_a_hole_is_filled(page):
    figure = page.locator(DIGITS)
    figure.get_by_role("button", name="Write on").click()
    wait(figure)
    assert drawn(figure) == 392
    assert len(set(pixels(figure))) == 4  # known ink and paper, drawn ink and paper
    figure.get_by_role("button", name="No hole").click()
    figure.get_by_role("button", name="Rub out").click()
    dab(figure, "ArrowUp")
    figure.get_by_role("button", name="Fill the hole").click()
    wait(figure)
    assert drawn(figure) == 9
    drawing = pixels(figure)
    page.locator(DIGITS).get_by_role("button", name="An empty page").click()
    assert pixels(figure) != drawing


def test_a_cell_does_what_the_one_of_torch_does(page):
    figure = page.locator(UNITS)
    output = lambda: float(figure.get_attribute("data-output"))  # noqa: E731
    figure.get_by_role("button", name="A GRU that no LSTM follows").click()
    inputs = 3 * torch.tensor([-1.0 if t // 20 % 2 else 1.0 for t in range(100)], dtype=torch.float64)
    unit = torch.nn.GRU(1, 1).double()
    with torch.no_grad():
        for parameter in unit.parameters():
            parameter.zero_()
        unit.weight_ih_l0[2] = 1
        assert abs(output() - float(unit(inputs.view(-1, 1, 1))[0][-1])) < 1e-9
        bias = figure.get_by_label("update gate")
        bias.fill("3")
        unit.bias_ih_l0[1] = 3
        assert abs(output() - float(unit(inputs.view(-1, 1, 1))[0][-1])) < 1e-9
    figure.get_by_role("button", name=", repaired").click()
    wave = 2 * torch.sin(torch.tensor(99 / 6, dtype=torch.float64))
    assert abs(output() - float(torch.tanh(torch.tensor(1.0)) * torch.sigmoid(wave))) < 1e-6
    assert "off by" in figure.locator(".status-line").inner_text()


def test_pictures_of_64_are_taken_only_if_they_are_asked_for(monkeypatch):
    shown = []
    monkeypatch.setattr(parts, "show", lambda given, *_: shown.append((given["model"], given["size"])))
    large = publications.checkpoint("05_sampling_orderings", "cross_entropy")
    pictures = sources.load("scenes", image_size=64, num_train=1, num_valid=2).valid
    holes.live_holes(large, pictures)
    holes.live_holes(large, pictures, size=64)
    (replaced, small), taken = shown
    assert replaced.startswith("docs/quick/")
    assert small == 32
    assert taken == (place(large), 64)


def test_a_page_says_which_model_is_gone(tmp_path):
    gone = place(tmp_path / "checkpoints" / "05_sampling_orderings" / "abc" / "checkpoint.safetensors")
    figure = f'<figure class="live" data-live=\'{{"model":"{gone}"}}\'></figure>'
    with pytest.raises(LinkError, match=f"{gone}, which is not there"):
        panels.embedded(figure, tmp_path)
    assert panels.embedded("<p>no panel</p>", tmp_path) == ("<p>no panel</p>", "")


PRESS = """([figure, name]) => {
  [...figure.querySelectorAll('button')].find(button => button.textContent === name).click();
}"""


@pytest.mark.slow
def test_a_page_begins_soon_and_answers_all_the_while(page):
    """On two free cores the first pixels come within a second; what other work delays is allowed for here."""
    figure = page.locator(HOLES)
    page.evaluate(
        """() => {
          let last = performance.now();
          window.waits = [];
          setInterval(() => { const now = performance.now(); waits.push(now - last - 10); last = now; }, 10);
        }"""
    )

    def waited():
        """How long the page was away at most, in 19 of 20 moments, milliseconds."""
        waits = sorted(page.evaluate("waits.splice(0)"))
        return waits[int(0.95 * len(waits))]

    page.wait_for_timeout(2000)
    calm = waited()
    figure.get_by_role("button", name="Fill").click()
    page.wait_for_function("figure => figure.dataset.drawn > 20", arg=figure.element_handle())
    busy, first = waited(), int(figure.get_attribute("data-first"))
    print(f"first pixels after {first} ms; the page was away for {busy:.0f} ms, without a run {calm:.0f} ms")
    assert busy < 100 + calm
    assert first < 3_000


@pytest.mark.slow
def test_two_hundred_random_holes_captions_and_settings(page):
    lot, figure = torch.Generator().manual_seed(0), page.locator(HOLES)
    draw = lambda most: int(torch.randint(most, (), generator=lot))  # noqa: E731
    words = ["A", "large", "red", "ball", "mauve", ".", "<b>", "\n", "", "Snow", "🂡", "below", "'", "sky"]
    orders = [option.get_attribute("value") for option in figure.locator("select option").all()]
    for number in range(200):
        figure.get_by_role("button", name="Picture").nth(draw(6)).click()
        figure.get_by_role("button", name="No hole").click()
        figure.get_by_label("brush").fill(str(1 + draw(4)))
        for _ in range(draw(3)):
            dab(figure, *[f"Arrow{('Left', 'Right', 'Up', 'Down')[draw(4)]}" for _ in range(draw(20))])
        figure.get_by_label("Caption").fill(" ".join(words[draw(len(words))] for _ in range(draw(9))))
        figure.get_by_label("order").select_option(orders[number % len(orders)])
        figure.get_by_label("temperature").fill(str(0.05 * draw(31)))
        figure.locator("label", has_text=re.compile("rounds|steps")).locator("input").fill(str(draw(12)))
        figure.get_by_label("seed").fill(str(draw(2**31 - 1)))
        figure.get_by_role("button", name="Fill").click()
        if number % 5 == 0:
            figure.get_by_role("button", name="Pause").click(force=True, timeout=200, no_wait_after=True)
        wait(figure) if number % 5 else figure.get_by_role("button", name="Stop").click(force=True)
        said = status(figure)
        assert "moment" in said or "topped" in said or "Nothing is hidden" in said
        assert "work" not in said
        assert "NaN" not in said
        assert all(0 <= level <= 255 for colour in pixels(figure) for level in colour)
