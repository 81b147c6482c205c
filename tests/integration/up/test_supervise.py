"""The supervisor with dummy parts, as a process of its own that the tests signal."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

RUN = """
import os, sys, time
from pathlib import Path
from headrace.cli.supervise import CannotStart, Grace, Part, Supervisor
folder = Path(sys.argv[1])
parts = [Part(name=f"part{i}", command=(sys.executable, "-c", code)) for i, code in enumerate(sys.argv[2:])]
supervisor = Supervisor(
    parts, env={"FOLDER": str(folder), "PATH": os.environ["PATH"]}, logs=folder / "logs",
    report=lambda line: print(line, flush=True), grace=Grace(parts_s=1.0, last_s=0.5),
)
try:
    supervisor.run(lambda: (folder / "ready").exists(), lambda: print("ready", flush=True))
except CannotStart as error:
    print(error)
    sys.exit(1)
"""
NOTE = "import os, sys, time, signal; open(os.environ['FOLDER'] + '/pids', 'a').write(f'{os.getpid()}\\n');"
SLEEP = NOTE + "time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + NOTE + "time.sleep(60)"
WITH_CHILD = "import os; os.fork();" + DEAF

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def run(*codes: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", textwrap.dedent(RUN), str(tmp_path), *codes]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()
    for pid in pids(tmp_path):
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)


def pids(folder: Path) -> list[int]:
    file = folder / "pids"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


def test_what_dies_is_started_again(start: Start, tmp_path: Path) -> None:
    up = start(SLEEP)
    for generation in (1, 2, 3):
        until(lambda n=generation: len(pids(tmp_path)) == n)
        os.kill(pids(tmp_path)[-1], signal.SIGKILL)
    until(lambda: len(pids(tmp_path)) == 4)
    up.terminate()
    out, _ = up.communicate(timeout=5)
    assert up.returncode == 0
    assert out.count("part0 was killed by SIGKILL; starting it again") == 3
    assert "in 0.2 s" in out
    assert "in 0.8 s" in out


def test_the_rest_of_a_dead_parts_group_does_not_live_on(start: Start, tmp_path: Path) -> None:
    start(WITH_CHILD)
    until(lambda: len(pids(tmp_path)) == 2)
    leader = next(pid for pid in pids(tmp_path) if os.getpgid(pid) == pid)
    (child,) = [pid for pid in pids(tmp_path) if pid != leader]
    os.kill(leader, signal.SIGKILL)
    until(lambda: not alive(child), 2)


def test_being_asked_to_end_it_ends_at_once_what_obeys(start: Start, tmp_path: Path) -> None:
    up = start(SLEEP, SLEEP)
    until(lambda: len(pids(tmp_path)) == 2)
    begun = time.monotonic()
    up.terminate()
    up.communicate(timeout=5)
    assert up.returncode == 0
    assert time.monotonic() - begun < 0.9
    assert not any(alive(pid) for pid in pids(tmp_path))


def test_what_ignores_being_asked_is_killed_with_its_children_within_the_grace(
    start: Start, tmp_path: Path
) -> None:
    up = start(WITH_CHILD)
    until(lambda: len(pids(tmp_path)) == 2)
    begun = time.monotonic()
    up.send_signal(signal.SIGINT)
    out, _ = up.communicate(timeout=5)
    assert 0.9 < time.monotonic() - begun < 2.5
    assert "part0 did not end in time" in out
    assert not any(alive(pid) for pid in pids(tmp_path))


def test_a_second_signal_kills_at_once(start: Start, tmp_path: Path) -> None:
    up = start(DEAF)
    until(lambda: len(pids(tmp_path)) == 1)
    begun = time.monotonic()
    up.send_signal(signal.SIGINT)
    time.sleep(0.2)
    up.send_signal(signal.SIGINT)
    up.communicate(timeout=5)
    assert time.monotonic() - begun < 0.9
    assert not alive(pids(tmp_path)[0])


def test_nothing_survives_a_killed_supervisor(start: Start, tmp_path: Path) -> None:
    up = start(WITH_CHILD, SLEEP)
    until(lambda: len(pids(tmp_path)) == 3)
    group = [p.pid for p in psutil.Process(up.pid).children(recursive=True)]
    up.kill()
    until(lambda: not any(alive(pid) for pid in [*pids(tmp_path), *group]), 3)


def test_being_ready_is_told_once(start: Start, tmp_path: Path) -> None:
    up = start(SLEEP)
    until(lambda: len(pids(tmp_path)) == 1)
    (tmp_path / "ready").touch()
    assert up.stdout is not None
    assert up.stdout.readline() == "ready\n"
    os.kill(pids(tmp_path)[0], signal.SIGKILL)
    until(lambda: len(pids(tmp_path)) == 2)
    up.terminate()
    assert "ready" not in up.communicate(timeout=5)[0].splitlines()


def test_a_part_that_cannot_start_is_given_up_with_the_end_of_its_log(start: Start, tmp_path: Path) -> None:
    up = start("import sys; sys.exit('no such setting')", SLEEP)
    out, _ = up.communicate(timeout=15)
    assert up.returncode == 1
    assert "part0 does not start" in out
    assert "no such setting" in out.splitlines()[-1]
    assert not any(alive(pid) for pid in pids(tmp_path))
