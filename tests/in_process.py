"""Notebooks executed in the process of a test: what kernel and papermill leave behind, without either, in a
fraction of the time."""

import io
import json
import sys
import threading
import types
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from nbformat.v4 import new_code_cell, new_output
from traitlets.config import Config

from nbutils.reports.run import execution

_ONE_AT_A_TIME = threading.Lock()  # the shell, the captured output and the folder belong to the process


class Shell(InteractiveShell):
    """Keeps tracebacks to itself instead of printing them."""

    def _showtraceback(self, kind, error, traceback):
        self.traceback = traceback


class OwnThread(io.StringIO):
    """Keeps what the thread writes that made it; what others write, as the run about its notebooks, goes to
    `others`."""

    def __init__(self, others):
        super().__init__()
        self.others, self.thread = others, threading.get_ident()

    def write(self, text):
        return super().write(text) if threading.get_ident() == self.thread else self.others.write(text)


def run_cell(shell, cell):
    """Fill in the outputs of a cell; what it raised, or None."""
    with (
        capture_output(stdout=False, stderr=False) as captured,
        redirect_stdout(OwnThread(sys.stdout)) as printed,
        redirect_stderr(OwnThread(sys.stderr)),
    ):
        result = shell.run_cell(cell.source)
    error = result.error_before_exec or result.error_in_exec
    text = printed.getvalue()
    cell.outputs = [new_output("stream", name="stdout", text=text)] if text else []
    cell.outputs += [
        new_output("display_data", data=shown.data, metadata=shown.metadata or {})
        for shown in captured.outputs
    ]
    if error:
        cell.outputs.append(
            new_output("error", ename=type(error).__name__, evalue=str(error), traceback=shell.traceback)
        )
    return error


def supervise(folder, *_, **__):
    """What `execution._supervise` does, without a process: writes the executed notebook and gives the reason
    why it failed."""
    request = json.loads((folder / "request.json").read_text())
    book = nbformat.read(request["notebook"], as_version=4)
    (place,) = [
        number for number, cell in enumerate(book.cells) if "parameters" in cell.metadata.get("tags", ())
    ]
    given = "\n".join(f"{name} = {value!r}" for name, value in request["parameters"].items())
    book.cells.insert(place + 1, new_code_cell(given, metadata={"tags": ["injected-parameters"]}))
    book.metadata["papermill"] = {"parameters": request["parameters"]}
    shell, reason = Shell.instance(), ""
    with _ONE_AT_A_TIME, chdir(Path(request["notebook"]).parent):
        for cell in book.cells:
            if cell.cell_type == "code" and (error := run_cell(shell, cell)):
                reason = f"{type(error).__name__}: {error}"
                break
        shell.reset(new_session=False)
    nbformat.write(book, folder / "executed.ipynb")
    return reason


@contextmanager
def no_kernels():
    Shell.instance(
        config=Config(HistoryManager={"enabled": False}),
        user_module=types.ModuleType("cells"),
        colors="nocolor",
    )
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(execution, "_supervise", supervise)
            yield
    finally:
        Shell.clear_instance()


@pytest.fixture
def without_kernels():
    """Notebooks that this process runs are executed in it."""
    with no_kernels():
        yield
