"""Parameters are checked at the door, notebooks run in order and once, and pages stand alone."""

import io
import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbconvert.filters.highlight import Highlight2HTML
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image
from typer.testing import CliRunner

from nbutils.cli import app
from nbutils.evidence import results
from nbutils.reports import parameters, series
from nbutils.reports.render import cells
from nbutils.show import animation, exercises, figures


def notebook(folder, name, *cells, needs=(), given="steps = 3\nreports = '../reports'", **facts):
    book = new_notebook(
        cells=[
            new_markdown_cell(f"# {name}\n\nAn abstract."),
            new_code_cell(given, metadata={"tags": ["parameters"]}),
        ]
    )
    book.cells += [new_code_cell(cell) for cell in cells]
    book.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "nbutils": {"needs": needs if isinstance(needs, str) else list(needs)} | facts,
    }
    nbformat.write(book, folder / f"{name}.ipynb")


@pytest.fixture
def books(tmp_path, monkeypatch):
    folder = tmp_path / "notebooks"
    (folder / "profiles").mkdir(parents=True)
    (folder / "profiles" / "quick.yaml").write_text("{}")
    monkeypatch.setattr(series, "NOTEBOOKS", folder)
    return folder


def invoke(*arguments):
    return CliRunner().invoke(app, ["run", *map(str, arguments)])


def test_notebooks_run_in_order_of_need_and_only_where_something_changed(books, without_kernels, tmp_path):
    write = (
        "from pathlib import Path\nwith open(Path(reports) / 'log', 'a') as log:\n    log.write(f'NAME "
        "{steps} ')"
    )
    notebook(books, "01_first", write.replace("NAME", "first"))
    notebook(books, "02_second", write.replace("NAME {steps}", "second"), needs=["01_first"])
    notebook(books, "03_third", "1 + 1")
    out = tmp_path / "out"
    assert invoke("02", "--out", out).exit_code == 0  # what it needs is run too
    assert (out / "log").read_text() == "first 3 second "
    again = invoke("--out", out)
    assert (out / "log").read_text() == "first 3 second "
    assert again.output.count("nothing changed") == 2
    assert (
        invoke("--out", out, "--set", "steps=4").exit_code == 0
    )  # a changed first makes the second run again
    assert (out / "log").read_text() == "first 3 second first 4 second "
    assert invoke("--out", out, "--set", "steps=4", "--force", "01").exit_code == 0
    assert (out / "log").read_text().endswith("second first 4 ")
    assert "Open " in again.output
    index = (out / "index.html").read_text()  # a run of one notebook leaves the others in the index
    assert all(f'href="{name}.html"' in index for name in ("01_first", "02_second", "03_third"))


def test_what_reads_all_others_runs_last_wherever_it_stands(books, without_kernels, tmp_path):
    write = "from pathlib import Path\nwith open(Path(reports) / 'log', 'a') as log:\n    log.write('NAME ')"
    notebook(books, "01_first", write.replace("NAME", "first"))
    notebook(books, "02_ledger", write.replace("NAME", "ledger"), needs="all others")
    notebook(books, "03_third", write.replace("NAME", "third"))
    out = tmp_path / "out"
    assert invoke("02", "--out", out).exit_code == 0
    order = (out / "log").read_text().split()
    assert (set(order[:2]), order[2]) == ({"first", "third"}, "ledger")
    assert series.others("02_ledger", out) == ["01_first", "03_third"]
    assert "02_ledger.html" in (out / "03_third.html").read_text()  # its neighbour in the series
    assert invoke("03", "--out", out, "--set", "steps=4").exit_code == 0
    assert "03_third has been run anew since" in (out / "02_ledger.html").read_text()
    notebook(books, "03_third", "raise KeyError")
    assert invoke("--out", out).exit_code == 1
    assert "needs 03_third" in (out / "index.html").read_text()


