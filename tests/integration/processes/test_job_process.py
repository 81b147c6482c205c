"""What a job process does reaches its supervisor as events, and nothing of it is left behind."""

from __future__ import annotations

import threading
import time
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from headrace.specs.task import Done, Failed, Progress
from headrace_workers.job_pipes import Event, Exited, Garbage, LogLines
from headrace_workers.job_process import SpawnFailed

from .conftest import Runner, is_alive, read_to_end, wait_for

RESTING_FDS = 7
"""Of a fork server without a job: standard ones, control, selector, both ends of what signals wake it by."""


def lines_of(events: list[Event]) -> list[str]:
    return [line for event in events if isinstance(event, LogLines) for line in event.lines]


def test_messages_log_and_exit_arrive_in_that_order(runner: Runner) -> None:
    folder = runner.scratch.new("job")
    with runner.server.spawn(folder, entry="job_entries:succeed") as process:
        events = read_to_end(process)
        assert process.read(0.0) == []
    messages = [event for event in events if not isinstance(event, LogLines)]
    assert messages[:2] == [
        Progress(fraction=0.5, message="half"),
        Done(result={"rows": 1}, outputs={"out": "out.txt"}),
    ]
    assert lines_of(events) == ["a line of the log"]
    ended = events[-1]
    assert isinstance(ended, Exited)
    assert (ended.code, ended.signal, ended.server_died) == (0, None, False)
    assert (folder / "out.txt").read_text() == "result"
    assert (folder / "out.txt").stat().st_mode & 0o777 == 0o600


def test_an_exception_is_code_1_and_its_traceback_is_in_the_log(runner: Runner) -> None:
    events = runner.run("fail")
    assert "ValueError: no such thing" in lines_of(events)
    assert events[-1].code == 1


def test_a_missing_entry_is_code_1_and_the_log_says_so(runner: Runner) -> None:
    events = runner.run("no_such_entry")
    assert any("no_such_entry" in line for line in lines_of(events))
    assert events[-1].code == 1


def test_a_code_of_its_own_is_told(runner: Runner) -> None:
    assert runner.run("exit_7")[-1].reason == "exited with code 7"


def test_a_crash_is_told_as_its_signal_with_the_python_stack_in_the_log(runner: Runner) -> None:
    events = runner.run("segfault")
    assert (events[-1].code, events[-1].signal) == (None, 11)
    assert any("in segfault" in line for line in lines_of(events))


def test_cost_is_told(runner: Runner) -> None:
    ended = runner.run("burn")[-1]
    assert ended.cpu_s >= 0.2
    assert ended.max_rss_bytes >= 64 << 20


def test_the_address_space_can_be_limited(runner: Runner) -> None:
    events = runner.run("allocate", address_space_bytes=2 << 30)
    assert "MemoryError" in lines_of(events)


def test_a_job_sees_nothing_of_its_supervisor(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", "secret")
    folder = runner.scratch.new("job")
    with (
        runner.spawn("sleep"),
        runner.server.spawn(folder, entry="job_entries:look_around") as process,
    ):
        found = next(event for event in read_to_end(process) if isinstance(event, Done)).result
    environ = found["environ"]
    assert set(environ) == {
        *("PATH", "LANG", "HOME", "PYTHONHASHSEED", "TF_CPP_MIN_LOG_LEVEL", "CUDA_VISIBLE_DEVICES"),
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "JE_ARROW_MALLOC_CONF", "PYTHONPATH"),
        "TF_ENABLE_ONEDNN_OPTS",
    }
    assert list(Path(environ["HOME"]).iterdir()) == []
    assert found["fds"] == [0, 1, 2, found["message_fd"]]
    assert found["stdin"] == "/dev/null"
    assert found["cwd"] == str(folder)
    assert found["tmp"] == str(folder / "tmp")
    assert set(found["group"]) == {process.pid}
    assert (found["umask"], found["core"], found["sigterm"]) == (0o077, 0, True)
    ours = [m for m in found["modules"] if m.startswith("headrace")]
    assert ours == ["headrace_workers"]


@pytest.mark.parametrize("entry", ["long_line", "binary"])
def test_what_is_no_message_is_garbage_and_ends_the_messages(runner: Runner, entry: str) -> None:
    events = [event for event in runner.run(entry) if not isinstance(event, LogLines)]
    assert [type(event) for event in events] == [Garbage, Exited]
    assert events[-1].code == 0


def test_nul_in_a_message_becomes_harmless(runner: Runner) -> None:
    failed = next(event for event in runner.run("nul_text") if isinstance(event, Failed))
    assert failed.message == "a\ufffdb"


def test_odd_bytes_in_the_log_become_text(runner: Runner) -> None:
    lines = lines_of(runner.run("odd_log"))
    assert lines[:2] == ["\ufffd\ufffd \ufffd \ufffd\ufffd\ufffd", "9/9"]
    assert [len(line) for line in lines[2:-1]] == [8192, 8192, 20_000 - 2 * 8192]
    assert lines[-1] == "no end"


