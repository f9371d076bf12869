"""What a text says to a parameter: it is read by the parameter's own type, wherever it was typed, never by
what it looks like."""

import math
import re

import yaml

_DEPTH = 4  # of YAML: notebooks, their parameters, mappings of lists
_DIGITS = "[0-9]+(_[0-9]+)*"
_WHOLE = re.compile(rf"[+-]?{_DIGITS}")
_NUMBER = re.compile(rf"[+-]?({_DIGITS}(\.({_DIGITS})?)?|\.{_DIGITS})([eE][+-]?[0-9]+)?")


class ParameterError(ValueError):
    """A parameter that no notebook has, of the wrong type, or with an impossible value; the message is one
    line."""


def typed(owner, name, value, default):
    """A value of the type that the default of its parameter has, which is how a text is read, never by what
    it looks like.

    Text is taken as it stands, whole numbers are decimal, lists are separated by commas, in brackets or not,
    mappings are YAML.

    Args:
        owner: the name that messages give.
        name: of the parameter.
        value: a text, or a value of the type; an int is good for a float, a list for a tuple.
        default: the parameter's.
    Raises:
        ParameterError: it is none of that type, not finite, of 64 bits or more, or holds control characters.
    """
    read = (
        _read(f"{owner}: {name}", value, default)
        if isinstance(value, str) and not isinstance(default, str)
        else value
    )
    if isinstance(default, list | tuple) and isinstance(read, list | tuple) and read and default:
        return type(default)(typed(owner, name, entry, default[0]) for entry in read)
    if isinstance(default, dict) and isinstance(read, dict):
        return {
            str(key): typed(owner, f"{name}.{key}", entry, default.get(key, _likely(entry)))
            for key, entry in read.items()
        }
    if isinstance(default, float) and type(read) is int and abs(read) < 2**63:
        read = float(read)
    if type(read) is not type(default):
        shown = value if len(str(value)) < 200 else f"{str(value)[:200]}..."
        found = repr(shown) if isinstance(value, str) else f"{shown!r}, {type(value).__name__}"
        raise ParameterError(
            f"{owner}: {name} is {found}; expected {type(default).__name__} such as {default!r}"
        )
    if type(read) is int and not abs(read) < 2**63:
        raise ParameterError(
            f"{owner}: {name} is a number of {read.bit_length()} bits; expected fewer than 64"
        )
    if isinstance(read, float) and not math.isfinite(read):
        raise ParameterError(f"{owner}: {name} is {read}; expected a finite number")
    if isinstance(read, str) and not read.isprintable():
        raise ParameterError(f"{owner}: {name} is {read!r}; expected text without control characters")
    return read


def _read(place, text, default):
    """What a text says to a parameter with this default; the text itself where it says nothing to it."""
    bare = text.strip()
    if isinstance(default, bool):
        return {"true": True, "false": False}.get(bare.lower(), text)
    if isinstance(default, int):
        return int(bare) if _WHOLE.fullmatch(bare) and len(bare) < 100 else text
    if isinstance(default, float):
        return float(bare) if _NUMBER.fullmatch(bare) else text
    if isinstance(default, list | tuple) and not bare.startswith("["):
        return [entry.strip() for entry in bare.split(",")]
    return read_yaml(text, place)


def _likely(entry):
    """Stands for the default of an entry of a mapping that has none: of the type that the entry looks
    like."""
    if isinstance(entry, list | tuple):
        likely = [_likely(inner) for inner in entry]
        return [
            next((kind for kind in ("", 0.0, 0, True) if any(type(kind) is type(one) for one in likely)), "")
        ]
    if not isinstance(entry, str):
        return entry
    return next((kind for kind in (True, 0, 0.0) if _read("", entry, kind) is not entry), "")


def read_yaml(text, source):
    """What YAML text says with lists and mappings of texts; what could grow without end when it is read or
    shown is refused."""
    depth = 0
    try:
        for event in yaml.parse(text, yaml.BaseLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise ParameterError(
                    f"{source}: has the alias *{event.anchor}; expected every value written out"
                )
            if getattr(event, "tag", None):
                raise ParameterError(f"{source}: has the tag {event.tag}; expected plain values")
            if depth > _DEPTH:
                raise ParameterError(
                    f"{source}: is nested more than {_DEPTH} deep; expected plain values or lists of them"
                )
        return yaml.load(text, yaml.BaseLoader)
    except ParameterError:
        raise
    except (yaml.YAMLError, ValueError) as error:
        raise ParameterError(f"{source}: not readable as YAML: {' '.join(str(error).split())}") from None
