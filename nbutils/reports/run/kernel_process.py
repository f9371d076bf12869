"""The process that runs one notebook: papermill with a kernel that does not outlive it, and a cap on what a
cell prints.

`execution.execute` starts it as `python -m nbutils.reports.run.kernel_process FOLDER`. It reads
`request.json` there and writes: the process group of the kernel to `kernel`; before every cell how many are
executed and of how many to `cells.json`; `executed.ipynb` after every cell; and at its end `result.json`,
whose `error` is one line or empty. When the other end of its standard input is closed, by intent or because
its owner was killed, it ends, and what the kernel has started with it.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import threading
from collections import defaultdict
from pathlib import Path

import papermill
from jupyter_client.kernelspec import KernelSpec
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.iorw import LocalHandler, papermill_io

from ...files import write_json, write_text
from .outputs import Printed

KERNEL = "python3"
# Modules beside a notebook can be imported, and hide no others.
_KERNEL = [
    sys.executable,
    "-P",
    "-m",
    "ipykernel_launcher",
    "-f",
    "{connection_file}",
    "--IPKernelApp.ignore_cwd=True",
    "--IPKernelApp.exec_lines=import sys; sys.path.append('')",
]
_START_TIMEOUT = 120  # seconds; a busy machine takes its time
# seconds for the last outputs of a cell to come in; a kernel that dies meanwhile is noticed anyway
_A_DAY = 86_400


class _NoEnd(Exception):
    """A notebook that came to no end of its own; the message is the reason that is shown."""


def _end_with_owner(folder):
    """End this process, and what the kernel has started, when nobody holds the other end of standard input. A
    kernel that is only starting looks after its parent itself."""
    kernel = folder / "kernel"

    def hold():
        os.read(sys.stdin.fileno(), 1)  # returns when there is nobody left who could write
        with contextlib.suppress(
            FileNotFoundError, ProcessLookupError
        ):  # it has not begun, or ended just now
            os.killpg(int(kernel.read_text(encoding="utf-8")), signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)  # whose owner may be gone
        os._exit(1)

    threading.Thread(target=hold, daemon=True).start()


class _Client(PapermillNotebookClient):
    """Papermill's client, which keeps outputs within bounds and says in which cell the kernel died or the
    time was over."""

    def __init__(self, nb_man, folder, **options):
        super().__init__(nb_man, iopub_timeout=_A_DAY, **options)
        self.folder, self.printed, self.began = folder, defaultdict(Printed), False

    def create_kernel_manager(self):
        """Of a kernel of this very interpreter, whatever else is called python3 on JUPYTER_PATH."""
        manager = super().create_kernel_manager()
        manager._kernel_spec = KernelSpec(argv=_KERNEL, display_name="Python 3", language="python")
        return manager

    def start_new_kernel(self, **options):
        super().start_new_kernel(**options)
        write_text(self.folder / "kernel", str(self.km.provisioner.pgid))

    def execute_cell(self, cell, index):
        self.began = True
        if cell.cell_type == "code":
            self._count(index)
        try:
            return super().execute_cell(cell, index)
        except DeadKernelError:
            raise _NoEnd(
                f"the kernel died, {self._how_it_ended()}, in the cell {_first_line(cell)!r}"
            ) from None
        except CellTimeoutError:
            raise _NoEnd(
                f"the cell {_first_line(cell)!r} ran longer than the {self.timeout} seconds that "
                "--timeout allows"
            ) from None

    def _count(self, index):
        places = [place for place, cell in enumerate(self.nb.cells) if cell.cell_type == "code"]
        write_json(self.folder / "cells.json", [places.index(index), len(places)])

    def _how_it_ended(self):
        code = self.km.provisioner.process.returncode
        return (
            f"killed by {signal.Signals(-code).name}, as also happens where memory runs out"
            if code < 0
            else f"with exit code {code}"
        )

    def output(self, outs, msg, display_id, cell_index):
        made = super().output(outs, msg, display_id, cell_index)
        if made is not None:
            self.printed[cell_index].take_in(outs)
        return made


class _Engine(Engine):
    """Runs the cells with `_Client`. A kernel that ended before it answered is started once more: another
    program may have taken its port."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, *, folder, timeout, **_):
        for last in (False, True):
            client = _Client(
                nb_man, folder, kernel_name=kernel_name, startup_timeout=_START_TIMEOUT, timeout=timeout
            )
            try:
                return client.execute()
            except RuntimeError as error:
                if client.began:
                    raise
                if last:
                    said = (folder / "log").read_text(encoding="utf-8", errors="replace").split("\n")
                    raise _NoEnd(
                        f"the kernel did not start twice ({error}); the last it said: {' '.join(said[-3:])}"
                    ) from None


class _WholeFiles(LocalHandler):
    """Writes the executed notebook beside and renames it, so that a kill leaves the state after some cell."""

    def write(self, buf, path):
        super().write(buf, f"{path}.part.ipynb")
        os.replace(f"{path}.part.ipynb", path)


def _first_line(cell):
    return cell.source.strip().partition("\n")[0]


def _run(folder, notebook, parameters, timeout):
    """Run a notebook in its own folder; the reason why it failed, or an empty text."""
    _end_with_owner(folder)
    papermill_engines.register("nbutils", _Engine)
    papermill_io.register(str(folder), _WholeFiles())
    os.chdir(Path(notebook).parent)
    try:
        papermill.execute_notebook(
            Path(notebook).name,
            str(folder / "executed.ipynb"),
            parameters,
            "nbutils",
            kernel_name=KERNEL,
            progress_bar=False,
            folder=folder,
            timeout=timeout,
        )
    except PapermillExecutionError as error:
        return f"{error.ename}: {error.evalue}"
    except _NoEnd as error:
        return str(error)
    except Exception as error:
        return f"papermill could not run it: {type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    place = Path(sys.argv[1])
    write_json(
        place / "result.json",
        {"error": _run(place, **json.loads((place / "request.json").read_text(encoding="utf-8")))},
    )
