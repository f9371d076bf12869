"""A finished run is published whole or not at all, holds nothing of one machine, and its small checkpoints
predict what the large ones do."""

import base64
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbformat.v4 import new_output
from PIL import Image
from test_faults import COMMAND
from test_reports import notebook
from typer.testing import CliRunner

from nbutils.cli import app
from nbutils.data import digits, scenes
from nbutils.evidence import ledger
from nbutils.nade import masks
from nbutils.nade.losses import cross_entropy
from nbutils.pixelrnn.models import pixel_nll
from nbutils.reports import publications, series
from nbutils.reports.publish import front_page, leaks, lighter, publishing
from nbutils.reports.render import pictures
from nbutils.reports.run import execution, records, runner
from nbutils.show import animation, figures
from nbutils.training import checkpoints
from nbutils.training.job import load
from nbutils.training.kept import halved, keep

ROOT = Path(__file__).parents[1]
FILLS = """import os
import numpy as np
from nbutils.evidence import results
from nbutils.show import animation, figures
from nbutils.training.job import usual

job = usual().vary(image_size=16, num_train=40, num_valid=8, hole_size=8)
job = job.vary(width=8, layers=2, readout=8, reader_size=8)
job = job.vary(steps=steps, batch_size=4, learning_rate=0.01, validate_every=steps, precision="32-true")
run = job.fit(f"{reports}/checkpoints/01_fills")
frames = [np.random.default_rng(number).integers(0, 256, (3, 3, 16, 16)) for number in range(2)]
shown = [animation.cell(part, None, "", f"Hole {number} being filled") for number, part in enumerate(frames)]
animation.animations(shown, "Two.", name="key")
found = {"bits": run.metrics[-1]["valid_bits"], "checkpoint": os.path.relpath(run.checkpoint, reports)}
said = ("It takes *some* [bits].", "A second finding.")
results.save(reports, "01_fills", found, [results.finding(text, "figure-key", "bits") for text in said])"""
READS = """import os
from pathlib import Path
import numpy as np
from nbutils.training.job import usual
from nbutils.evidence import results
from nbutils.show import figures

before = results.load(reports, "01_fills")
job = usual("predictor").vary(image_size=8, num_train=60, num_valid=20, num_test=20)
job = job.vary(hidden_size=8, num_scored=20)
job = job.vary(name="GRU", steps=steps, batch_size=8, learning_rate=100.0, validate_every=1)
job = job.vary(schedule="plateau", clip_norm=float("inf"))
run = job.fit(f"{reports}/checkpoints/02_reads")
np.save(Path(reports) / "filled.npy", np.zeros((2, 2)))
figures.say("Saved beside this page: `filled.npy`.")
figures.table([{"loss": run.metrics[-1]["valid_loss"]}], "One row.", name="losses")
results.save(reports, "02_reads", {"loss": run.metrics[-1]["valid_loss"], "choices": {"image_size": 8},
                                     "checkpoints": {"GRU": os.path.relpath(run.checkpoint, reports)}},
             [results.finding("It reads.", "table-losses", "loss")], files=["filled.npy"])"""
README = (
    f"# A project\n\nFirst, with `{front_page.BEGIN}`.\n\n{front_page.BEGIN}\n{front_page.END}\n\nLast.\n"
)


def git(repository, *arguments):
    subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@b.example", *arguments],
        cwd=repository,
        check=True,
        capture_output=True,
    )


def clone(folder):
    """A repository with this package and two notebooks, of which one fills holes and one reads digits."""
    shutil.copytree(ROOT / "nbutils", folder / "nbutils", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".gitignore", folder)
    (folder / "notebooks" / "profiles").mkdir(parents=True)
    (folder / "notebooks" / "profiles" / "quick.yaml").write_text("{}")
    (folder / "notebooks" / "profiles" / "tiny.yaml").write_text(
        "01_fills: {steps: 2}\n02_reads: {steps: 2}\n"
    )
    notebook(folder / "notebooks", "01_fills", FILLS)
    notebook(folder / "notebooks", "02_reads", READS, needs=["01_fills"])
    (folder / "README.md").write_text(README)
    (folder / "docs").mkdir()
    (folder / "docs" / "scaling.md").write_text("How to scale.\n")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "All")


def run_in(repository, out, *arguments):
    environment = os.environ | {"PYTHONPATH": str(repository)}
    command = [sys.executable, "-m", "nbutils", "run", "--profile", "tiny", "--out", str(out), *arguments]
    process = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=repository)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A repository, and a run of its notebooks far from it."""
    repository = tmp_path_factory.mktemp("repository")
    clone(repository)
    reports = tmp_path_factory.mktemp("machine") / "of-somebody" / "reports"
    run_in(repository, reports)
    return repository, reports


@pytest.fixture
def place(finished, tmp_path, monkeypatch):
    """Copies of both: the repository's folder, into which `docs` shall come, and the reports."""
    repository, reports = tmp_path / "repository", tmp_path / "reports"
    shutil.copytree(finished[0], repository)
    shutil.copytree(finished[1], reports)
    monkeypatch.setattr(series, "NOTEBOOKS", repository / "notebooks")
    return repository, reports