def test_a_failed_notebook_gives_a_page_with_its_traceback_and_stops_what_needs_it(
    books, without_kernels, tmp_path
):
    notebook(books, "01_first", "raise KeyError('<b>lost</b>')")
    notebook(books, "02_second", "1", needs=["01_first"])
    notebook(books, "03_third", "1")
    out = tmp_path / "out"
    result = invoke("--out", out)
    assert result.exit_code == 1
    assert "01_first: failed" in result.output
    page, index = (out / "01_first.html").read_text(), (out / "index.html").read_text()
    assert "KeyError" in page
    assert "<b>lost</b>" not in page
    assert "&lt;b&gt;lost" in index
    assert "needs 01_first" in index
    assert (out / "03_third.html").exists()
    assert not (out / "02_second.html").exists()
    notebook(books, "01_first", "1")
    assert invoke("--out", out).exit_code == 0


def test_a_page_that_failed_does_not_show_what_an_earlier_run_found(books, without_kernels, tmp_path):
    save = """from nbutils.evidence import results
from nbutils.show import figures
figures.table([{"a": 1}], "Numbers.", name="numbers")
found = results.finding("a finding of old", "table-numbers", "gain/0")
results.save(reports, "01_first", {"gain": [4.2]}, [found])"""
    notebook(books, "01_first", save)
    out = tmp_path / "out"
    assert invoke("--out", out).exit_code == 0
    pages = [out / "01_first.html", out / "index.html"]
    assert all("a finding of old" in page.read_text() for page in pages)
    notebook(books, "01_first", "raise ValueError")
    assert invoke("--out", out).exit_code == 1
    assert not any("a finding of old" in page.read_text() for page in pages)


def test_a_kernel_that_dies_and_a_cell_that_hangs_are_failures(books, tmp_path):
    notebook(books, "01_dies", "import os\nos.kill(os.getpid(), 9)")
    notebook(books, "02_hangs", "import time\ntime.sleep(600)")
    result = invoke("--out", tmp_path / "out", "--timeout", "3")
    assert result.exit_code == 1
    assert "01_dies: failed" in result.output
    assert "02_hangs: failed" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--set", "stepz=3"],
            "--set stepz: no notebook of this run has this parameter; did you mean 'steps'?",
        ),
        (["--set", "steps=many"], "01_first: steps is 'many'; expected int such as 3"),
        (["--set", "steps=true"], "01_first: steps is 'true'; expected int such as 3"),
        (["--set", "steps=0"], "01_first: steps: 0; expected at least 1"),
        (["--set", "steps"], "--set steps: expected name=value"),
        (["--set", "loss=rmse"], "loss: 'rmse'; expected one of cross_entropy, emd1, emd2"),
        (["--set", "hole_size=40"], "hole_size: a hole of 40 x 40 does not fit into pictures of 32 x 32"),
        (["--set", "data=/nowhere"], "data: '/nowhere'; expected scenes or photos"),
        (["--profile", "huge"], "profile: 'huge'; expected one of quick"),
        (["07"], "notebook: '07'; expected one of 01_first"),
    ],
)
def test_bad_parameters_are_one_line_before_any_work(books, tmp_path, arguments, message):
    notebook(
        books,
        "01_first",
        "1",
        given="steps = 3\nloss = 'emd1'\nhole_size = 16\nimage_size = 32\ndata = 'scenes'",
    )
    result = invoke("--out", tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert result.output.startswith("error: ")
    assert result.output.count("\n") == 1
    assert message in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ("01_first: {stepz: 3}", "01_first has no parameter 'stepz'"),
        ("01_fist: {steps: 3}", "no notebook '01_fist'; did you mean '01_first'"),
        ("- a", "expected a mapping"),
        ("a: [", "not readable as YAML"),
    ],
)
def test_bad_profiles_are_refused(books, tmp_path, profile, message):
    notebook(books, "01_first", "1")
    (books / "profiles" / "mine.yaml").write_text(profile)
    result = invoke("--out", tmp_path / "out", "--profile", "mine")
    assert result.exit_code == 2
    assert message in result.output


def test_a_parameters_cell_holds_literals(books):
    notebook(books, "01_first", given="steps = 1 + len('a')")
    with pytest.raises(parameters.ParameterError, match=r"has \"steps = 1 \+ len\('a'\)\""):
        parameters.declared(books / "01_first.ipynb")


