"""The panels in a real JupyterLab: notebooks run there, sliders are moved, pictures change."""

import functools
import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from nbutils.reports import parameters, series

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
TOKEN = "panels"
MINUTES = 60_000  # of a browser's waiting
SETTINGS = {
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}'
}  # no question in front of the notebook


@pytest.fixture(scope="module")
def lab(tmp_path_factory, smoke):
    """The address of a JupyterLab, and a folder with the folder `notebooks` that it serves and with a copy of
    the series in `reports`."""
    folder = tmp_path_factory.mktemp("lab")
    environment = os.environ | {
        "NBUTILS_PANELS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
    }
    environment |= {
        name: str(folder / name)
        for name in (
            "JUPYTER_CONFIG_DIR",
            "JUPYTER_RUNTIME_DIR",
            "JUPYTERLAB_SETTINGS_DIR",
            "JUPYTERLAB_WORKSPACES_DIR",
            "IPYTHONDIR",
        )
    }
    for name, content in SETTINGS.items():
        path = folder / "JUPYTERLAB_SETTINGS_DIR" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(content)
    shutil.copytree(smoke, folder / "reports")
    (folder / "notebooks").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "jupyter",
        "lab",
        "--no-browser",
        "--allow-root",
        f"--ServerApp.root_dir={folder / 'notebooks'}",
    ]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"]
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_served(address, server, folder / "log")
        yield address, folder
    finally:
        server.terminate()  # which ends its kernels too
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()


def write_small(name, path, reports):
    """A copy, at `path`, of a notebook whose parameters are those of the profile smoke, as a reader would
    have typed them."""
    original = series.NOTEBOOKS / f"{name}.ipynb"
    values = parameters.resolve({name: original}, parameters.read_profile("smoke"), {})[name] | {
        "reports": str(reports)
    }
    book = nbformat.read(original, as_version=4)
    (cell,) = [cell for cell in book.cells if "parameters" in cell.metadata.get("tags", ())]
    cell.source = "\n".join(f"{key} = {value!r}" for key, value in values.items())
    nbformat.write(book, path)


def wait_until_served(address, server, log):
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(f"{address}/api/status?token={TOKEN}", timeout=5).close()
            return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    raise TimeoutError(log.read_text())


@pytest.fixture(scope="module")
def opened(browser, lab):
    """A function that opens a copy of a notebook with a kernel of its own, runs all cells and gives the page
    once a panel is there."""
    address, folder = lab
    context = browser.new_context(viewport={"width": 1600, "height": 1200})

    @functools.cache
    def run_all(name):
        copy = folder / "notebooks" / f"{name}.ipynb"
        write_small(name, copy, folder / "reports")
        page = context.new_page()
        page.goto(f"{address}/lab/tree/{copy.name}?token={TOKEN}&reset")
        expect(page.locator(".jp-Notebook .jp-Cell").first).to_be_visible(timeout=2 * MINUTES)
        expect(page.locator(".jp-NotebookPanel-toolbar .jp-KernelName")).to_contain_text(
            "Python 3", timeout=2 * MINUTES
        )
        expect(page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]')).to_be_attached(
            timeout=2 * MINUTES
        )  # before that nothing is run
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        expect(picture(page)).to_be_attached(timeout=5 * MINUTES)
        assert page.locator('[data-mime-type="application/vnd.jupyter.error"]').count() == 0
        picture(page).scroll_into_view_if_needed()
        expect(picture(page)).to_be_visible()
        return page

    yield run_all
    context.close()


def picture(page, number=0):
    return page.locator("img.widget-image").nth(number)


def pixels(image):
    """What a picture of a panel shows, from the address that its <img> has now."""
    content = image.evaluate(
        "async image => [...new Uint8Array(await (await fetch(image.src)).arrayBuffer())]"
    )
    return np.asarray(Image.open(io.BytesIO(bytes(content))).convert("RGB"))


def press(page, slider, key, number=0):
    """Press a key on the handle of a slider."""
    handle = (
        page.locator(".widget-slider")
        .filter(has=page.get_by_text(slider, exact=True))
        .nth(number)
        .get_by_role("slider")
    )
    handle.focus()
    handle.press(key)