def publish(place, *options):
    repository, reports = place
    return CliRunner().invoke(app, ["publish", str(reports), "--to", str(repository / "docs"), *options])


def published(place):
    result = publish(place)
    assert result.exit_code == 0, result.output
    return tree(place[0])


def tree(folder):
    """What is in a folder, without git's own: dict from name to bytes."""
    every = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
    return {
        name: content
        for name, content in every.items()
        if not name.startswith((".git/", "nbutils/")) and Path(name).name != ".lock"
    }


def rewritten(reports, name, change=lambda book: None, sidecar=None, status="done", key=None):
    """A run whose notebook came out otherwise, as the run itself would have kept and rendered it."""
    record = records.recorded(reports, name)
    book = nbformat.read(reports / f"{name}.ipynb", as_version=4)
    change(book)
    outcome = execution.Outcome(
        name, status, record.outcome.seconds, error="" if status == "done" else "KeyError: 'x'"
    )
    content = json.dumps(sidecar).encode() if sidecar else (reports / f"{name}.json").read_bytes()
    rewritten = execution.Execution(outcome, (nbformat.writes(book) + "\n").encode(), content)
    records.keep(reports, key or record.key, rewritten, record.upstream)
    runner.render(reports, {}, print)


PICTURE = re.compile("data:image/(?:png|webp);base64,([A-Za-z0-9+/=]+)")


def pixels(text):
    """Sizes and RGBA values of the pictures in a page or notebook."""
    found = [
        Image.open(io.BytesIO(base64.b64decode(content))).convert("RGBA") for content in PICTURE.findall(text)
    ]
    return [(image.size, image.tobytes()) for image in found]


def say(text):
    """A change of a notebook: a cell also prints `text`."""
    return lambda book: book.cells[-1].outputs.append(new_output("stream", name="stdout", text=text))


def test_what_is_published_is_what_was_run(place):
    repository, reports = place
    files = published(place)
    for name in ("01_fills", "02_reads"):
        assert files[f"docs/{name}.json"] == (reports / f"{name}.json").read_bytes()
    for name in ("01_fills.html", "02_reads.html", "index.html", "status.html"):
        page, run = files[f"docs/{name}"].decode(), (reports / name).read_text()
        assert PICTURE.sub("", page) == PICTURE.sub("", run)
        assert pixels(page) == pixels(run)
        assert len(page) <= len(run)
    assert files["docs/filled.npy"] == (reports / "filled.npy").read_bytes()
    assert files["docs/scaling.md"] == b"How to scale.\n"
    manifest = json.loads(files["docs/published.json"])
    assert {f"docs/{name}" for name in manifest["files"]} == {
        name for name in files if name.startswith("docs/")
    } - {"docs/published.json", "docs/scaling.md"}
    for name, entry in manifest["files"].items():
        assert entry == {
            "digest": records.content_digest(files[f"docs/{name}"]),
            "bytes": len(files[f"docs/{name}"]),
        }
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True).stdout
    assert (manifest["profile"], manifest["settings"], manifest["versions"]) == (
        "tiny",
        {},
        checkpoints.versions(),
    )
    assert head.startswith(manifest["commit"])
    assert len(manifest["commit"]) >= 7
    assert set(manifest["notebooks"]) == {"01_fills", "02_reads"}


def test_published_notebooks_hold_the_last_frames_of_what_moves(place):
    files = published(place)
    for name in ("01_fills", "02_reads"):
        book, run = (
            nbformat.reads(files[f"docs/{name}.ipynb"].decode(), 4),
            nbformat.read(place[1] / f"{name}.ipynb", 4),
        )
        assert book.metadata == run.metadata
        for cell, other in zip(book.cells, run.cells, strict=True):
            assert cell.source == other.source
            moving = "".join(
                output.get("data", {}).get("text/html", "")
                for output in other.get("outputs", ())
                if "animation-" in str(output)
            )
            if not moving:
                assert cell == other
                continue
            still = next(output.data["text/html"] for output in cell.outputs if "animation-" in str(output))
            assert not re.search('image/gif|class="moving"|class="strip"|<style|<input|<button', still)
            assert still.startswith(
                '<figure id="animation-1" class="pictures animated" data-name="key"><div class="gallery"'
            )
            assert still.endswith(
                '<figcaption>Two. <a href="01_fills.html">In motion on the page.</a></figcaption></figure>'
            )
            strips = [strip for size, strip in pixels(moving) if size == (16, 48)]
            assert len(strips) == 2
            assert pixels(still) == [((16, 16), strips[0][-16 * 16 * 4 :])]
            assert still.count('<a href="01_fills.html" title="') == 1


