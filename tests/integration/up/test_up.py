"""`headrace up` as users run it."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from headrace.client import Client
from headrace.config import Settings

READY_S = 90.0
STOP_S = 10.0


class Up:
    """One running `headrace up`, ready."""

    def __init__(self, data: Path, port: int) -> None:
        self.data = data
        self.settings = Settings.load({}, data=data, port=port)
        command = [sys.executable, "-m", "headrace", "up", "--data", str(data), "--port", str(port)]
        self.process = subprocess.Popen(
            [*command, "--slots", "1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        end = time.monotonic() + READY_S
        while not self.settings.url_file.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                raise AssertionError(self.process.communicate()[0])
            time.sleep(0.1)

    def family(self) -> dict[int, psutil.Process]:
        return {p.pid: p for p in psutil.Process(self.process.pid).children(recursive=True)}

    def part(self, name: str) -> psutil.Process | None:
        """The leader of a part's process group, None between two of them."""
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # it has just died
                if child.cmdline()[-1:] == [name]:
                    return child
        return None

    def client(self) -> Client:
        return Client(settings=self.settings)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], bool], within_s: float) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.05)


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_it_mends_itself_ends_in_time_and_goes_on_where_it_was(tmp_path: Path) -> None:
    data = tmp_path / "data"
    up = Up(data, free_port())
    try:
        with up.client() as client:
            assert client.ready()
            assert [key["name"] for key in client.api_keys()] == ["headrace up"]
            client.create_key(role="viewer", name="kept")
            for part in ("web", "scheduler"):
                victim = up.part(part)
                assert victim is not None
                victim.kill()
                until(lambda part=part, victim=victim: up.part(part) not in (None, victim), 5)
            until(client.ready, READY_S)

        second = subprocess.run(
            [sys.executable, "-m", "headrace", "up", "--data", str(data)], capture_output=True, text=True
        )
        assert second.returncode == 1
        assert f"already (process {up.process.pid})" in second.stderr

        family = up.family()
        assert len(family) >= 5
        begun = time.monotonic()
        up.process.send_signal(signal.SIGTERM)
        said, _ = up.process.communicate(timeout=STOP_S)
        assert up.process.returncode == 0
        assert time.monotonic() - begun < STOP_S
        until(lambda: not any(alive(p) for p in family.values()), STOP_S - (time.monotonic() - begun))
        assert re.search(r"ready: http://127.0.0.1:\d+", said)
        assert "web was killed by SIGKILL; starting it again" in said
        assert not up.settings.url_file.exists()
        key = up.settings.admin_key_file.read_text()

        up = Up(data, free_port())
        assert up.settings.admin_key_file.read_text() == key
        with up.client() as client:
            assert {key["name"] for key in client.api_keys()} == {"headrace up", "kept"}
        family = up.family()
        up.process.kill()
        until(lambda: not any(alive(p) for p in family.values()), STOP_S)
    finally:
        up.process.kill()
        up.process.communicate()
