"""A cap on what a cell prints: of very much text its beginning and its end.

It is applied while the cell runs, so that a notebook which prints without end fills neither the memory nor
the disk.
"""

KEPT = 20_000  # characters, from each end


def without_overwritten(text):
    """A text without what a terminal no longer shows: of a line, what stands before its last carriage return
    but those at its end."""
    if "\r" not in text:
        return text
    return "\n".join(line[line.rstrip("\r").rfind("\r") + 1 :] for line in text.split("\n"))


class Printed:
    """Keeps the streams of a cell within bounds, as they are appended to its outputs."""

    def __init__(self):
        self._begin_anew()

    def _begin_anew(self):
        self._kept = 0  # characters from the beginning
        self._end, self._text, self._left_out = None, "", 0  # the output that has the end, and what it keeps

    def take_in(self, outputs):
        """Look at the output that was just appended to `outputs`, a list of nbformat outputs, which is
        changed in place."""
        if len(outputs) == 1:  # the first, or the first since the cell cleared what it had shown
            self._begin_anew()
        new = outputs[-1]
        if new.output_type != "stream":
            return
        if self._end is None:
            self._begin(outputs, new)
        else:
            outputs.pop()
            self._extend(new.text)

    def _begin(self, outputs, new):
        before = outputs[-2] if len(outputs) > 1 else None
        if before and before.output_type == "stream" and before.name == new.name:
            outputs.pop()
            self._kept -= len(before.text)
            before.text = without_overwritten(before.text + new.text)
            new = before
        self._kept += len(new.text)
        if self._kept > KEPT:
            over = self._kept - KEPT
            self._end = type(new)(output_type="stream", name=new.name, text="")
            outputs.append(self._end)
            self._extend(new.text[-over:])
            new.text = new.text[:-over]

    def _extend(self, text):
        every = without_overwritten(self._text + text)
        self._left_out += max(0, len(every) - KEPT)
        self._text = every[-KEPT:]
        notice = f"\n[{self._left_out:,} characters left out]\n" if self._left_out else ""
        self._end.text = notice + self._text