def test_frames_that_stand_alone_move_no_gif_and_are_published_as_the_last_of_them(monkeypatch):
    shown = []
    monkeypatch.setattr(animation, "display", lambda html: shown.append(html.data))
    frames = np.zeros((3, 3, 4, 4), np.uint8) + np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1) * 100
    animation.animations([animation.cell(frames, None, "", "a hole; caption: Red.", alone=True)], "One.")
    assert "image/gif" not in shown[0]
    ((size, _),) = pixels(shown[0])
    assert size == (4, 12)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell()])
    book.cells[0].outputs = [nbformat.v4.new_output("display_data", {"text/html": shown[0]})]
    (found,) = pictures.animations(shown[0])
    assert (found["frames"], found["caption"]) == (3, "Red.")
    still = lighter.without_motion(book, "a.html").cells[0].outputs[0].data["text/html"]
    ((size, content),) = pixels(still)
    assert (size, set(content[:3])) == ((4, 4), {200})


def test_a_chart_weighs_less_and_is_the_same_pixel_for_pixel():
    rng, file = np.random.default_rng(0), io.BytesIO()
    colours = rng.integers(0, 256, (4, 4, 4), np.uint8).repeat(40, 0).repeat(40, 1)  # with an alpha channel
    Image.fromarray(colours).save(file, "PNG", compress_level=0)
    text = (
        f'<p>data:</p><img src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}" '
        'alt="A chart">'
    )
    light = lighter.pictures(text)
    assert "image/webp" in light
    assert len(light) < len(text) / 10
    assert pixels(light) == pixels(text)


def test_a_run_tells_nothing_of_the_machine(finished):
    repository, reports = finished
    for path in [*reports.glob("*.html"), *reports.glob("*.ipynb"), *reports.glob("*.json")]:
        text = path.read_text()
        assert "of-somebody" not in text
        assert str(repository) not in text
    assert 'reports = "../reports"' in (reports / "01_fills.ipynb").read_text().replace('\\"', '"')


def test_other_settings_than_the_profile_s_are_told(place):
    rewritten(place[1], "01_fills", lambda book: book.metadata.nbutils.parameters.update(steps=5))
    published(place)
    manifest = json.loads((place[0] / "docs" / "published.json").read_text())
    assert (manifest["profile"], manifest["settings"]) == ("tiny", {"01_fills": {"steps": 5}})


def test_twice_gives_the_same_bytes_and_touches_nothing(place):
    first = published(place)
    stamps = {
        path: path.stat().st_mtime_ns
        for path in (place[0] / "docs").rglob("*")
        if path.is_file() and path.name != ".lock"
    }
    again = publish(place)
    assert "nothing changed" in again.output
    assert tree(place[0]) == first
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    shutil.rmtree(place[0] / "docs")  # and elsewhere too
    del first["docs/scaling.md"]
    assert published(place) == first


def of_digits(path):
    """What pixels cost under a model of digits, nats."""
    pixels = digits.binarise(
        digits.load("embedded", image_size=8, num_train=60, num_valid=20, num_test=20).test
    )
    with torch.no_grad():
        return pixel_nll(load(path).model, pixels)


def of_scenes(path):
    """What hidden variables cost under a model of pictures, nats."""
    model, vocabulary = load(path)
    image = torch.stack([torch.from_numpy(scenes.draw(index, size=16)) for index in range(4)]).long()
    known = masks.square(image.shape, size=8, central=True)
    with torch.no_grad():
        return cross_entropy(model(image, known, *vocabulary.encode([["A red ball."]] * 4)), image)[~known]


@pytest.mark.parametrize(
    ("name", "model", "predictions"), [("01_fills", None, of_scenes), ("02_reads", "GRU", of_digits)]
)
def test_a_published_checkpoint_predicts_what_the_whole_one_does(place, name, model, predictions):
    published(place)
    small = publications.checkpoint(name, model)
    large = place[1] / small.relative_to(place[0] / "docs")  # at the same place
    assert small.stat().st_size < large.stat().st_size / 3
    tensors, description = checkpoints.load(small)
    _, whole = checkpoints.load(large)
    assert all(key.startswith("model.") and tensor.dtype != torch.float32 for key, tensor in tensors.items())
    assert description["progress"]["metrics"] == whole["progress"]["metrics"]
    assert description["progress"]["step"] == 2
    for key in ("config", "model", "data", "settings", "versions"):
        assert description[key] == whole[key]
    assert description["made_from"] == whole["digest"]
    kept = checkpoints.load(large)[0]
    best = checkpoints.part(kept, "best")  # of the digits' model, which gets worse at its second step
    assert bool(best) == (model == "GRU")
    assert not any(torch.equal(tensor, kept[f"model.{key}"]) for key, tensor in best.items())
    rounded, exact = predictions(small), predictions(large)
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(
        rounded, exact, atol=0.01, rtol=0.005
    )  # nats; weights have eleven binary digits


