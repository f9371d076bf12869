"""What a result was computed with: the files of this package that some code imports, directly or by way of
others, and what a notebook defines itself. Results are kept under it, so that what other code made is never
taken for what this code makes, and a change to anything else runs nothing again.
"""

import ast
import functools
import hashlib
import types
from pathlib import Path

_ROOT = Path(__file__).parent
_PACKAGE = __package__
# These name, find and check, and no result has anything of theirs in it: whoever imports them depends on
# nothing that they import, and a change of theirs runs nothing again.
_APART = frozenset({"identity", "reports.parameters", "reports.series"})


def of_modules(*names):
    """A hash of the source of modules of this package, such as "nbutils.training.loop", and of all that they
    import of it.

    Raises:
        ModuleNotFoundError: this package has no such module.
    """
    return _of_files(_closure(names))


def of_source(text):
    """A hash of the source of all modules of this package that a program imports, directly or by way of
    others."""
    return _of_files(files_of_source(text))


def files_of_source(text):
    """The files of this package, a set of paths, that `of_source` makes a hash of."""
    return _closure(_imported(ast.parse(text), _PACKAGE, False))


def of_class(kind):
    """A hash of what a class computes: of its module where that is in this package; otherwise of its own
    functions, those of its bases, and the functions, classes and plain values of its module that they name.
    Comments and line breaks have no part in it."""
    if kind.__module__.split(".")[0] == _PACKAGE:
        return of_modules(kind.__module__)
    found = {}
    _note_class(kind, found)
    return _hash(repr(sorted(found.items())).encode())


def of_package():
    """A hash of the whole source of this package, by which one installation is told from another."""
    return _of_files(_ROOT.rglob("*.py"))


def _of_files(paths):
    parts = (
        path.relative_to(_ROOT).as_posix().encode() + b"\0" + path.read_bytes() for path in sorted(paths)
    )
    return _hash(b"\0".join(parts))


def _hash(content):
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _closure(names):
    """The files of modules and of all that they import within this package."""
    found, waiting = {}, list(names)
    while waiting:
        name = waiting.pop()
        if name not in found and name.partition(".")[2] not in _APART:
            path = _file(name)
            if path is None:
                raise ModuleNotFoundError(f"{name}: is no module of {_PACKAGE}")
            found[name] = path
            waiting += _imports_of(path, name, path.name == "__init__.py")
            waiting += [name.rpartition(".")[0]] if "." in name else []  # whose __init__ is run before
    return set(found.values())


def _file(name):
    """The file of a module of this package; None where `name` is none, such as what a module defines."""
    place = _ROOT.joinpath(*name.split(".")[1:])
    for path in (place / "__init__.py", place.with_suffix(".py")):
        if path.is_file() and path.is_relative_to(_ROOT):
            return path
    return None


@functools.lru_cache(maxsize=1024)
def _imports(source, name, is_package):
    return tuple(_imported(ast.parse(source), name, is_package))


def _imports_of(path, name, is_package):
    return _imports(path.read_text(encoding="utf-8"), name, is_package)


def _imported(tree, name, is_package):
    """The modules of this package that are imported anywhere in a module, also in its functions."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, name, is_package)
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return sorted(module for module in found if module.split(".")[0] == _PACKAGE and _file(module))


def _base(node, name, is_package):
    """The module that `from ... import` names, absolute."""
    if not node.level:
        return node.module
    parts = name.split(".") if is_package else name.split(".")[:-1]
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, node.module] if node.module else parts)


def _note_class(kind, found):
    """Note what makes up a class and its bases: of this package by the hash of their module, of a library by
    name, others by their code."""
    for base in kind.__mro__:
        name = f"{base.__module__}.{base.__qualname__}"
        if base.__module__ != kind.__module__:
            found[name] = _of_another(base)
        elif name not in found:
            found[name] = ""
            for attribute, value in vars(base).items():
                if not attribute.startswith("__") or callable(value):
                    _note(f"{name}.{attribute}", value, kind.__module__, found)


def _of_another(value):
    """What tells a function or class of another module from others."""
    return of_modules(value.__module__) if value.__module__.split(".")[0] == _PACKAGE else ""


def _note(name, value, home, found):
    """Note a value that code of the module `home` names: functions and classes by what they compute, plain
    values as they are."""
    value = (
        getattr(value, "fget", value) if isinstance(value, property) else getattr(value, "__func__", value)
    )
    if name in found:
        return
    if isinstance(value, types.FunctionType | type) and value.__module__ != home:
        found[name] = f"{value.__module__}.{value.__qualname__} {_of_another(value)}"
    elif isinstance(value, types.FunctionType):
        found[name] = _code(value.__code__)
        for other in _names(value.__code__) & value.__globals__.keys():
            _note(f"{home}.{other}", value.__globals__[other], home, found)
    elif isinstance(value, type):
        _note_class(value, found)
    elif isinstance(value, int | float | str | bytes | bool | tuple | frozenset | None):
        found[name] = _constant(value)


def _code(code):
    """What a code object computes, without where it stands."""
    constants = [
        _code(part) if isinstance(part, types.CodeType) else _constant(part) for part in code.co_consts
    ]
    return repr((code.co_code, code.co_names, code.co_varnames, code.co_freevars, constants))


def _constant(value):
    return repr(sorted(value, key=repr)) if isinstance(value, frozenset) else repr(value)


def _names(code):
    """The global names that a code object and those within it may use."""
    nested = (part for part in code.co_consts if isinstance(part, types.CodeType))
    return {*code.co_names, *(name for part in nested for name in _names(part))}
