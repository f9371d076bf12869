"""The pages in a real browser, and the notebooks through the tools that people use directly."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

pytestmark = pytest.mark.slow
NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    out = tmp_path_factory.mktemp("pages")
    assert subprocess.run([sys.executable, "-m", "nbutils", "run", "--profile", "smoke", "--out", str(out)], capture_output=True).returncode == 0
    return sorted(out.glob("*.html"))


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-background-networking"])
        yield chromium
        chromium.close()


@pytest.mark.parametrize("width", [390, 768, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_ask_for_nothing_complain_of_nothing_and_fit(browser, pages, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for path in pages:
        page.goto(path.as_uri())
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path.name
    context.close()
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert complaints == []


def test_animations_pause_play_and_respect_reduced_motion(browser, pages):
    training = next(path for path in pages if path.stem == "04_training")
    page = browser.new_page()
    page.goto(training.as_uri())
    figure = page.locator("figure:has(button.pause)").first
    button = figure.locator("button.pause")
    assert figure.locator("img.moving").first.is_visible()
    assert not figure.locator("img.still").first.is_visible()
    button.focus()
    page.keyboard.press("Enter")
    assert button.text_content() == "Play"
    assert figure.locator("img.still").first.is_visible()
    assert not figure.locator("img.moving").first.is_visible()
    button.click()
    assert figure.locator("img.moving").first.is_visible()
    assert figure.locator("img.moving").first.evaluate("image => image.currentSrc").startswith("data:image/gif")
    calm = browser.new_context(reduced_motion="reduce").new_page()
    calm.goto(training.as_uri())
    assert calm.locator("img.moving").first.evaluate("image => image.currentSrc").startswith("data:image/png")


def test_code_unfolds_by_keyboard(browser, pages):
    page = browser.new_page()
    page.goto(next(path for path in pages if path.stem == "02_model").as_uri())
    details = page.locator("details.code:not([open])").first
    assert not details.locator("pre").is_visible()
    details.locator("summary").focus()
    page.keyboard.press("Enter")
    assert page.locator("details.code[open] pre").first.is_visible()


def test_notebooks_run_directly_with_papermill_and_nbconvert_from_their_folder(tmp_path):
    parameters = ["-p", "num_train", "60", "-p", "num_valid", "16", "-p", "reports", str(tmp_path)]
    command = [sys.executable, "-m", "papermill", "01_data_and_captions.ipynb", str(tmp_path / "a.ipynb"), *parameters]
    assert subprocess.run(command, cwd=NOTEBOOKS, capture_output=True).returncode == 0
    copy = tmp_path / "notebooks" / "02_model.ipynb"
    copy.parent.mkdir()
    shutil.copy(NOTEBOOKS / copy.name, copy)
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--execute", "--to", "html", copy.name]
    assert subprocess.run(command, cwd=copy.parent, capture_output=True).returncode == 0