def test_text_from_data_is_escaped_and_maths_becomes_mathml(books, without_kernels, tmp_path):
    notebook(
        books,
        "01_first",
        (
            "from nbutils.show import figures\nfigures.say('A caption: <script>alert(1)</script> and "
            "$x<y$, $\\\\alpha_n$')"
        ),
    )
    out = tmp_path / "out"
    assert invoke("--out", out).exit_code == 0
    page = (out / "01_first.html").read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert page.count("<math") == 2
    assert "&lt;" in page[page.index("<math") : page.index("</math>")]


def test_a_caption_stays_text_wherever_it_is_shown(books, without_kernels, tmp_path):
    caption = "<script>alert(1)</script> $x<y$ & \\u202eback"
    code = f"""import numpy as np
from nbutils.show import animation, figures
caption, pictures = {caption!r}, np.zeros((2, 3, 4, 4), np.uint8)
figures.gallery([figures.group(caption, [figures.picture_cell(pictures[0], caption, caption)])], caption)
figures.table([{{caption: caption}}], caption)
moving = animation.cell(pictures, None, caption, caption, frame_facts=[caption, caption])
animation.animations([moving], caption)"""
    notebook(books, "01_first", code)
    out = tmp_path / "out"
    assert invoke("--out", out).exit_code == 0
    page = (out / "01_first.html").read_text()
    shown = page[page.index("<figure") :]
    assert "<script>alert" not in page
    assert "<math" not in shown
    assert shown.count("$x&lt;y$") >= 8


def test_figures_and_tables_are_numbered_and_referred_to(books, without_kernels, tmp_path):
    code = """import numpy as np
from nbutils.show import figures
figures.gallery([figures.picture_cell(np.zeros((1, 2, 2)), "", "a")], "First.")
figures.gallery([figures.picture_cell(np.zeros((1, 2, 2)), "", "b")], "Second.", name="key")
figures.table([{"a": 1}], "Third.", name="numbers")
figures.say("See [figure](#figure-key) and [table](#table-numbers), or [here](#figure-key).")"""
    notebook(books, "01_first", code)
    out = tmp_path / "out"
    assert invoke("--out", out).exit_code == 0
    page = (out / "01_first.html").read_text()
    assert '<a href="#figure-key">Figure 2</a> and <a href="#table-numbers">Table 1</a>' in page
    assert 'or <a href="#figure-key">here</a>' in page
    assert (
        page.index('id="figure-key"')
        < page.index("<b>Figure 2.</b> Second.")
        < page.index('id="table-numbers"')
    )
    assert '<img src="data:image/png' in (out / "index.html").read_text()  # the figure named "key"
    notebook(
        books, "01_first", "from nbutils.show import figures\nfigures.say('See [figure](#figure-none).')"
    )
    result = invoke("--out", out)
    assert result.exit_code == 1
    assert "01_first: failed, its page cannot be rendered: a link to #figure-none" in result.output


BAD_PAGES = {
    "figure": ("See [figure](#figure-misspelt).", "a link to #figure-misspelt, which no figure, table"),
    "formula": (r"As $\nosuchthing{x}$ says.", r"formula: '\\nosuchthing{x}'"),
    "broken formula": (r"As $\frac$ says.", r"formula: '\\frac' cannot be read"),
    "javascript": (
        "[a](javascript:alert(1))",
        "the link 'javascript:alert(1)' is of a kind that no page holds",
    ),
    "javascript in capitals": ("[a](JavaScript:alert(1))", "the link 'JavaScript:alert(1)'"),
    "javascript with an entity": ("[a](javascript&colon;alert(1))", "the link 'javascript:alert(1)'"),
    "javascript by reference": ("[a][1]\n\n[1]: <javascript:alert(1)>", "the link 'javascript:alert(1)'"),
    "javascript in angles": ("<javascript:alert(1)>", "the link 'javascript:alert(1)'"),
    "data": ("[a](data:text/html,<b>x</b>)", "of a kind that no page holds"),
    "vbscript": ("[a](vbscript:x)", "the link 'vbscript:x'"),
    "remote picture": (
        "![a](https://example.org/x.png)",
        "the picture 'https://example.org/x.png' would have to be fetched",
    ),
    "remote picture without a scheme": (
        "![a](//example.org/x.png)",
        "the picture '//example.org/x.png' would have to be fetched",
    ),
    "a drawing with scripts": ("![a](data:image/svg+xml;base64,PHN2Zy8+)", "would have to be fetched"),
}