def test_a_model_is_found_by_the_name_of_its_notebook(place, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"docs: nothing is published there yet; `nbutils publish`"):
        publications.checkpoint("01_fills")
    published(place)
    saved = json.loads((place[1] / "02_reads.json").read_text())
    assert publications.checkpoint("02_reads", "GRU") == place[0] / "docs" / saved["checkpoints"]["GRU"]
    with pytest.raises(ValueError, match="model: 'LSTM'; expected what 02_reads has published: GRU"):
        publications.checkpoint("02_reads", "LSTM")
    monkeypatch.setattr(series, "NOTEBOOKS", place[0] / "site-packages" / "notebooks")
    with pytest.raises(
        FileNotFoundError, match="installed without its repository, where the published models are; clone it"
    ):
        publications.checkpoint("01_fills")


def test_the_readme_shows_what_was_found(place):
    result = publish(place)
    readme = (place[0] / "README.md").read_text()
    before, shown, after = re.split("\n<!-- /?published -->\n", readme)
    assert before + after == "# A project\n\nFirst, with `<!-- published -->`.\n\nLast.\n"
    assert "It takes \\*some\\* \\[bits\\]. ([report 01](docs/01_fills.html#figure-key))" in shown
    assert "It reads." in shown
    assert "A second finding" not in shown
    assert "1: Hole 0 being filled 2: Hole 1 being filled](docs/01_fills.gif)" in shown
    for link in re.findall(r"\]\(([^) #]*)", shown):
        assert (place[0] / link).exists()
    with Image.open(io.BytesIO((place[0] / "docs" / "01_fills.gif").read_bytes())) as image:
        assert (image.n_frames, image.size) == (3, (328, 160))
    assert "the published findings stand there" in result.output
    (place[0] / "README.md").write_text(
        readme.replace("It reads.", "It read once.").replace("Last.", "The very last.")
    )
    assert published(place)["README.md"].decode() == readme.replace("Last.", "The very last.")


def test_the_most_telling_notebooks_come_first_and_the_table_has_what_each_says(tmp_path):
    notebook(tmp_path, "01_first", "1", about="what is first")
    notebook(tmp_path, "02_second", "1", about="what is second", telling=2)
    notebook(tmp_path, "03_third", "1", about="what is third", telling=1)
    paths = {path.stem: path for path in sorted(tmp_path.glob("*.ipynb"))}
    assert front_page.most_telling_first(paths) == ["03_third", "02_second", "01_first"]
    assert "| `02_second` | what is second |" in front_page.table(paths).split("\n")


def test_the_table_of_the_readme_is_written_too(place):
    marked = README + f"\n{front_page.TABLE}\n{front_page.TABLE_END}\n"
    (place[0] / "README.md").write_text(marked)
    readme = published(place)["README.md"].decode()
    assert f"{front_page.TABLE}\n| notebook |" in readme
    assert "| `01_fills` | " in readme
    assert readme.endswith(f"|\n{front_page.TABLE_END}\n")


def test_a_readme_without_markers_is_left_as_it_is(place):
    (place[0] / "README.md").write_text("Nothing.\n")
    result = publish(place)
    assert result.exit_code == 0
    assert "left as it is" in result.output
    assert (place[0] / "README.md").read_text() == "Nothing.\n"


def test_this_project_s_own_readme_has_a_place_for_it():
    readme = (ROOT / "README.md").read_text()
    assert front_page.with_block(readme, "Found.") != readme


def another_run(reports):
    """The run of a later day: another page, and a model less."""
    sidecar = json.loads((reports / "02_reads.json").read_text())
    fewer = {key: value for key, value in sidecar.items() if key not in ("checkpoints", "files")}
    rewritten(reports, "02_reads", say("later"), fewer)
    (reports / "filled.npy").unlink()


def test_what_is_no_longer_part_is_removed_and_what_is_others_stays(place):
    before = published(place)
    note = place[0] / "docs" / "checkpoints" / "note.md"
    note.write_text("Mine.")
    another_run(place[1])
    after = published(place)
    assert sorted(name.split("/")[1] for name in set(before) - set(after)) == ["checkpoints", "filled.npy"]
    assert not (place[0] / "docs" / "checkpoints" / "02_reads").exists()
    assert note.read_text() == "Mine."
    assert after["docs/scaling.md"] == before["docs/scaling.md"]


