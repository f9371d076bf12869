"""Files that are there whole or not at all: written beside their place, flushed, and renamed."""

import json
import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path):
    """Yield a temporary path in the same folder; on success it takes the place of `path`, on failure it is
    removed.

    Raises:
        OSError: naming `path`, where it cannot be written (no space, no permission); what stood there before
            still does.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        flush(beside)
        os.replace(beside, path)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{path} could not be written ({error.strerror or error}); what stood there before is unchanged",
        ) from error
    finally:
        beside.unlink(missing_ok=True)


def flush(path):
    """Wait until the content of a file is on the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def write_text(path, text):
    """Write `text`, UTF-8, whole or not at all."""
    with written_whole(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path, value):
    """Write `value` as JSON, whole or not at all.

    Raises:
        ValueError: `value` holds NaN or infinity, which JSON lacks.
    """
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