@pytest.mark.parametrize("kind", BAD_PAGES)
@pytest.mark.parametrize("place", ["abstract", "output"])
def test_a_page_that_cannot_be_rendered_is_the_failure_of_its_notebook_alone(
    books, without_kernels, tmp_path, kind, place
):
    text, reason = BAD_PAGES[kind]
    notebook(
        books,
        "01_first",
        f"from nbutils.show import figures\nfigures.say({text!r})" if place == "output" else "1",
    )
    notebook(books, "02_second", "print('all is well')")
    if place == "abstract":
        book = nbformat.read(books / "01_first.ipynb", as_version=4)
        book.cells[0].source = f"# First\n\n{text}"
        nbformat.write(book, books / "01_first.ipynb")
    result = invoke("--out", tmp_path / "out")
    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if line.startswith("01_first: failed")]
    assert reason in line
    page, other, index = (
        (tmp_path / "out" / f"{name}.html").read_text() for name in ("01_first", "02_second", "index")
    )
    assert "its page cannot be rendered" in page
    assert "all is well" in other
    assert index.count('class="status failed"') == 1
    assert invoke("--out", tmp_path / "out").exit_code == 1  # what stands there is no success either


def test_what_a_run_says_while_a_cell_runs_is_not_part_of_its_output(books, without_kernels, tmp_path):
    wait = "import time\nfor _ in range(10):\n    time.sleep(0.1)\nprint('mine')"
    notebook(books, "01_first", wait)
    notebook(books, "02_second", wait)  # which takes its turn while the run tells that the other is done
    said = invoke("--out", tmp_path / "out", "--jobs", "2").output
    for name in ("01_first", "02_second"):
        assert f"{name}: running" in said
        assert f"{name}: done" in said
        page = (tmp_path / "out" / f"{name}.html").read_text()
        assert "mine" in page
        assert ": done in" not in page


FETCHING = {
    "picture": '<p>a<img alt="b" src="https://example.org/x.png"></p>',
    "picture without a scheme": "<img src=//example.org/x.png>",
    "picture of the disk": '<img src="x.png">',
    "the second of several pictures": '<img srcset="data:,a 1x, https://example.org/x.png 2x">',
    "without a blank": '<img srcset="data:,a 1x,https://example.org/x.png 2x">',
    "a set in a style": '<p style="background: image-set(&quot;https://example.org/x.png&quot; 1x)">x</p>',
    "one of several pictures": '<img srcset="https://example.org/x.png 2x" src="data:image/png;base64,AA==">',
    "script": '<script src="https://example.org/x.js"></script>',
    "style sheet": '<link rel="stylesheet" href="https://example.org/x.css">',
    "import": "<style>@import 'https://example.org/x.css';</style>",
    "import by url": "<style>@import url(https://example.org/x.css);</style>",
    "background": '<p style="background: URL( &quot;https://example.org/x.png&quot; )">a</p>',
    "font": "<style>@font-face { src: url(/x.woff) }</style>",
    "film": '<video poster="https://example.org/x.png"></video>',
    "frame": '<iframe srcdoc="<img src=https://example.org/x.png>"></iframe>',
    "drawing": '<svg><image xlink:href="https://example.org/x.png"/></svg>',
    "refresh": '<meta http-equiv="Refresh" content="0; url=https://example.org/">',
    "link that runs": '<a href="java\nscript:alert(1)">a</a>',
}


@pytest.mark.parametrize("kind", FETCHING)
def test_html_that_a_cell_shows_makes_no_request(books, without_kernels, tmp_path, kind):
    with pytest.raises(cells.LinkError, match=r"would have to be fetched|of a kind that no page holds"):
        cells.without_requests(FETCHING[kind])
    if kind == "picture":
        code = f"from IPython.display import HTML, display\ndisplay(HTML({FETCHING[kind]!r}))"
        notebook(books, "01_first", code)
        notebook(books, "02_second", "1")
        said = invoke("--out", tmp_path / "out").output
        assert "01_first: failed, its page cannot be rendered: the img 'https://example.org/x.png'" in said
        assert "02_second: done" in said