def test_a_part_of_the_series_is_published_beside_what_stands(place, tmp_path):
    repository, _ = place
    before = published(place)
    part = tmp_path / "part"
    run_in(repository, part, "01", "--set", "steps=3")
    refused = publish((repository, part))
    assert (refused.exit_code, refused.output.count("\n")) == (2, 1)
    assert "02_reads: not run; only a run with every notebook done is published" in refused.output
    result = publish((repository, part), "--part")
    assert result.exit_code == 0, result.output
    after = tree(repository)
    stay = {name for name in before if "02_reads" in name or name in ("docs/filled.npy", "docs/scaling.md")}
    assert {f"docs/02_reads{end}" for end in (".html", ".ipynb", ".json")} < stay
    assert all(after[name] == before[name] for name in stay)
    assert json.loads(after["docs/01_fills.ipynb"])["metadata"]["nbutils"]["parameters"]["steps"] == 3
    models = [[name for name in found if "checkpoints/01_fills" in name] for found in (before, after)]
    assert [len(names) for names in models] == [1, 1]
    assert models[0] != models[1]
    manifest = json.loads(after["docs/published.json"])
    assert list(manifest["notebooks"]) == ["01_fills", "02_reads"]
    index = after["docs/index.html"].decode()
    assert 'href="01_fills.html"' in index
    assert 'href="02_reads.html"' in index
    assert 'href="02_reads.html"' in after["docs/01_fills.html"].decode()
    assert "In motion on the page" in after["docs/01_fills.ipynb"].decode()
    again = publish((repository, part), "--part")
    assert "nothing changed" in again.output


def test_a_part_without_animations_leaves_those_of_the_others_in_the_readme(place):
    repository, reports = place
    before = published(place)
    for path in [*reports.glob("01_fills.*"), reports / ".01_fills.run.json"]:
        path.unlink()
    runner.render(reports, {}, print)  # as a run of 02 alone makes its page
    result = publish(place, "--part")
    assert result.exit_code == 0, result.output
    after = tree(repository)
    assert "Hole 1 being filled](docs/01_fills.gif)" in after["README.md"].decode()
    assert all(after[name] == before[name] for name in ("README.md", "docs/01_fills.gif"))


def test_a_part_is_published_where_nothing_stands(place, tmp_path):
    repository, _ = place
    run_in(repository, tmp_path / "part", "01")
    result = publish((repository, tmp_path / "part"), "--part")
    assert result.exit_code == 0, result.output
    after = tree(repository)
    assert list(json.loads(after["docs/published.json"])["notebooks"]) == ["01_fills"]
    assert "02_reads" not in after["docs/index.html"].decode()


def test_a_publication_that_was_stopped_is_taken_up_by_the_next(place, monkeypatch):
    published(place)
    another_run(place[1])
    wanted = published(place)
    shutil.rmtree(place[0] / "docs" / "checkpoints")
    for name in ("02_reads.html", "index.html", "published.json"):
        (place[0] / "docs" / name).unlink()
    assert published(place) == wanted


MACHINES = [
    "/home/somebody/data",
    "see /tmp/x/y.py:3",
    "file:///data",
    r"C:\Users\somebody",
    "../../elsewhere",
    "10.1.2.3",
    "node7.cluster.internal",
    socket.gethostname(),
]
NO_MACHINES = [
    "and/or",
    "a / b",
    "https://example.org/a/b",
    "1/2",
    "</td></tr>",
    "f'{reports}/checkpoints/04'",
    "../reports",
    "127.0.0.1",
    "version 2.13.0",
    "A" * 200 + "/ab/cd",
]


@pytest.mark.parametrize("text", MACHINES)
def test_a_place_or_name_of_a_machine_is_found(text):
    assert leaks.of_machine(json.dumps({"a": [1, text]}).encode())
    assert leaks.of_machine(json.dumps({text: 1}).encode())


@pytest.mark.parametrize("text", NO_MACHINES)
def test_what_is_no_place_of_a_machine_is_let_through(text):
    assert not leaks.of_machine(json.dumps({"a": [1, text]}).encode())


def test_warnings_stand_neither_on_a_page_nor_in_the_published_notebook(place):
    text = "/opt/env/lib/python3.11/site-packages/lib/pool.py:3: UserWarning: a worker grew"
    warning, log = new_output("stream", name="stderr", text=text), new_output("stream", text="a log")
    rewritten(place[1], "01_fills", lambda book: book.cells[-1].outputs.extend([warning, log]))
    files = published(place)
    for name in ("01_fills.ipynb", "01_fills.html"):
        assert "a worker grew" not in files[f"docs/{name}"].decode()
    book = nbformat.reads(files["docs/01_fills.ipynb"].decode(), as_version=4)
    assert book.cells[-1].outputs[-1] == log