def changed(image, before):
    """Wait for another <img> source than `before`, and give it and the new pixels."""
    expect(image).not_to_have_attribute("src", before, timeout=MINUTES)
    return image.get_attribute("src"), pixels(image)


def test_in_05_a_slider_moves_the_hole_and_the_picture_fills_in(opened):
    page = opened("05_sampling_orderings")
    image = picture(page)
    source, before = image.get_attribute("src"), pixels(image)
    press(page, "hole x", "ArrowRight")
    source, after = changed(image, source)
    pixel = after.shape[1] // 16
    hole, moved = ((shown == 128).all(2) for shown in (before, after))
    assert hole.any()
    assert np.array_equal(moved[:, pixel:], hole[:, :-pixel])
    page.get_by_role("button", name="Fill in").click()
    expect(page.get_by_text("variables filled in with")).to_be_visible(timeout=MINUTES)
    source, filled = changed(image, source)
    assert not (filled == 128).all(2)[moved].all()
    assert np.array_equal(filled[~moved], after[~moved])

    press(page, "frame", "Home")
    source, first = changed(image, source)
    assert np.array_equal(first, after)  # frame 0 of an ancestral run: nothing is drawn yet

    page.get_by_label("strategy", exact=True).select_option("ancestral_gibbs")
    steps = page.get_by_label("Gibbs steps", exact=True)
    steps.fill("10000")
    steps.press("Enter")
    page.get_by_role("button", name="Fill in").click()
    expect(page.get_by_text("variables known")).to_be_visible(timeout=MINUTES)
    for _ in range(3):  # while it runs
        source, _ = changed(image, source)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("stopped; draw")).to_be_visible(timeout=MINUTES)
    expect(page.get_by_role("button", name="Fill in")).to_be_enabled()


def test_in_05_hostile_captions_and_impossible_holes_are_lines_of_the_panel(opened):
    page = opened("05_sampling_orderings")
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.locator(".widget-textarea textarea").first.fill("A ball. <img src=x onerror=alert(1)>")
    expect(page.get_by_text("onerror, alert")).to_be_visible(timeout=MINUTES)
    press(page, "hole x", "End")
    alert = page.get_by_role("alert").filter(has_text="do not fit into a picture of 16 x 16")
    expect(alert).to_be_visible(timeout=MINUTES)
    press(page, "hole x", "Home")
    expect(alert).not_to_be_visible(timeout=MINUTES)
    assert dialogs == []
    assert page.locator('[data-mime-type="application/vnd.jupyter.error"]').count() == 0


def test_in_05_the_attention_follows_the_word(opened):
    page = opened("05_sampling_orderings")
    heat = picture(page, 2)
    expect(heat).to_be_attached(timeout=MINUTES)
    source, before = heat.get_attribute("src"), pixels(heat)
    page.get_by_label("word", exact=True).select_option(index=1)
    _, after = changed(heat, source)
    assert not np.array_equal(before, after)


def test_in_10_sliders_move_the_hole_and_hide_the_end_of_a_digit(opened):
    page = opened("12_exact_inpainting")
    digit, continued = picture(page, 0), picture(page, 1)
    expect(page.get_by_text("all 16 fillings weighed")).to_be_visible(timeout=MINUTES)
    source, before = digit.get_attribute("src"), pixels(digit)
    press(page, "hole y", "ArrowRight")
    _, after = changed(digit, source)
    hole, moved = ((shown == 127).all(2) for shown in (before, after))
    pixel = len(after) // 8
    assert hole.any()
    assert np.array_equal(moved[pixel:], hole[:-pixel])
    press(page, "hole size", "Home")
    expect(page.get_by_text("all 2 fillings weighed")).to_be_visible(timeout=MINUTES)
    source, before = continued.get_attribute("src"), pixels(continued)
    press(page, "hide from pixel", "PageDown")
    _, after = changed(continued, source)
    assert (after == 127).sum() > (before == 127).sum()


def test_in_15_panels_open_with_the_models_of_other_reports(opened):
    page = opened("16_play")
    page.get_by_role("button", name="Fill in").click()
    expect(page.get_by_text("variables filled in with")).to_be_visible(timeout=MINUTES)
    expect(page.get_by_text("of a pixel's attention")).to_be_visible(timeout=MINUTES)
    expect(page.get_by_text("all 16 fillings weighed")).to_be_visible(timeout=MINUTES)