def test_html_that_makes_no_request_is_shown_as_it_is():
    shown = (
        '<style>a { background: url(data:image/png;base64,AA==) } /* url(x.png) */</style><a href="#x">a</a>'
        '<a href="https://example.org/">b</a><svg><use href="#c"/><g fill="url(#d)"/></svg> url(x.png)'
        '<img src="data:image/gif;base64,AA==" alt="1 < 2"><script>if (a < b) fetch</script>'
    )
    assert cells.without_requests(shown) == shown


def test_an_output_may_hold_anything_that_a_page_is_made_of(books, without_kernels, tmp_path):
    marks = (
        "<!-- end --> <!-- run card --> <!-- contents --> <!-- steps --> </h1> {{ title }} {% block card %}"
    )
    notebook(
        books,
        "01_first",
        (
            "from IPython.display import HTML, "
            f"display\nprint({marks!r})\ndisplay(HTML({marks.replace('</h1>', '')!r} + '<p>still "
            "there</p>'))"
        ),
    )
    assert invoke("--out", tmp_path / "out").exit_code == 0
    page = (tmp_path / "out" / "01_first.html").read_text()
    assert page.count(marks.replace("</h1>", "")) == 1
    assert page.count("still there</p>") == 1
    assert page.count('id="parameters"') == page.count('class="contents"') == 1
    assert page.count('class="steps"') == 1
    assert page.index("</h1>") < page.index("An abstract.") < page.index('id="parameters"')


def test_ordinary_links_and_pictures_in_markdown_stand(books, without_kernels, tmp_path):
    links = (
        "[a](https://example.org/) [b](02_model.html#x) [c](#first) <https://example.org/y> "
        "![d](data:image/png;base64,iVBORw0KGgo=)"
    )
    notebook(books, "01_first", f"from nbutils.show import figures\nfigures.say({links!r})")
    assert invoke("--out", tmp_path / "out").exit_code == 0
    page = (tmp_path / "out" / "01_first.html").read_text()
    for address in (
        'href="https://example.org/"',
        'href="02_model.html#x"',
        'href="#first"',
        'href="https://example.org/y"',
        'src="data:image/png;base64,iVBORw0KGgo="',
    ):
        assert address in page


def test_a_finding_leads_to_its_figure_the_code_that_drew_it_and_its_number(books, without_kernels, tmp_path):
    code = """from nbutils.evidence import results
from nbutils.show import figures
figures.table([{"a": 1}], "First.", name="first")
found = results.finding("Gains <b>.", EVIDENCE, "gain/bits")
results.save(reports, "01_first", {"gain": {"bits": 4.2}}, [found])"""
    other = (
        "import numpy as np\nfrom nbutils.show import "
        "figures\nfigures.gallery([figures.picture_cell(np.zeros((1, 2, 2)), '', 'a')], 'A figure of "
        "that name.', name='first')"
    )
    notebook(books, "01_first", other, code.replace("EVIDENCE", "'table-first'"))
    out = tmp_path / "out"
    assert invoke("--out", out).exit_code == 0
    page = (out / "01_first.html").read_text()
    finding = re.search(r"<li>Gains &lt;b&gt;\..*?</li>", page)[0]
    assert '<a href="#table-first">Table 1</a>' in finding
    assert 'href="01_first.json" title="gain/bits: 4.2 (01_first.json)">number</a>' in finding
    drew = re.search(r'href="#(code-[^"]*)"', finding)[1]
    assert (
        re.findall(r'<details class="code mark" id="(code-[^"]*)"', page[: page.index('id="table-first"')])[
            -1
        ]
        == drew
    )
    assert 'href="01_first.html#table-first"' in (out / "index.html").read_text()
    notebook(books, "01_first", code.replace("EVIDENCE", "'table-none'"))
    assert (
        "01_first: failed, its page cannot be rendered: a finding refers to table-none"
        in invoke("--out", out).output
    )


def page_of(books, tmp_path, *sources, failing=False):
    """The page of a notebook with these cells; a cell is code or a pair of code and its tag."""
    notebook(books, "01_first", *(source if isinstance(source, str) else source[0] for source in sources))
    book = nbformat.read(books / "01_first.ipynb", as_version=4)
    for cell, source in zip(book.cells[2:], sources):
        cell.metadata["tags"] = [] if isinstance(source, str) else [source[1]]
    nbformat.write(book, books / "01_first.ipynb")
    assert invoke("--out", tmp_path / "out").exit_code == failing
    return (tmp_path / "out" / "01_first.html").read_text()


