"""Where a model was trained: everything outside its spec that may change its bits."""

from __future__ import annotations

import hashlib
import inspect
import platform
import re
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("keras", "numpy", "pillow", "pyarrow", "scikit-learn", "tensorflow", "tensorflow-cpu")

CPU_FLAGS = re.compile(r"sse4_[12]|avx.*|fma|f16c|amx_.*|asimd.*|sve.*|bf16|i8mm")
"""Instruction sets by which the kernels of NumPy and oneDNN choose their code."""


def describe(threads: int, learner: type) -> dict[str, Any]:
    """Return packages, Python, processor, threads and code version, as plain JSON values.

    ``learner`` is the algorithm's class, whose file may be a plug-in's.
    """
    return {
        **installation(),
        "threads": threads,
        "algorithm": f"sha256:{_sha256(Path(inspect.getfile(learner)))}",
    }


@cache
def installation() -> dict[str, Any]:
    """Return what is the same for all jobs of a fork server, which looks it up once, as it starts."""
    return {
        "packages": _packages(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu_flags": _cpu_flags(),
        "code": {"version": metadata.version("headrace"), "digest": _code_digest()},
    }


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _cpu_flags() -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return sorted(filter(CPU_FLAGS.fullmatch, flags.partition(":")[2].split()))


def _code_digest() -> str:
    """Return a SHA-256 over the engine's sources: the version alone does not tell two checkouts apart."""
    folder = Path(__file__).parent
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        total.update(f"{path.relative_to(folder)}\0{_sha256(path)}\n".encode())
    return f"sha256:{total.hexdigest()}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
