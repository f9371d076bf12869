"""Finds what a report must not tell: where on somebody's machine files lie, and what machines are called."""

import json
import re
import socket

_PLACE = re.compile(
    # from the root on; no closing tag, no end of an address, nothing below a placeholder
    r"(?<![\w./~*)\]}<-])/[A-Za-z][\w.+-]*(?:/[\w.+-]+)+"
    r"|file://[^\s\"'<>]*"
    r"|\b[A-Za-z]:\\(?:Users|Documents and Settings|Windows|Temp)\b[^\s\"'<>]*"
    r"|(?:\.\./){2,}[\w.+-]+"  # out of the repository, seen from its notebooks
)
_HOST = (
    r"\b[\w-]+(?:\.[\w-]+)*\.(?:internal|localdomain|lan)\b|\b(?!127\.|0\.0\.0\.0)(?:\d{1,3}\.){3}\d{1,3}\b"
)
_ENCODED = re.compile(r"[A-Za-z0-9+/]{100,}={0,2}")  # pictures


def of_machine(content, own_words=""):
    """The first place on a machine's disk, or name of a machine, in a text that JSON holds, keys or values.

    Args:
        content: bytes of JSON, such as a notebook.
        own_words: text in which a word that happens to be the name of this machine may stand.
    Returns:
        str; empty where there is none.
    """
    host = socket.gethostname()
    named = rf"(?<![\w-]){re.escape(host)}(?![\w-])"
    hosts = re.compile(_HOST if host == "localhost" or re.search(named, own_words) else f"{named}|{_HOST}")
    for text in _texts(json.loads(content)):
        shown = _ENCODED.sub("", text)
        if found := _PLACE.search(shown) or hosts.search(shown):
            return found[0]
    return ""


def _texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for entry in (*value, *value.values()) if isinstance(value, dict) else value:
            yield from _texts(entry)