def test_cells_are_shown_or_folded_by_their_tags(books, without_kernels, tmp_path):
    shows = "from IPython.display import HTML, display\ndisplay(HTML('<i>shown</i>'))"
    tagged = [("d = 4", "plain"), ("e = 5", "check"), ("f = 6", "solution")]
    page = page_of(books, tmp_path, "a = 1", "b = 2", shows, "c = 3", *tagged)
    whole = re.sub(r"<[^>]*>", "", page)
    assert page.count('<details class="code mark"') == 3  # of the first three, of the fourth, of the check
    assert page.count('<div class="code plain"') == 1
    assert page.count('<details class="code parameters"') == 1  # as given and as the notebook has them
    assert page.count('<details class="fold solution"') == 1
    lines = ("a = 1", "b = 2", "import HTML", "c = 3", "d = 4", "e = 5", "f = 6")
    assert [whole.count(line) for line in lines] == [1] * 7


def test_what_is_printed_reaches_a_page_only_where_the_run_failed(books, without_kernels, tmp_path):
    prints = "import sys\nprint('so', 'far')\nprint('careful', 'now', file=sys.stderr)"
    page = page_of(books, tmp_path, prints)
    assert "so far" not in page
    assert "careful now" not in page
    assert "so far" in (tmp_path / "out" / "01_first.ipynb").read_text()
    assert "so far" in page_of(books, tmp_path, prints, "raise KeyError", failing=True)


def test_what_is_said_in_a_fold_is_rendered_as_all_else(books, without_kernels, tmp_path):
    said = "figures.say('As $x$ in [table](#table-a), [a](https://example.org/) <b>.', fold='Why <this>')"
    shown = "from nbutils.show import figures\nfigures.table([{'a': 1}], 'T.', 'a')\n" + said
    page = page_of(books, tmp_path, shown)
    fold = re.search(
        r'<details class="fold" id="fold-1"><summary>Why &lt;this&gt;</summary>(.*?)</details>', page, re.S
    )[1]
    assert "<math" in fold
    assert '<a href="#table-a">Table 1</a>' in fold
    assert '<a href="https://example.org/">a</a>' in fold
    assert "&lt;b&gt;" in fold
    assert "summary" not in fold
    bad = "figures.say('[a](javascript:alert(1))', fold='Why')"
    assert "its page cannot be rendered" in page_of(books, tmp_path, f"{shown}\n{bad}", failing=True)


def test_a_claim_is_referred_to_by_its_number_and_one_that_is_not_there_is_an_error(
    books, without_kernels, tmp_path
):
    state = "from nbutils.evidence import ledger\nclaims = ledger.Ledger()\nclaims.state('A04', 'A rule.')"
    refer = "from nbutils.show import figures\nfigures.say('By [claim](#claim-A04). [Claim](#claim-A04).')"
    page = page_of(books, tmp_path, state, refer)
    assert page.count('id="claim-A04"') == 1
    assert 'By <a href="#claim-A04">claim A04</a>. <a href="#claim-A04">Claim A04</a>.' in page
    page = page_of(books, tmp_path, state, refer.replace("04", "03"), failing=True)
    assert "a link to #claim-A03, which no figure, table or claim" in page


def test_terms_are_explained_at_their_first_use_and_nowhere_else():
    terms = cells.Terms()
    html = (
        '<h2>Logits</h2><p><a href="x">logits</a> <code>logits</code> Logits, logits, <math>mask</math> masks'
    )
    html += " and cross-entropy, but no unmasked thing, and no Nade.</p>"
    found = re.findall(r'<dfn class="term"[^>]* title="([^"]*)">([^<]*)', terms.explained(html))
    assert [word for _, word in found] == ["Logits", "masks", "cross-entropy"]
    assert all(sentence.endswith(".") for sentence, _ in found)
    assert "<dfn" not in terms.explained(html)
    assert list(cells.glossary()) == sorted(cells.glossary(), key=str.lower)


