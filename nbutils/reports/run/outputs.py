"""What a page can hold of a cell's outputs: of very many lines, of a very long line and of very many outputs
the first and the last.

It is applied while a cell runs, so that a notebook which prints without end fills neither the memory nor the
disk.
"""

from collections import deque

from nbformat.v4 import new_output

LINES = 100  # of a text, from each end
CHARACTERS = 2000  # of a line, from each end
OUTPUTS = 100  # of a cell, from each end
SIZE = 12_000_000  # characters of all outputs of a cell, as much as a page may have


class Transcript:
    """What a terminal would show of a text that comes in pieces: lines rewritten with carriage returns have
    their last state; the middle may be left out."""

    def __init__(self):
        self._first, self._last, self._left_out = [], deque(), 0
        self._begin_line()

    def _begin_line(self):
        self._head, self._tail, self._hidden, self._returned = "", "", 0, False

    def write(self, text):
        """Take the next piece."""
        first, *others = text.split("\n")
        self._extend(first)
        for line in others:
            self._end_line()
            self._extend(line)

    def _extend(self, text):
        shown = text.rstrip("\r")
        if shown:
            if self._returned or "\r" in shown:
                self._begin_line()
            shown = shown.rsplit("\r", 1)[-1]
            room = CHARACTERS - len(self._head)
            self._head, rest = self._head + shown[:room], self._tail + shown[room:]
            self._tail, self._hidden = rest[-CHARACTERS:], self._hidden + max(0, len(rest) - CHARACTERS)
        self._returned |= text.endswith("\r")

    def _line(self):
        return self._head + (f" [{self._hidden:,} characters left out] " if self._hidden else "") + self._tail

    def _end_line(self):
        if len(self._first) < LINES:
            self._first.append(self._line())
        else:
            self._last.append(self._line())
            if len(self._last) > LINES:
                self._last.popleft()
                self._left_out += 1
        self._begin_line()

    def text(self):
        """What is kept, with a line where something was left out."""
        left_out = (
            [f"[{self._left_out:,} line{'s' * (self._left_out > 1)} left out]"] if self._left_out else []
        )
        return "\n".join([*self._first, *left_out, *self._last, self._line()])


def shortened(text):
    """A text as a `Transcript` keeps it."""
    transcript = Transcript()
    transcript.write(text)
    return transcript.text()


class CellOutputs:
    """Keeps the outputs of a cell within bounds, as they are appended to its list; the first `STEADY` ones
    keep their places."""

    STEADY = OUTPUTS

    def __init__(self):
        self._stream, self._transcript = (
            None,
            None,
        )  # the stream that is being written, and what is kept of it
        self._notice, self._left_out = None, 0  # the output that stands for those left out

    def take_in(self, outputs):
        """Look at the output that was just appended to `outputs`, a list of nbformat outputs, which is
        changed in place."""
        new = outputs[-1]
        if new.output_type == "stream":
            if len(outputs) > 1 and outputs[-2] is self._stream and self._stream.name == new.name:
                outputs.pop()
            else:
                self._stream, self._transcript = new, Transcript()
            self._transcript.write(new.text)
            self._stream.text = self._transcript.text()
        elif new.output_type == "error":
            new.evalue, new.traceback = shortened(new.evalue), shortened("\n".join(new.traceback)).split("\n")
        else:
            if "text/plain" in new.data:
                new.data["text/plain"] = shortened(new.data["text/plain"])
            if sum(_size(output) for output in outputs) > SIZE:
                kinds = ", ".join(new.data)
                new.data = {
                    "text/plain": (
                        f"[an output of {_size(new):,} characters ({kinds}) left out: the outputs of a "
                        f"cell may have {SIZE:,}]"
                    )
                }
        if len(outputs) > 2 * OUTPUTS + 1 or (
            len(outputs) > 2 * OUTPUTS and outputs[OUTPUTS] is not self._notice
        ):
            self._leave_one_out(outputs)

    def _leave_one_out(self, outputs):
        if outputs[OUTPUTS] is self._notice:
            del outputs[OUTPUTS + 1]
            self._left_out += 1
        else:
            self._notice, self._left_out = new_output("stream", name="stdout"), 1
            outputs[OUTPUTS] = self._notice
        self._notice.text = f"[{self._left_out:,} output{'s' * (self._left_out > 1)} left out]\n"


def _size(output):
    return sum(
        len(value if isinstance(value, str) else repr(value)) for value in output.get("data", {}).values()
    )
