"""The class project's captions, a pickle, from hands that need not be trusted.

A pickle is a program. Every instruction is looked at before any is run, and only those that make dicts,
lists, tuples, strings, bytes, integers and None are admitted; whatever else a pickle asks for is refused by
name.
"""

import io
import pickle
import pickletools

from .errors import Unusable

_PLAIN = {
    "PROTO",
    "FRAME",
    "MARK",
    "STOP",
    "PUT",
    "BINPUT",
    "LONG_BINPUT",
    "MEMOIZE",
    "GET",
    "BINGET",
    "LONG_BINGET",
    "EMPTY_DICT",
    "DICT",
    "SETITEM",
    "SETITEMS",
    "EMPTY_LIST",
    "LIST",
    "APPEND",
    "APPENDS",
    "EMPTY_TUPLE",
    "TUPLE",
    "TUPLE1",
    "TUPLE2",
    "TUPLE3",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "UNICODE",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
    "INT",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG",
    "LONG1",
    "LONG4",
    "NONE",
}
_NAMES = {
    "NEWTRUE": "a bool",
    "NEWFALSE": "a bool",
    "FLOAT": "a float",
    "BINFLOAT": "a float",
    "EMPTY_SET": "a set",
    "ADDITEMS": "a set",
    "FROZENSET": "a frozenset",
    "BYTEARRAY8": "a bytearray",
    "PERSID": "a persistent id",
    "BINPERSID": "a persistent id",
    "EXT1": "an extension code",
    "EXT2": "an extension code",
    "EXT4": "an extension code",
    "NEXT_BUFFER": "an out-of-band buffer",
    "READONLY_BUFFER": "an out-of-band buffer",
}


def read(content):
    """The plain value that a pickle holds; strings of Python 2 are taken for UTF-8.

    Args:
        content: bytes, a pickle of any protocol.
    Returns:
        dict, list, tuple, str, bytes, int or None, of the same.
    Raises:
        Unusable: anything else in the pickle, by name, or no pickle at all.
    """
    try:
        for name, argument, before in _instructions(content):
            if name not in _PLAIN or (name == "INT" and isinstance(argument, bool)):
                raise Unusable(
                    f"refused, the pickle asks for {_asked(name, argument, before)}; expected a plain "
                    "dict of lists of strings"
                )
        return _PlainUnpickler(io.BytesIO(content), encoding="utf-8").load()
    except Unusable:
        raise
    except Exception as error:  # a broken pickle can raise anything at all
        raise Unusable(
            f"not a readable pickle: {' '.join(str(error).split()) or type(error).__name__}"
        ) from None


class _PlainUnpickler(pickle.Unpickler):
    """A second lock on the same door."""

    def find_class(self, module, name):
        raise Unusable(f"refused, the pickle asks for {module}.{name}")

    def persistent_load(self, pid):
        raise Unusable("refused, the pickle asks for a persistent id")


def _instructions(content):
    """(name, argument, the two strings before) of every instruction, up to the last.

    As `pickletools.genops`, which stumbles over Python 2's escaped strings, and with an eye on the memo: an
    unpickler makes room for as many entries as the highest index, which a few bytes could put at billions.
    """
    stream, strings, memo, count = io.BytesIO(content), [None, None], {}, 0
    while code := stream.read(1):
        instruction = pickletools.code2op.get(code.decode("latin-1"))
        if instruction is None:
            raise Unusable(f"not a readable pickle: byte {stream.tell() - 1} is {code!r}, no instruction")
        argument = _argument(instruction, stream)
        yield instruction.name, argument, strings
        if instruction.name == "STOP":
            return
        if "PUT" in instruction.name and not 0 <= argument <= count:
            raise Unusable(
                f"refused, the pickle asks for {argument:,} entries of memory at its instruction {count:,}"
            )
        if isinstance(argument, str):
            strings = [strings[1], argument]
        elif "GET" in instruction.name and argument in memo:
            strings = [strings[1], memo[argument]]
        if instruction.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else argument] = strings[1]
        count += 1
    raise Unusable("not a readable pickle: it ends before its last instruction")


def _argument(instruction, stream):
    if instruction.name == "STRING":
        return pickletools.read_stringnl(stream, decode=False)
    return instruction.arg.reader(stream) if instruction.arg else None


def _asked(name, argument, before):
    if name in ("GLOBAL", "INST", "STACK_GLOBAL"):
        asked = f"{before[0]}.{before[1]}" if name == "STACK_GLOBAL" else argument.replace(" ", ".", 1)
        return ascii(asked)[1:-1][:200]  # it may hold anything
    return "a bool" if name == "INT" else _NAMES.get(name, f"{name.lower()}, which makes objects")
