"""What a process uses, and the energy that is its share."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headrace_workers import metering
from headrace_workers.job_pipes import Exited
from headrace_workers.metering import Meter, Packages


def _zone(folder: Path, name: str, energy: int) -> None:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "energy_uj").write_text(f"{energy}\n")
    (folder / name / "max_energy_range_uj").write_text("1000000000\n")


def test_counters_of_packages_are_read_and_begin_anew(tmp_path: Path) -> None:
    _zone(tmp_path, "intel-rapl:0", 999_000_000)
    _zone(tmp_path, "intel-rapl:1", 0)
    _zone(tmp_path, "intel-rapl:0:0", 5)  # a part of the first: counted already
    packages = Packages(tmp_path)
    before = packages.read()
    _zone(tmp_path, "intel-rapl:0", 1_000_000)
    _zone(tmp_path, "intel-rapl:1", 3_000_000)
    after = packages.read()
    assert before is not None
    assert after is not None
    assert packages.between(before, after) == pytest.approx(2.0 + 3.0)


def test_no_counters_no_reading(tmp_path: Path) -> None:
    assert Packages(tmp_path).read() is None


def _process(ending: Exited | None = None) -> Any:
    return SimpleNamespace(pid=os.getpid(), ending=ending)


def test_energy_is_estimated_from_processor_time(tmp_path: Path) -> None:
    used = Meter(_process(), 20.0, Packages(tmp_path)).read()
    assert used.cpu_s > 0
    assert used.peak_bytes > 1_000_000
    assert used.energy_j == pytest.approx(20.0 * used.cpu_s)
    assert used.energy_source == "estimate"


def test_what_the_kernel_says_at_the_end_counts_and_never_falls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = _process()
    meter = Meter(process, 20.0, Packages(tmp_path))
    monkeypatch.setattr(metering, "_of_group", lambda pid: (4.0, 700))
    assert meter.read().cpu_s == 4.0
    process.ending = Exited(code=0, max_rss_bytes=500, cpu_s=5.0)
    assert (meter.read().cpu_s, meter.read().peak_bytes) == (5.0, 700)
    process.ending = Exited(server_died=True)
    assert (meter.read().cpu_s, meter.read().peak_bytes) == (5.0, 700)


def test_measured_energy_is_shared_by_processor_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _zone(tmp_path, "intel-rapl:0", 0)
    busy = [100.0]
    monkeypatch.setattr(metering, "_busy_s", lambda: busy[0])
    meter = Meter(_process(), 20.0, Packages(tmp_path))
    for cpu_s, machine_s, energy, expected in ((1.0, 104.0, 40, 10.0), (3.0, 106.0, 50, 20.0)):
        monkeypatch.setattr(metering, "_of_group", lambda pid, cpu_s=cpu_s: (cpu_s, 1))
        busy[0] = machine_s
        _zone(tmp_path, "intel-rapl:0", energy * 1_000_000)
        used = meter.read()
        assert used.energy_j == pytest.approx(expected)
        assert used.energy_source == "rapl"
