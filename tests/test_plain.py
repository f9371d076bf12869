"""The plain cells of the notebooks 01 to 05, copied in order into one file, are a working Orderless NADE."""

import re
from pathlib import Path

import nbformat
import pytest
import torch

from nbutils.data import sources
from nbutils.reports import series

# What every notebook contributes; the five together are the method.
NAMES = {
    "01_data_and_captions": ("orderless_mask", "square_mask"),
    "02_model": ("Net",),
    "03_losses": ("cross_entropy",),
    "04_training": ("training_step",),
    "05_sampling_orderings": ("fill_orderless",),
}
SIDE, HOLE, LEVELS, BATCH = 8, 4, 256, 8


def plain_cells():
    """The sources of the plain cells: dict from notebook to list."""
    found = {}
    for name in NAMES:
        book = nbformat.read(Path(series.NOTEBOOKS) / f"{name}.ipynb", as_version=4)
        found[name] = [cell.source for cell in book.cells if "plain" in cell.metadata.get("tags", [])]
    return found


@pytest.fixture(scope="module")
def program():
    """Everything that the plain cells define, run in an empty namespace as somebody would who copied them."""
    names = {}
    for name, cells in plain_cells().items():
        for number, cell in enumerate(cells, start=1):
            exec(compile(cell, f"{name}, plain cell {number}", "exec"), names)
    return names


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_plain_cells_are_short():
    for cells in plain_cells().values():
        for cell in cells:
            lines = cell.splitlines()
            assert len(lines) <= 12, cell
            assert max(map(len, lines)) <= 100, cell


def test_copied_together_they_are_a_program_of_less_than_150_lines():
    cells = [cell for cells in plain_cells().values() for cell in cells]
    lines = [line for cell in cells for line in cell.splitlines() if line.strip()]
    assert 0 < len(lines) < 150


def test_they_need_nothing_but_torch():
    for cells in plain_cells().values():
        for cell in cells:
            imported = re.findall(r"^\s*(?:from|import)\s+(\w+)", cell, re.MULTILINE)
            assert set(imported) <= {"torch"}, cell


@pytest.mark.parametrize("notebook", NAMES)
def test_each_notebook_gives_its_part_of_the_method(notebook, program):
    for name in NAMES[notebook]:
        assert callable(program.get(name)), f"no plain cell of {notebook} defines {name}"


@pytest.mark.parametrize(
    ("steps", "saved"),
    [
        pytest.param(60, 0.07, id="seconds"),
        pytest.param(600, 0.25, id="a_minute", marks=pytest.mark.slow),
    ],
)
def test_the_program_learns_and_fills_a_hole(program, one_thread, steps, saved):
    torch.manual_seed(0)
    pictures = sources.load("scenes", image_size=SIDE, num_train=200, num_valid=8)
    images = pictures.train.images.long()
    captions, lengths = pictures.vocabulary.encode(pictures.train.captions)
    net = program["Net"](len(pictures.vocabulary), width=32)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    losses = []
    for _ in range(steps):
        chosen = torch.randint(len(images), (BATCH,))
        known = program["orderless_mask"]((BATCH, 3, SIDE, SIDE))
        batch = images[chosen], captions[chosen], lengths[chosen], known
        losses.append(program["training_step"](net, optimizer, *batch))
    start, end = (sum(part) / 10 for part in (losses[:10], losses[-10:]))
    assert end < (1 - saved) * start

    averages = {name: value.clone() for name, value in net.named_buffers()}  # of batch normalisation
    held_out = pictures.valid.images[:1].long()
    caption, length = pictures.vocabulary.encode(pictures.valid.captions[:1])
    known = program["square_mask"](held_out.shape, HOLE, 2, 2)
    order = (~known).flatten().nonzero()[:, 0]
    order = order[torch.randperm(len(order))]
    uniforms = torch.rand(known.numel(), dtype=torch.float64)
    filled = program["fill_orderless"](net, held_out * known, known, caption, length, order, uniforms)
    assert filled.shape == held_out.shape
    assert averages
    assert all(torch.equal(value, averages[name]) for name, value in net.named_buffers())
    assert torch.equal(filled[known], held_out[known])
    inside = filled[~known]
    assert inside.min() >= 0
    assert inside.max() < LEVELS
    assert inside.float().std() > 0
