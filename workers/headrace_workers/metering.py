"""What a job process uses, as its supervisor sees it. `headrace.jobs.costs` says how exact that is."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from headrace.jobs.costs import Usage
from headrace_workers.job_process import JobProcess

POWERCAP = Path("/sys/class/powercap")
"""Linux' running average power limit counters (RAPL): docs.kernel.org/power/powercap/powercap.html."""


class Packages:
    """The energy counters of the machine's processor packages; without any where they cannot be read."""

    def __init__(self, folder: Path = POWERCAP) -> None:
        self._ranges: dict[Path, int] = {}
        # intel-rapl:0 is a package, intel-rapl:0:1 a part of it. AMD's have the same name.
        for zone in sorted(folder.glob("intel-rapl:*")):
            with suppress(OSError, ValueError):
                if zone.name.count(":") == 1:
                    _number(zone / "energy_uj")
                    self._ranges[zone] = _number(zone / "max_energy_range_uj")

    def read(self) -> Mapping[Path, int] | None:
        """Return each counter, in microjoules, or None where there are none."""
        try:
            return {zone: _number(zone / "energy_uj") for zone in self._ranges} or None
        except (OSError, ValueError):
            return None

    def between(self, before: Mapping[Path, int], after: Mapping[Path, int]) -> float:
        """Return the joules from one reading to the next; a counter that is smaller has begun anew."""
        steps = ((after[zone] - before[zone], size) for zone, size in self._ranges.items())
        return sum(step if step >= 0 else step + size for step, size in steps) / 1e6


class Meter:
    """What one job process, and what it started, has used. Of the thread that runs the attempt."""

    def __init__(self, process: JobProcess, watts_per_core: float, packages: Packages | None = None) -> None:
        self._process = process
        self._watts = watts_per_core
        self._packages = packages or Packages()
        self._cpu_s = self._measured_j = 0.0
        self._peak = 0
        self._counters = self._packages.read()
        self._busy_s = _busy_s()

    def read(self) -> Usage:
        """Return what has been used up to now, or in all once the process has ended."""
        before = self._cpu_s
        ending = self._process.ending
        if ending is None:
            cpu_s, size = _of_group(self._process.pid)
        else:
            cpu_s, size = ending.cpu_s, ending.max_rss_bytes
        self._cpu_s, self._peak = max(before, cpu_s), max(self._peak, size)
        counters, busy_s = self._packages.read(), _busy_s()
        if self._counters is None or counters is None:
            self._counters = None
            estimate = self._cpu_s * self._watts
            return Usage(
                cpu_s=self._cpu_s, peak_bytes=self._peak, energy_j=estimate, energy_source="estimate"
            )
        share = min((self._cpu_s - before) / max(busy_s - self._busy_s, 1e-9), 1.0)
        self._measured_j += share * self._packages.between(self._counters, counters)
        self._counters, self._busy_s = counters, busy_s
        return Usage(
            cpu_s=self._cpu_s, peak_bytes=self._peak, energy_j=self._measured_j, energy_source="rapl"
        )


def _of_group(pid: int) -> tuple[float, int]:
    """Return the processor time, in seconds, and the resident bytes of ``pid`` and all below it."""
    cpu_s, size = 0.0, 0
    with suppress(psutil.Error):
        leader = psutil.Process(pid)
        for process in (leader, *leader.children(recursive=True)):
            with suppress(psutil.Error):
                # With that of children it has waited for; those that live are in the list themselves.
                cpu_s += sum(process.cpu_times()[:4])
                size += process.memory_info().rss
    return cpu_s, size


def _busy_s() -> float:
    """Return the processor time of everything on this machine that was not idle, in seconds."""
    times = psutil.cpu_times()
    return float(
        times.user
        + times.system
        + getattr(times, "nice", 0.0)
        + getattr(times, "irq", 0.0)
        + getattr(times, "softirq", 0.0)
    )


def _number(file: Path) -> int:
    return int(file.read_text())
