"""Sudokus of 4 x 4: what is counted there is what the rules of the puzzle say."""

import torch

from nbutils.data import sudoku
from nbutils.nade import likelihood, sampling


def test_there_are_288_different_grids_that_keep_the_rules():
    grids = sudoku.grids()
    assert len(grids.flatten(1).unique(dim=0)) == 288
    for grid in grids[:, 0].tolist():
        boxes = [[grid[r + i][c + j] for i in (0, 1) for j in (0, 1)] for r in (0, 2) for c in (0, 2)]
        for part in [*grid, *map(list, zip(*grid)), *boxes]:
            assert sorted(part) == [0, 1, 2, 3]


def test_a_grid_with_one_cell_changed_is_not_valid():
    grids = sudoku.grids().clone()
    grids[:, 0, 2, 1] = (grids[:, 0, 2, 1] + 1) % 4
    assert not sudoku.valid(grids).any()


def test_conditionals_are_the_shares_of_the_grids_that_agree():
    image, known = sudoku.grids()[:1], torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    known[0, 0, 0, :2] = True
    found = sudoku.exact(image, known).exp()[0, 0]
    agree = [grid for grid in sudoku.grids()[:, 0].tolist() if grid[0][:2] == image[0, 0, 0, :2].tolist()]
    for row in range(4):
        for column in range(4):
            for level in range(4):
                share = sum(grid[row][column] == level for grid in agree) / len(agree)
                assert abs(float(found[row, column, level]) - share) < 1e-12


def test_what_no_grid_has_leaves_every_level_open():
    image, known = torch.zeros(1, 1, 4, 4, dtype=torch.long), torch.ones(1, 1, 4, 4, dtype=torch.bool)
    assert torch.allclose(sudoku.exact(image, known).exp(), torch.full((1, 1, 4, 4, 4), 0.25).double())


def test_one_cell_at_a_time_every_order_draws_grids_and_finds_each_as_likely():
    image = torch.zeros(64, 1, 4, 4, dtype=torch.long)
    for strategy in ("orderless", "greedy", "antigreedy", "margin", "halton"):
        options = {"strategy": strategy, "generator": torch.Generator().manual_seed(0)}
        filled = sampling.inpaint(sudoku.exact, image, image > 0, **options).image
        assert sudoku.valid(filled).all()
    hidden = torch.zeros(288, 1, 4, 4, dtype=torch.bool)
    for ordering in ("greedy", "antigreedy", range(16)):
        nats = likelihood.hole_nll(sudoku.exact, sudoku.grids(), hidden, ordering=ordering)
        assert torch.allclose(nats, torch.tensor(288.0).double().log())
