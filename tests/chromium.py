"""Where this machine has a Chromium or Chrome; `python tests/chromium.py` says it, or fails."""

import shutil
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
APPLICATIONS = ("Google Chrome", "Chromium")  # macOS


def find():
    """The path of the browser, or None."""
    places = [
        f"{folder}/{name}.app/Contents/MacOS/{name}"
        for folder in ("/Applications", Path.home() / "Applications")
        for name in APPLICATIONS
    ]
    return next(filter(None, map(shutil.which, (*NAMES, *places))), None)


if __name__ == "__main__":
    sys.exit(print(find()) if find() else 1)
