"""Whatever dies — fork server, supervisor, both — no process stays, and a new server takes over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from headrace_workers.job_process import SpawnFailed
from headrace_workers.scratch import Scratch, sweep

from .conftest import HERE, Runner, is_alive, read_to_end, wait_for


def start_family(runner: Runner):
    folder = runner.scratch.new("job")
    (folder / "stay").touch()
    process = runner.server.spawn(folder, entry="job_entries:stubborn_family")
    return process, process.read(10.0)[0].result["pids"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_fork_server_takes_its_jobs_along_and_is_replaced(runner: Runner, number: int) -> None:
    process, pids = start_family(runner)
    with process:
        dead = runner.server.pid
        os.kill(dead, number)
        ended = read_to_end(process)[-1]
        assert not any(map(is_alive, pids))
        assert ended.server_died == (number == signal.SIGKILL)
    wait_for(lambda: runner.server.pid not in (None, dead))
    assert runner.server.ready(10)
    assert runner.run("succeed")[-1].code == 0


def test_stopping_the_server_kills_its_jobs(runner: Runner) -> None:
    process, pids = start_family(runner)
    with process:
        runner.server.stop()
        assert not any(map(is_alive, pids))
        assert read_to_end(process)[-1].signal == signal.SIGKILL


def test_a_server_that_does_not_answer_is_replaced(tmp_path: Path) -> None:
    runner = Runner(tmp_path, answer_timeout_s=0.3)
    assert runner.server.ready(10)
    frozen = runner.server.pid
    with runner.spawn("sleep") as before:
        os.kill(frozen, signal.SIGSTOP)
        with pytest.raises(SpawnFailed, match="answered"):
            runner.spawn("nothing")
        wait_for(lambda: runner.server.pid != frozen)
        assert runner.server.ready(10)
        assert runner.run("nothing")[-1].code == 0
        assert is_alive(before.pid)
        os.kill(frozen, signal.SIGCONT)
        before.kill()
        assert read_to_end(before)[-1].signal == signal.SIGKILL
    wait_for(lambda: not psutil.pid_exists(frozen))
    runner.close()


def test_a_server_that_cannot_kill_is_killed(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace_workers.job_process._KILL_TIMEOUT_S", 0.3)
    process, pids = start_family(runner)
    with process:
        os.kill(runner.server.pid, signal.SIGSTOP)
        process.kill()
        assert not any(map(is_alive, pids))
        assert read_to_end(process)[-1].server_died


def test_a_server_whose_threads_have_changed_forks_no_more_and_is_replaced(tmp_path: Path) -> None:
    runner = Runner(tmp_path, preload="job_entries:preload_with_a_thread_that_ends")
    assert runner.server.ready(10)
    first = runner.server.pid
    assert first
    assert runner.run("nothing")[-1].code == 0
    wait_for(lambda: len(os.listdir(f"/proc/{first}/task")) == 1)
    with pytest.raises(SpawnFailed, match="1 threads and had 2"):
        runner.spawn("nothing")
    wait_for(lambda: not psutil.pid_exists(first))
    assert runner.server.ready(10)
    runner.close()


def test_a_failing_preload_is_never_ready(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runner = Runner(tmp_path, preload="job_entries:preload_failing")
    assert not runner.server.ready(1.0)
    runner.close()
    assert "this preload fails" in capfd.readouterr().err


def start_supervisor(root: Path) -> tuple[subprocess.Popen[str], list[int]]:
    command = [sys.executable, str(HERE / "supervisor.py"), str(root), str(HERE)]
    supervisor = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout
    said = json.loads(supervisor.stdout.readline())
    return supervisor, [said["server"], *said["pids"]]


def test_no_process_outlives_its_supervisor(tmp_path: Path) -> None:
    supervisor, pids = start_supervisor(tmp_path)
    with supervisor:
        assert all(map(is_alive, pids))
        supervisor.kill()
    wait_for(lambda: not any(map(is_alive, pids)))


def test_a_sweep_removes_what_supervisor_and_server_left_when_both_died(tmp_path: Path) -> None:
    supervisor, (server, job, in_group, own_session, no_environment) = start_supervisor(tmp_path)
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    with Scratch(tmp_path) as living, supervisor, bystander:
        folder = living.new("job")
        sweep(tmp_path)
        assert is_alive(supervisor.pid)
        assert is_alive(job)
        os.kill(supervisor.pid, signal.SIGSTOP)
        os.kill(server, signal.SIGKILL)
        supervisor.kill()
        supervisor.wait()
        wait_for(lambda: not is_alive(job))
        sweep(tmp_path)
        assert not any(map(is_alive, [server, in_group, own_session]))
        assert folder.is_dir()
        assert list(tmp_path.glob("space-*")) == [living.path]
        assert bystander.poll() is None
        bystander.kill()
    os.kill(no_environment, signal.SIGKILL)  # the one that a sweep cannot know


def test_a_sweep_kills_by_home_and_not_by_number(tmp_path: Path) -> None:
    root = tmp_path / "root"
    Scratch(root)._lock.close()  # its supervisor died
    similar = tmp_path / "root-of-another"
    similar.mkdir()
    command = [sys.executable, "-c", "import time; time.sleep(300)"]
    (dead,) = root.glob("space-*")
    with (
        subprocess.Popen(command, env={"HOME": str(dead / "home-x")}) as ours,
        subprocess.Popen(command, env={"HOME": f"{dead}-and-more"}) as theirs,
    ):
        time.sleep(0.05)
        sweep(root)
        assert not is_alive(ours.pid)
        assert theirs.poll() is None
        assert not dead.exists()
        theirs.kill()


def test_sweeping_nothing_is_fine(tmp_path: Path) -> None:
    sweep(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()
