"""What this machine computes with: its accelerator, or its processor, and whether that has bfloat16 in
hardware."""

import os

import torch

PRECISIONS = ("auto", "32-true", "bf16-mixed", "64-true")
_WITHOUT_BFLOAT16 = ("AVX512_CORE", "AVX512_CORE_VNNI")  # oneDNN takes bfloat16 there too, and emulates it


def default():
    """CUDA where it is, otherwise the CPU; never MPS, which has no float64."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def resolved(precision):
    """A precision as it is meant on this machine: "auto" is "bf16-mixed" where bfloat16 is native, "32-true"
    elsewhere.

    Raises:
        ValueError: none of `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: {precision!r}; expected one of {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision
    return "bf16-mixed" if native_bfloat16(default()) else "32-true"


def native_bfloat16(device):
    """Whether a device multiplies in bfloat16 by instructions of its own; emulated it is up to a hundred
    times slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return _processor_has_bfloat16() and _libraries_use_bfloat16()


def _processor_has_bfloat16():
    """By its flags; torch's names for them are younger than torch 2.6 in part."""
    flags = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, flag)() for flag in flags if hasattr(torch.cpu, flag))


def _libraries_use_bfloat16():
    """Whether torch and oneDNN use what the processor has: both can be told to take it for an older one."""
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", os.environ.get("DNNL_MAX_CPU_ISA", "")).upper()
    return (
        torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        and torch.backends.mkldnn.is_available()
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        and limit not in _WITHOUT_BFLOAT16
    )