def test_a_machine_with_an_ordinary_name_does_not_stop_its_reports():
    name = socket.gethostname()
    assert not leaks.of_machine(json.dumps([f"The {name}."]).encode(), f"We speak of the {name} anyway.")
    assert leaks.of_machine(json.dumps([f"The {name}."]).encode(), f"We speak of {name}ers.")


def no_run(repository, reports):
    shutil.rmtree(reports)
    reports.mkdir()
    return "is not the folder of a run; give the folder that `nbutils run` wrote to"


def one_failed(repository, reports):
    rewritten(reports, "02_reads", status="failed")
    return "02_reads: failed, KeyError: 'x'; only a run with every notebook done is published"


def one_not_run(repository, reports):
    notebook(repository / "notebooks", "03_new", "1 + 1")
    return "03_new: not run; only a run with every notebook done is published"


def upstream_run_anew(repository, reports):
    rewritten(reports, "01_fills", key="another")
    return "02_reads is out of date: 01_fills has been run anew since; run the series again"


def damaged_results(repository, reports):
    (reports / "01_fills.json").write_text("{}")
    return "01_fills: 01_fills.json is not as it was written; run it again"


def page_altered(repository, reports):
    (reports / "01_fills.html").write_text(
        (reports / "01_fills.html").read_text().replace("An abstract", "A boast")
    )
    return "01_fills.html: is missing, or not what this version makes of its notebook"


def page_of_an_earlier_run(repository, reports):
    """As a run leaves it that was killed before it rendered."""
    old = (reports / "01_fills.html").read_bytes()
    newer = new_output("display_data", data={"text/markdown": "newer"})
    rewritten(reports, "01_fills", lambda book: book.cells[-1].outputs.append(newer))
    (reports / "01_fills.html").write_bytes(old)
    return "01_fills.html: is missing, or not what this version makes of its notebook"


def uncommitted(repository, reports):
    rewritten(reports, "01_fills", lambda book: book.metadata.nbutils.update(commit="abc1234-dirty"))
    return "01_fills: was made by abc1234-dirty; commit the changes and run the series again"


def place_in_a_notebook(repository, reports):
    rewritten(reports, "01_fills", say("/usr/lib/python3.11/site.py:3: UserWarning"))
    return "01_fills.ipynb: holds '/usr/lib/python3.11/site.py', a place or a name of one machine"


def place_in_results(repository, reports):
    rewritten(
        reports,
        "02_reads",
        sidecar=json.loads((reports / "02_reads.json").read_text()) | {"where": "/home/somebody/data"},
    )
    return "02_reads.json: holds '/home/somebody/data', a place or a name of one machine"


def host_in_claims(repository, reports):
    (reports / "claims.json").write_text(
        json.dumps([{"id": "A01", "measured": f"on {socket.gethostname()}"}])
    )
    return f"claims.json: holds {socket.gethostname()!r}, a place or a name of one machine"


def broken_claims(repository, reports):
    (reports / "claims.json").write_text("[{")
    return "claims.json: is not JSON"


def checkpoint_missing(repository, reports):
    shutil.rmtree(reports / "checkpoints" / "01_fills")
    return "checkpoint.safetensors is missing; run it again"


def checkpoint_cut(repository, reports):
    (path,) = (reports / "checkpoints" / "01_fills").rglob("checkpoint.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    return "checkpoint.safetensors: not a checkpoint, or cut short"


def foreign_file(repository, reports):
    (repository / "docs" / "index.html").write_text("Mine.")
    return "docs/index.html: was not published by `nbutils publish` and would be lost"


def foreign_folder(repository, reports):
    (repository / "docs" / "checkpoints").symlink_to(reports)
    return "docs/checkpoints: is not a folder of its own"


def foreign_manifest(repository, reports):
    (repository / "docs" / "published.json").write_text('{"files": {"../README.md": {}}}')
    return "docs/published.json: is not the record of a publication"


def markers_twice(repository, reports):
    (repository / "README.md").write_text(README + README)
    return (
        "README.md: has not just one line <!-- published --> and after it one line <!-- /published -->; "
        "correct them"
    )


def too_much_in_all(repository, reports):
    with open(repository / "docs" / "film", "wb") as file:
        file.truncate(45_000_000)
    return "and may have 45, of which others' files take 45.0"


REFUSED = (
    no_run,
    one_failed,
    one_not_run,
    upstream_run_anew,
    damaged_results,
    page_altered,
    page_of_an_earlier_run,
    uncommitted,
    place_in_a_notebook,
    place_in_results,
    host_in_claims,
    broken_claims,
    checkpoint_missing,
    checkpoint_cut,
    foreign_file,
    foreign_folder,
    foreign_manifest,
    markers_twice,
    too_much_in_all,
)


def refused(place, message):
    before = tree(place[0])
    result = publish(place)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.output.count("\n") == 1
    assert tree(place[0]) == before
    assert not (place[0] / "docs" / ".lock").exists()


@pytest.mark.parametrize("harm", REFUSED, ids=lambda harm: harm.__name__)
def test_what_must_not_be_published_is_one_line_and_nothing_is_written(place, harm):
    refused(place, harm(*place))


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("LARGEST_PAGE", "01_fills.html: has 0.1 MB, and a page may have 0"),
        ("LARGEST_CHECKPOINTS", "checkpoints: have 0.1 MB in half precision, and may have 0"),
    ],
)
def test_pages_and_checkpoints_that_are_too_large_are_refused(place, monkeypatch, limit, message):
    assert (publishing.LARGEST, publishing.LARGEST_PAGE, publishing.LARGEST_CHECKPOINTS) == (
        45_000_000,
        12_000_000,
        20_000_000,
    )
    monkeypatch.setattr(publishing, limit, 1000)
    refused(place, message)


