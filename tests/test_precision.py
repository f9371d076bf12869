"""What precision "auto" comes to, and that a process which shows or trains pays for nothing it does not
need."""

import os
import subprocess
import sys

import pytest
import torch

from nbutils import devices
from nbutils.training.job import usual
from nbutils.training.loop import TrainingSettings

PLAIN = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


def said(code, **environment):
    """What a new process prints."""
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environment
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()


def processor(monkeypatch, *, flags, capability, onednn, limit=None):
    """As if this were another machine without an accelerator."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda name=name: name in flags, raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: onednn is not None)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn, raising=False)
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    if limit:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)


BF16, AMX = "_is_avx512_bf16_supported", "_is_amx_tile_supported"


@pytest.mark.parametrize(
    ("machine", "precision"),
    [
        (dict(flags=(BF16, AMX), capability="AVX512", onednn=True), "bf16-mixed"),
        (dict(flags=(BF16,), capability="AVX512", onednn=True), "bf16-mixed"),
        (dict(flags=(BF16, AMX), capability="AVX2", onednn=False), "32-true"),  # told to be an older one
        (dict(flags=(BF16, AMX), capability="AVX512", onednn=False), "32-true"),
        (dict(flags=(BF16, AMX), capability="AVX512", onednn=True, limit="AVX512_CORE"), "32-true"),
        (dict(flags=(), capability="AVX512", onednn=True), "32-true"),  # oneDNN emulates bfloat16 there
        (dict(flags=(), capability="AVX2", onednn=False), "32-true"),
        (dict(flags=(), capability="DEFAULT", onednn=None), "32-true"),  # ARM, or a torch without oneDNN
    ],
)
def test_auto_is_bfloat16_where_the_processor_and_the_libraries_have_it(monkeypatch, machine, precision):
    processor(monkeypatch, **machine)
    assert devices.resolved("auto") == precision
    assert usual().settings.precision == usual().vary(precision="auto").settings.precision == precision
    assert TrainingSettings(steps=1, precision="auto") == TrainingSettings(steps=1, precision=precision)


def test_other_precisions_are_what_they_say_anywhere(monkeypatch):
    processor(monkeypatch, flags=(), capability="DEFAULT", onednn=None)
    assert [devices.resolved(precision) for precision in devices.PRECISIONS[1:]] == list(
        devices.PRECISIONS[1:]
    )


def test_a_machine_told_to_be_older_computes_in_single_precision():
    code = "from nbutils import devices; print(devices.resolved('auto'))"
    assert said(code, **PLAIN) == "32-true"


def test_an_accelerator_decides_by_what_it_has(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for native, precision in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr(
            torch.cuda,
            "is_bf16_supported",
            lambda including_emulation=True, native=native: native or including_emulation,
        )
        assert devices.default().type == "cuda"
        assert devices.resolved("auto") == precision


KERNEL = """
from nbutils.data import painted_colours, scenes, sources
from nbutils.nade import likelihood, losses, masks, sampling, schedules, statistics
from nbutils.nade.objective import InpaintingTask
from nbutils.evidence import ledger, results
from nbutils.reports import parameters
from nbutils.show import animation, figures
from nbutils.training import checkpoints, inpainting
from nbutils.training.job import Job, load
from nbutils.training.loop import TrainingSettings
parameters.check({"precision": "auto", "steps": 3})
"""
TRAINING = "import nbutils.cli\nfrom nbutils import job_files\njob_files.read(None, ['steps=3'])"
WORKER = "import nbutils.training.job, nbutils.training.pixels, nbutils.training.inpainting"
COSTLY = (
    "nbformat, jsonschema, rfc3987_syntax, lightning, scipy.stats, skimage.restoration, sklearn, "
    "nbconvert, papermill"
)


@pytest.mark.parametrize("code", [KERNEL, TRAINING, WORKER], ids=["kernel", "training", "worker"])
def test_kernels_and_trainings_import_nothing_costly(code):
    asks = f"import sys; print([name for name in {COSTLY.split(', ')!r} if sys.modules.get(name)])"
    assert said(f"{code}\n{asks}") == "[]"


def test_notebooks_are_validated_without_building_a_grammar():
    code = (
        "import nbutils.reports, nbformat, sys; nbformat.validate(nbformat.v4.new_notebook()); "
        "print(sys.modules['rfc3987_syntax'])"
    )
    assert said(code) == "None"
