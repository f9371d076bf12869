"""A training of an inpainter written down: everything it depends on under one roof, for the command line and
for searches."""

import csv
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import joblib
import yaml
from tqdm import tqdm

from .. import devices
from ..data import sources
from ..files import write_text
from ..nade.objective import InpaintingTask
from ..processes import side_by_side
from . import inpainters
from .loop import TrainingSettings

_CONFIG = (
    "image_size",
    "width",
    "layers",
    "kernel_size",
    "kind",
    "readout",
    "reader_size",
    "reader_kernel",
    "bidirectional",
    "reader_normalize",
    "merger",
    "merger_planes",
)
_TASK = ("mask", "hole_size", "loss", "weighting", "optimize_given", "caption_dropout", "scored_variables")
_SETTINGS = (
    "steps",
    "batch_size",
    "micro_batches",
    "learning_rate",
    "schedule",
    "precision",
    "validate_every",
    "checkpoint_every",
    "seed",
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What an inpainter is trained on and how; names and meanings are those of notebook 04, the defaults its
    quick profile.

    `num_merges`: how many layers merge the caption, spread evenly from the first to the last.
    `micro_batches`: see `TrainingSettings`.
    """

    data: str = "scenes"
    image_size: int = 32
    hole_size: int = 16
    num_train: int = 6000
    num_valid: int = 96
    width: int = 48
    layers: int = 5
    kernel_size: int = 3
    kind: str = "dilated_residual"
    readout: int = 256
    reader_size: int = 48
    reader_kernel: int = 3
    bidirectional: bool = True
    reader_normalize: bool = False
    merger: str = "attention"
    num_merges: int = 3
    merger_planes: int = 16
    mask: str = "orderless_in_square"
    loss: str = "cross_entropy"
    weighting: str = "ordering_weighted"
    optimize_given: bool = False
    caption_dropout: float = 0.1
    scored_variables: int = 192
    batch_size: int = 8
    micro_batches: int = 1
    steps: int = 1250
    learning_rate: float = 0.008
    schedule: str = "cosine"
    precision: str = "auto"
    validate_every: int = 250
    checkpoint_every: int = 500
    seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "precision", devices.resolved(self.precision))

    def fit(self, folder, splits=None, name="inpainter", change=None):
        """Train, go on with or take up the training of this recipe.

        Args:
            folder: where trainings live, see `training.train`.
            splits: what `load` gives, for a caller that trains several recipes on the same pictures.
            change: called with the InpaintingTask, gives the one to train on instead; its `choices` have to
                tell the two apart.
        Returns:
            the model in evaluation mode, and the TrainingRun.
        Raises:
            ValueError: an impossible value, named; and as `training.train`.
        """
        values = asdict(self)
        splits = splits or self.load()
        pictures, held_out = inpainters.encode(splits)
        config = {key: values[key] for key in _CONFIG} | {
            "embedding_size": self.reader_size,
            "merge_layers": spread(self.num_merges, self.layers),
        }
        task = InpaintingTask(
            pictures=pictures,
            held_out=held_out,
            augment=inpainters.augmentation(splits),
            **{key: values[key] for key in _TASK},
        )
        task = change(task) if change else task
        return inpainters.fit(
            name,
            splits,
            folder,
            config=config,
            task=task,
            settings=TrainingSettings(**{key: values[key] for key in _SETTINGS}),
        )

    @property
    def pictures(self):
        """What the pictures depend on, equal for recipes on the same ones: data, image_size, num_train,
        num_valid, seed."""
        return self.data, self.image_size, self.num_train, self.num_valid, self.seed

    def load(self):
        """The pictures, `sources.Splits`."""
        return sources.load(
            self.data,
            image_size=self.image_size,
            num_train=self.num_train,
            num_valid=self.num_valid,
            seed=self.seed,
        )


def fit_all(recipes, folder, change=None):
    """`Recipe.fit` several: on a CPU as many at a time as there are cores, one thread each.

    Args:
        recipes: list of Recipe, on pictures that are read or drawn once.
        folder, change: as in `Recipe.fit`.
    Returns:
        list of TrainingRun, in the order of the recipes.
    """
    splits = {
        pictures: recipe.load()
        for pictures, recipe in {recipe.pictures: recipe for recipe in recipes}.items()
    }
    calls = [
        (number, recipe, folder, splits[recipe.pictures], change) for number, recipe in enumerate(recipes)
    ]
    finished = (
        (_numbered(*call) for call in calls)
        if devices.default().type != "cpu"
        else side_by_side(_numbered, calls, min(len(calls), joblib.cpu_count()))
    )
    found = dict(tqdm(finished, total=len(calls), desc="trainings", file=sys.stdout, ncols=84))
    return [found[number] for number in range(len(calls))]


def _numbered(number, recipe, folder, splits, change):
    return number, recipe.fit(folder, splits, change=change)[1]


def spread(num_merges, layers):
    """The layers that merge a caption: `num_merges` of 1 to `layers`, evenly from the first to the last;
    fewer where there are fewer layers."""
    if not num_merges >= 0:
        raise ValueError(f"num_merges: {num_merges}; expected at least 0")
    return tuple(sorted({1 + round(i * (layers - 1) / max(1, num_merges - 1)) for i in range(num_merges)}))


def watch(recipe, folder, processes=1):
    """Train a recipe in a program of its own, shared by several processes of this machine, and tell how it
    goes.

    Args:
        folder: a folder for this training alone: the recipe, what the program says, the checkpoint and its
            metrics.
        processes: how many; where there are accelerators, at most as many as there are.
    Yields:
        dicts of numbers, the rows of the training's metrics, as they are measured.
    Raises:
        RuntimeError: the program failed; the message has its last line and says where the rest is.
    """
    folder = Path(folder)
    data = (
        recipe.data if recipe.data in sources.SOURCES else os.path.relpath(recipe.data, folder)
    )  # as the file means it
    write_text(folder / "recipe.yaml", yaml.safe_dump(asdict(recipe) | {"data": data}))
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
        "-m",
        "nbutils",
        "train",
        folder / "recipe.yaml",
        "--out",
        folder,
    ]
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // processes))}
    told = 0
    with open(folder / "said.txt", "w", encoding="utf-8") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=os.environ | threads)
        try:
            running = True
            while running:
                running = process.poll() is None
                rows = [
                    row
                    for path in folder.glob("*/metrics.csv")
                    for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines())
                ]
                yield from ({name: float(value) for name, value in row.items()} for row in rows[told:])
                told = len(rows)
                time.sleep(0.2 if running else 0)
        finally:
            process.terminate()
            process.wait()
    if process.returncode:
        lines = [
            line for line in (folder / "said.txt").read_text(encoding="utf-8").splitlines() if line.strip()
        ]
        error = next(
            (line for line in lines if line.startswith("error:")), lines[-1] if lines else "it said nothing"
        )
        raise RuntimeError(
            f"training ended with exit code {process.returncode}: {error}; all it said is in "
            f"{folder / 'said.txt'}"
        )