FULL = """mount -t tmpfs -o size=2m tmpfs "$2/docs"
head -c 10m /dev/zero > "$2/docs/filler"
"$0" -c "$1" "$2/notebooks" publish "$3" --to "$2/docs" > "$4/output" 2> "$4/errors"; echo $? > "$4/code"
rm "$2/docs/filler"
exec "$0" -c "$1" "$2/notebooks" publish "$3" --to "$2/docs"
"""


@pytest.mark.slow
def test_on_a_full_disk_a_publication_stops_in_one_line_and_goes_on_when_there_is_space(place, tmp_path):
    if sys.platform != "linux":
        pytest.skip("only Linux lets a user mount a disk of their own")
    command = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        FULL,
        sys.executable,
        COMMAND,
        *place,
        tmp_path,
    ]
    last = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert (tmp_path / "code").read_text() == "2\n"
    assert re.fullmatch(
        r"error: \[Errno 28\] \S+ could not be written \(No space left on device\); .*\n",
        (tmp_path / "errors").read_text(),
    )
    assert last.returncode == 0, last.stderr
    assert "2 reports" in last.stdout


@pytest.mark.slow
def test_committed_later_what_was_run_gets_its_commit_and_is_not_run_again(finished, tmp_path):
    repository, reports = tmp_path / "repository", tmp_path / "reports"
    shutil.copytree(finished[0], repository)
    (repository / "notebooks" / "02_reads.ipynb").unlink()
    (repository / "notebooks" / "profiles" / "tiny.yaml").write_text("{}")
    notebook(repository / "notebooks", "01_fills", "1 + 1")
    run_in(repository, reports)
    assert nbformat.read(reports / "01_fills.ipynb", 4).metadata.nbutils.commit.endswith("-dirty")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "More")
    (repository / "README.md").write_text("What notebooks do not depend on.\n")
    assert "01_fills: done, nothing changed" in run_in(repository, reports)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True).stdout
    card = nbformat.read(reports / "01_fills.ipynb", 4).metadata.nbutils
    assert head.startswith(card.commit)
    assert f"<dd>{card.commit}</dd>" in (reports / "01_fills.html").read_text()
    assert records.recorded(reports, "01_fills").outcome.status == "done"


def test_the_models_of_one_notebook_are_published_for_others_to_take(place, tmp_path):
    before, docs = tree(place[0]), place[0] / "docs"
    with pytest.raises(
        ValueError, match="no models are published for image_size = 8; there are some for nothing"
    ):
        publications.take(tmp_path / "taken", "02_reads", image_size=8)
    result = CliRunner().invoke(
        app, ["publish", str(place[1]), "--models", "02", "--to", str(docs / "quick")]
    )
    assert result.exit_code == 0, result.output
    small = json.loads((docs / "quick" / "02_reads.json").read_text())["checkpoints"]["GRU"]
    added = {f"docs/quick/{name}" for name in ("02_reads.json", "published.json", small)}
    assert tree(place[0]).keys() - before.keys() == added
    assert {name: content for name, content in tree(place[0]).items() if name not in added} == before
    taken = publications.take(tmp_path / "taken", "02_reads", image_size=8)
    assert taken == {"GRU": tmp_path / "taken" / small}
    assert taken["GRU"].read_bytes() == (docs / "quick" / small).read_bytes()
    assert publications.fitting("02_reads", image_size=9) is None
    with pytest.raises(
        ValueError, match="for image_size = 9; there are some for image_size = 8; take those values, or train"
    ):
        publications.take(tmp_path / "taken", "02_reads", image_size=9)


