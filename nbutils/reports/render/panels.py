"""Panels that run a model, in a page: the models that its figures name, once each, and the scripts."""

import functools
import json
import re
from html import escape, unescape
from pathlib import Path

from ...training import job
from .. import series
from . import live
from .cells import LinkError

_FIGURE = re.compile(r'(<figure class="live"[^>]*? data-live=)("[^"]*"|\'[^\']*\')')
_MODELS = ("model", "writer", "filler")  # what a panel's data calls the checkpoints it needs
_LIVE = Path(live.__file__).parent
_SCRIPTS = ("panel.js", "pictures.js", "digits.js", "cells.js", "begin.js")  # as they build on each other


def embedded(body, folder):
    """A page's body whose panels name the models in it, and what the page carries for them.

    Args:
        body: HTML.
        folder: where the checkpoints are that are not published ones.
    Returns:
        body: HTML.
        carried: HTML for the end of the page; empty where it has no panel.
    Raises:
        LinkError: a panel's model is not where it was.
    """
    carried = {}

    def name_models(found):
        given = json.loads(unescape(found[2][1:-1]))
        for role in _MODELS:
            if given.get(role):
                name, element = _packed(_path(given[role], folder))
                carried[name] = element
                given[role] = name
        return f'{found[1]}"{escape(json.dumps(given, ensure_ascii=False))}"'

    body, count = _FIGURE.subn(name_models, body)
    if not count:
        return body, ""
    style = f"<style>{(_LIVE / 'panel.css').read_text(encoding='utf-8')}</style>"
    scripts = "\n".join((_LIVE / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    worker = live.worker_html() if carried else ""
    return body, f'{style}{"".join(carried.values())}{worker}<script type="module">\n{scripts}</script>'


def _path(place, folder):
    path = (series.NOTEBOOKS.parent if place.startswith("docs/") else Path(folder)) / place
    if not path.is_file():
        raise LinkError(
            f"a panel runs the model {place}, which is not there any more; run the notebook again"
        )
    return path


@functools.lru_cache(maxsize=8)
def _packed(path):
    """The name of a model and the element that holds it."""
    model, vocabulary = job.load(path, "cpu")
    packed = live.pack(model, vocabulary)
    return packed.name, packed.html()
