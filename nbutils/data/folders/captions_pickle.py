"""The class project's captions, a pickle, from hands that need not be trusted.

A pickle is a program. Only those of its instructions that make plain values are carried out here, and none of
them can find a class or call anything.
"""

import io
import pickle
import pickletools

from ..errors import Unusable

# The one in C makes room for as many values as the highest index asks for; this one keeps a dict.
_Unpickler = pickle._Unpickler

_MEMO = "PROTO FRAME MARK STOP PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET"
_CONTAINERS = "EMPTY_DICT DICT SETITEM SETITEMS EMPTY_LIST LIST APPEND APPENDS"
_TUPLES = "EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3"
_TEXTS = "STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8"
_OTHERS = "INT BININT BININT1 BININT2 NONE"
_CLASSES = "GLOBAL INST STACK_GLOBAL"  # admitted so that `find_class` can say which
_ADMITTED = " ".join([_MEMO, _CONTAINERS, _TUPLES, _TEXTS, _OTHERS, _CLASSES]).split()
_EXPECTED = "expected a plain dict of lists of strings"


class _Plain(_Unpickler):
    """Makes dicts, lists, tuples, strings, small integers and None."""

    def find_class(self, module, name):
        asked = ascii(f"{module}.{name}")[1:-1]
        raise Unusable(f"refused, the pickle asks for {asked[:200]}; {_EXPECTED}")

    def _refused(self, name):
        raise Unusable(f"refused, the pickle asks for {name}; {_EXPECTED}")

    def _tuple(self, made):
        made(self)
        # The hash of a tuple within a tuple within a tuple ... ends the process.
        if any(isinstance(part, tuple) for part in self.stack[-1]):
            self._refused("tuples within tuples")


def _carried_out(opcode):
    """What `_Plain` does at an instruction of `pickletools`."""
    name = opcode.name
    if name not in _ADMITTED:
        return lambda unpickler: unpickler._refused(f"the instruction {name}")
    made = _Unpickler.dispatch[ord(opcode.code)]
    if name in _TUPLES:
        return lambda unpickler: unpickler._tuple(made)
    return made


_Plain.dispatch = {ord(opcode.code): _carried_out(opcode) for opcode in pickletools.opcodes}


def read(content):
    """The plain value that a pickle holds; strings of Python 2 are taken for UTF-8.

    Args:
        content: bytes, a pickle of any protocol.
    Returns:
        dict, list, tuple, str, int or None, of the same.
    Raises:
        Unusable: anything else in the pickle, by name, or no pickle at all.
    """
    try:
        return _Plain(io.BytesIO(content), encoding="utf-8").load()
    except Unusable:
        raise
    except EOFError:
        raise Unusable("not a readable pickle: it ends before its last instruction") from None
    except KeyError as error:
        raise Unusable(f"not a readable pickle: byte {error} is no instruction") from None
    except Exception as error:  # a broken pickle can raise anything at all
        said = " ".join(str(error).split()) or type(error).__name__
        raise Unusable(f"not a readable pickle: {said}") from None