def test_models_are_those_of_this_run_where_it_has_been_run_and_otherwise_the_published_ones(place, tmp_path):
    published(place)
    docs, reports = place[0] / "docs", place[1]
    both = ("01_fills", "02_reads")
    assert publications.place(reports, "auto", *both) == reports
    assert publications.place(reports, "published", *both) == docs
    assert publications.place(tmp_path, "auto", *both) == docs
    assert publications.place(tmp_path, "trained", *both) == tmp_path
    assert publications.place(reports, "auto", "01_fills", "03_more") == docs


def test_a_model_of_photographs_is_a_kept_one_of_the_size_of_the_published_gallery(place):
    docs = place[0] / "docs"
    assert publications.of_photographs() is None
    saved = json.loads((place[1] / "01_fills.json").read_text())
    path = keep(place[1] / saved["checkpoint"], docs / "trained", "a", commit="1234567", processor="one core")
    choices = {"data": "photos", "image_size": checkpoints.description(path)["config"]["image_size"]}

    def publish_gallery(folder, **changed):
        (docs / folder).mkdir(parents=True, exist_ok=True)
        (docs / folder / publications.MANIFEST).write_text("{}")
        (docs / folder / "17_gallery.json").write_text(json.dumps({"choices": choices | changed}))

    publish_gallery("quick", data="scenes")
    publish_gallery("others")
    assert publications.of_photographs() is None  # the kept one is of scenes
    tensors, description = checkpoints.load(path)
    photographs = path.with_stem("photographs")
    photographs.write_bytes(halved(tensors, description | {"augmentation": "mirrored"}))
    assert publications.of_photographs() == (photographs, choices)
    assert len(publications.digests()) == 3  # on which results depend
    publish_gallery("others", image_size=128)
    assert publications.of_photographs() is None


def test_results_depend_on_the_published_weights_that_they_may_take(place):
    path = place[0] / "notebooks" / "02_reads.ipynb"
    keys = {
        choice: records.cache_key(path, {"checkpoint": choice}, [])
        for choice in ("trained", "auto", "published")
    }
    published(place)
    for choice, key in keys.items():
        assert (records.cache_key(path, {"checkpoint": choice}, []) == key) == (choice == "trained")


def test_what_the_published_run_found_is_quoted_where_it_was_larger(place, monkeypatch, tmp_path):
    said = []
    monkeypatch.setattr(figures, "say", said.append)
    publications.quote(place[1], "01_fills", steps=1)
    assert not said  # nothing is published
    published(place)
    publications.quote(place[1], "01_fills", steps=2)
    assert not said
    publications.quote(place[0] / "reports", "01_fills", steps=1)
    publications.quote(tmp_path / "elsewhere" / "reports", "01_fills", steps=1)
    assert all("profile `tiny`" in text and "It takes \\*some\\* \\[bits\\]." in text for text in said)
    assert "(../docs/01_fills.html#figure-key)" in said[0]
    assert "](" not in said[1]


def test_what_the_published_run_decided_is_told_of_claims_left_undecided(place, monkeypatch):
    said = []
    monkeypatch.setattr(figures, "say", lambda text, fold=None: said.append(text))
    docs = place[0] / "docs"
    verdicts = {"A01": "refuted", "A02": "undecided", "A03": "supported"}
    entries = [
        {"id": name, "verdict": verdict, "notebook": "01_fills", "evidence": "figure-key"}
        | {"history": ledger.CLAIMS[name].history}
        for name, verdict in verdicts.items()
    ]
    (docs / "claims.json").write_text(json.dumps(entries))
    publications.quote_verdicts(place[0] / "reports", [entry | {"verdict": "supported"} for entry in entries])
    assert not said
    publications.quote_verdicts(
        place[0] / "reports", [entry | {"verdict": "undecided"} for entry in entries[:2]]
    )
    assert said == [
        "Of what stays undecided here, the published run decided 1.",
        "A01 *refuted* ([published report 01](../docs/01_fills.html#figure-key)).",
    ]
    (docs / "claims.json").write_text(json.dumps([entries[0] | {"history": "Otherwise."}]))
    publications.quote_verdicts(place[0] / "reports", [entries[0] | {"verdict": "undecided"}])
    assert said[-1].startswith("A01 *refuted*, by a rule that has changed since (")


def test_a_link_to_a_place_that_another_page_lacks_is_told():
    first = b'<a href="b.html#there">1</a> <a href="b.html#gone">2</a> <a href="https://c.html#far">3</a>'
    files = {"a.html": first, "b.html": b'<p id="there"></p> <a href="a.html#x">4</a>', "c.md": b"#x"}
    assert publishing._leading_nowhere(files) == [("a.html", "b.html#gone"), ("b.html", "a.html#x")]