def test_a_flood_of_log_lines_takes_no_memory_and_all_of_it_arrives(runner: Runner) -> None:
    count = 0
    tracemalloc.start()
    with runner.spawn("flood") as process:
        events: list[Event] = []
        while not any(isinstance(event, Exited) for event in events):
            events = process.read(5.0)
            count += len(lines_of(events))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 50_000
    assert peak < 20 << 20


def test_killing_a_job_kills_its_whole_family(runner: Runner) -> None:
    folder = runner.scratch.new("job")
    (folder / "stay").touch()
    with runner.server.spawn(folder, entry="job_entries:stubborn_family") as process:
        done = process.read(10.0)[0]
        assert isinstance(done, Done)
        pids = done.result["pids"]
        assert all(map(is_alive, pids))
        process.kill()
        assert not any(map(psutil.pid_exists, pids))
        assert read_to_end(process)[-1].signal == 9


def test_a_family_left_behind_is_dead_before_the_exit_is_told(runner: Runner) -> None:
    events = runner.run("stubborn_family")
    pids = next(event for event in events if isinstance(event, Done)).result["pids"]
    assert not any(map(psutil.pid_exists, pids))
    assert events[-1].code == 0


def test_a_descendant_that_holds_the_pipes_delays_nothing(runner: Runner) -> None:
    started = time.monotonic()
    assert runner.run("keeps_pipes_open")[-1].code == 0
    assert time.monotonic() - started < 2


def test_a_job_whose_handle_is_closed_is_dead(runner: Runner) -> None:
    with runner.spawn("sleep") as process:
        assert is_alive(process.pid)
    assert not psutil.pid_exists(process.pid)


def test_a_kill_leaves_the_neighbours_alone(runner: Runner) -> None:
    folder = runner.scratch.new("job")
    (folder / "stay").touch()
    with runner.server.spawn(folder, entry="job_entries:stubborn_family") as family:
        pids = family.read(10.0)[0].result["pids"]
        runner.run("stubborn_family")
        with runner.spawn("sleep") as other:
            other.kill()
        assert all(map(is_alive, pids))


def test_an_orphan_of_a_running_job_lives_as_long_as_its_job(runner: Runner) -> None:
    with runner.spawn("orphan_in_session") as process:
        orphan = process.read(10.0)[0].result["pid"]
        runner.run("stubborn_family")
        assert is_alive(orphan)
        process.kill()
        assert not psutil.pid_exists(orphan)


def test_a_job_that_ends_before_its_start_is_heard_of_ends_well(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow_clock() -> float:
        time.sleep(0.1)
        return time.monotonic()

    folder = runner.scratch.new("job")
    monkeypatch.setattr("headrace_workers.job_process.time", SimpleNamespace(monotonic=slow_clock))
    with runner.server.spawn(folder, entry="job_entries:nothing") as process:
        assert read_to_end(process)[-1].code == 0


def test_a_missing_folder_ends_the_job_only(runner: Runner, tmp_path: Path) -> None:
    with runner.server.spawn(tmp_path / "missing", entry="job_entries:succeed") as process:
        events = read_to_end(process)
    assert any("FileNotFoundError" in line for line in lines_of(events))
    assert runner.run("nothing")[-1].code == 0


def test_many_jobs_leave_no_descriptor_process_or_folder(runner: Runner) -> None:
    server = psutil.Process(runner.server.pid)
    runner.run("nothing")
    ours = psutil.Process().num_fds()
    # The server's side of a connection is closed a moment after the exit is told.
    wait_for(lambda: server.num_fds() == RESTING_FDS)
    for number in range(200):
        folder = runner.scratch.new("job")
        with runner.server.spawn(folder, entry="job_entries:nothing") as process:
            if number % 2:
                assert read_to_end(process)[-1].code == 0
    assert server.children() == []
    assert psutil.Process().num_fds() == ours
    wait_for(lambda: server.num_fds() == RESTING_FDS)


def test_a_kill_loses_nothing_of_what_was_written(runner: Runner) -> None:
    with runner.spawn("succeed") as process:
        wait_for(lambda: not psutil.pid_exists(process.pid))
        process.kill()
        events = process.read(1.0)
    assert [type(event) for event in events] == [Progress, Done, LogLines, Exited]
    assert events[-1].code == 0


def test_threads_may_spawn_at_once(runner: Runner) -> None:
    codes: list[int | None] = []

    def work() -> None:
        for _ in range(20):
            events = runner.run("succeed")
            assert sum(isinstance(event, Done) for event in events) == 1
            codes.append(events[-1].code)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0] * 80


def test_spawning_on_a_stopped_server_says_so(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    assert runner.server.ready(10)
    runner.close()
    assert not runner.server.ready(0.1)
    with pytest.raises(SpawnFailed, match="not ready"):
        runner.server.spawn(tmp_path, entry="job_entries:nothing")
