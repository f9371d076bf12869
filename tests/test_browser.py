"""The pages in a real browser, and the notebooks through the tools that people use directly."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
AXE = Path(__file__).parents[1] / "build" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


WIDTHS = {"light": (390, 768, 1440), "dark": (1440, 768, 390)}  # axe-core sees the last of them


def faults_of(browser, paths, scheme):
    """What a browser and axe-core have against pages in a colour scheme: network requests, messages,
    horizontal scrolling at any of the widths, violations of WCAG 2.2 AA."""
    assert AXE.is_file(), f"{AXE} is missing; run the tests by `make test`, or `make browser` once"
    context = browser.new_context(color_scheme=scheme)
    page, faults = context.new_page(), []
    page.on(
        "request",
        lambda request: (
            faults.append(request.url) if not request.url.startswith(("file:", "data:")) else None
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
        found = page.evaluate("rules => axe.run({runOnly: {type: 'tag', values: rules}})", RULES)
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
        "style='color:#aaa;width:2000px'>pale</p><script>undefined_thing()</script></body></html>"
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
    ):
        assert fault in faults


def transforms(figure):
    return figure.locator(".strip > img").evaluate_all("images => images.map(image => image.style.transform)")


def test_animations_pause_play_and_are_looked_through_by_mouse_and_by_keyboard(browser, smoke):
    page = browser.new_page()
    page.goto((smoke / "05_sampling_orderings.html").as_uri())
    figure = page.locator("figure:has(button.pause)").first
    button, slider, moving, still = (
        figure.locator("button.pause"),
        figure.get_by_label("Frame"),
        figure.locator("img.moving").first,
        figure.locator(".strip").first,
    )
    assert moving.is_visible()
    assert not still.is_visible()
    button.focus()
    page.keyboard.press("Enter")
    assert button.text_content() == "Play"
    assert button.get_attribute("aria-pressed") == "true"
    assert still.is_visible()
    assert not moving.is_visible()
    button.click()
    assert moving.is_visible()
    assert moving.evaluate("image => image.currentSrc").startswith("data:image/gif")
    last = transforms(figure)
    slider.focus()
    page.keyboard.press("Home")  # to the first frame, of every animation of the figure at once
    first = transforms(figure)
    assert still.is_visible()
    assert button.text_content() == "Play"
    assert all(a != b for a, b in zip(first, last))
    assert set(first) == {"translateY(0%)"}
    assert "step 0 of" in figure.locator(".frame-facts").first.text_content()
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)
    assert transforms(figure) == last
    assert "known" in figure.locator(".frame-facts").first.text_content()


def test_readers_who_asked_for_less_motion_and_paper_get_the_last_frame(browser, smoke):
    address = (smoke / "05_sampling_orderings.html").as_uri()
    calm = browser.new_context(reduced_motion="reduce").new_page()
    calm.goto(address)
    assert calm.locator(".strip").first.is_visible()
    assert not calm.locator("img.moving").first.is_visible()
    page = browser.new_page()
    page.goto(address)
    page.emulate_media(media="print")
    assert page.locator(".strip").first.is_visible()
    assert not page.locator("button.pause").first.is_visible()


def test_code_unfolds_by_keyboard(browser, smoke):
    page = browser.new_page()
    page.goto((smoke / "02_model.html").as_uri())
    details = page.locator("details.code:not([open])").first
    assert not details.locator("pre").is_visible()
    details.locator("summary").focus()
    page.keyboard.press("Enter")
    assert page.locator("details.code[open] pre").first.is_visible()


def test_code_is_copied_by_mouse_and_by_keyboard(browser, smoke):
    page = browser.new_context(permissions=["clipboard-read", "clipboard-write"]).new_page()
    page.goto((smoke / "02_model.html").as_uri())
    for number, by_mouse in ((2, True), (3, False)):
        details = page.locator("details.code").nth(number)
        details.locator("summary").click()
        code, copy = details.locator("pre").inner_text(), details.locator(".copy")
        if by_mouse:
            copy.click()
        else:
            copy.focus()
            page.keyboard.press("Enter")
        copy.filter(has_text="Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()").strip() == code.strip() != ""


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