@pytest.fixture
def shown(monkeypatch):
    said = []
    monkeypatch.setattr(figures, "display", lambda value: said.append(value.data))
    return said


def test_a_table_shows_the_columns_it_is_asked_for_and_folds_all_of_them(shown):
    rows = [{"loss": "emd1", "bits": 0.0001234, "seconds": 12345.6, "nets": 1200}]
    figures.table(rows, "Losses.", columns=("loss", "bits"))
    first, _, fold = shown[0].partition('<details class="fold"><summary>All columns</summary>')
    assert re.findall(r'<th scope="col">(.*?)</th>', first) == ["loss", "bits"]
    assert re.findall(r'<th scope="col">(.*?)</th>', fold) == ["loss", "bits", "seconds", "nets"]
    assert re.findall(r"<td[^>]*>(.*?)</td>", fold) == ["emd1", "0.000123", "12,346", "1,200"]
    figures.table(rows, "Losses.")
    assert "<details" not in shown[1]
    with pytest.raises(ValueError, match="columns: 'bit'; expected some of 'loss', 'bits'"):
        figures.table(rows, "Losses.", columns=("loss", "bit"))


def test_an_exercise_says_what_it_thinks_of_an_answer_and_never_raises(shown):
    exercises.check(None, lambda given: given == 4, hint="Count again.")
    exercises.check(4, lambda given: given == 4, hint="Count again.")
    exercises.check(5, lambda given: given == 4, hint="Count again.")
    exercises.check("a", lambda given: given(2) == 4, hint="A *function*.")
    assert shown[:3] == ["*Not answered yet.*", "**Right.**", "**Not yet.** Count again."]
    assert "TypeError: 'str' object is not callable. A *function*." in shown[3]


def test_a_formula_that_does_not_convert_is_an_error():
    with pytest.raises(cells.FormulaError, match="nosuchthing"):
        cells.mathml(r"\nosuchthing{x} + 1")


def test_progress_bars_show_their_last_state():
    assert cells.last_lines("a 1%\ra 50%\ra 100%\nnext") == "a 100%\nnext"


def test_animations_hold_their_frames_and_stop_on_the_last():
    frames = np.random.default_rng(0).integers(0, 5, (7, 3, 8, 8)).astype(np.uint8) * 50
    with Image.open(io.BytesIO(animation.gif(frames, milliseconds=100, hold=900))) as image:
        assert image.n_frames == 7
        assert image.info["loop"] == 0
        durations = []
        for number in range(7):
            image.seek(number)
            durations.append(image.info["duration"])
            assert (
                np.abs(np.asarray(image.convert("RGB")).transpose(2, 0, 1).astype(int) - frames[number]).max()
                <= 8
            )
    assert durations == [100] * 6 + [900]


def test_results_are_read_back_and_missing_ones_say_how_to_get_them(tmp_path):
    found = results.finding("4.2 bits", "table-bits", "bits")
    results.save(tmp_path, "04_training", {"bits": 4.2}, [found])
    assert results.load(tmp_path, "04_training") == {"findings": [found], "bits": 4.2}
    with pytest.raises(KeyError, match="'bits/1' is not among the saved numbers; there is no '1'"):
        results.save(
            tmp_path, "04_training", {"bits": [4.2]}, [results.finding("4.2 bits", "table-bits", "bits/1")]
        )
    with pytest.raises(FileNotFoundError, match="run `nbutils run 05` first"):
        results.load(tmp_path, "05_x")
    with pytest.raises(ValueError, match="Out of range"):
        results.save(tmp_path, "04_training", {"bits": float("nan")}, [])
    assert json.loads(Path(tmp_path / "04_training.json").read_text())["bits"] == 4.2


def test_only_tokens_that_have_a_colour_have_a_span():
    source = 'def f(x):\n    return f"{x}" < x + 1  # one\n'
    whole = Highlight2HTML()(source)
    lighter = cells.coloured_alone(whole)
    assert re.sub("<[^>]+>", "", lighter) == re.sub("<[^>]+>", "", whole)
    assert set(re.findall(r'<span class="(\w+)">', lighter)) == {"k", "nf", "sa", "s2", "si", "mi", "c1"}
