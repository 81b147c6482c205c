"""``headrace health``: what a container's health check runs."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import AuthenticationError
from multiprocessing.connection import Listener
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from headrace import pulse
from headrace.cli.group import cli
from headrace.config import Settings


def health(part: str, data: Path, *more: str) -> Result:
    return CliRunner().invoke(cli, ["health", part, "--data", str(data), *more], standalone_mode=False)


@pytest.mark.parametrize("part", ["scheduler", "worker"])
def test_a_part_lives_while_it_touches_its_file(part: pulse.Pulsing, tmp_path: Path) -> None:
    assert health(part, tmp_path).return_value == 1
    assert "has run" in health(part, tmp_path).output
    pulse.beat(Settings.load({}, data=tmp_path), part)
    assert health(part, tmp_path).return_value == 0
    (file,) = tmp_path.iterdir()
    then = time.time() - pulse.LONGEST_S - 1
    os.utime(file, (then, then))
    silent = health(part, tmp_path, "--json")
    assert silent.return_value == 1
    assert json.loads(silent.output)["reason"].startswith(f"the {part} has given no sign of life for 61 s")


def test_a_disk_that_is_full_ends_no_part(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    pulse.beat(Settings.load({}, data=tmp_path / "file" / "data"), "worker")
    assert "cannot be kept" in caplog.text


def test_a_web_server_that_does_not_answer_is_not_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_PORT", "1")
    answer = health("web", tmp_path)
    assert answer.return_value == 1
    assert "127.0.0.1:1 does not answer" in answer.output


def test_the_serving_process_is_greeted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Listener(("127.0.0.1", 0), authkey=b"0123456789abcdef") as listener:
        monkeypatch.setenv("HEADRACE_SERVE_URL", f"tcp://127.0.0.1:{listener.address[1]}")
        monkeypatch.setenv("HEADRACE_SERVE_SECRET", "0123456789abcdef")
        with ThreadPoolExecutor(1) as pool:
            accepted = pool.submit(listener.accept)
            assert health("serve", tmp_path).return_value == 0
            accepted.result(10).close()
        monkeypatch.setenv("HEADRACE_SERVE_SECRET", "another, that is wrong")
        with ThreadPoolExecutor(1) as pool:
            accepted = pool.submit(listener.accept)
            assert "another HEADRACE_SERVE_SECRET" in health("serve", tmp_path).output
            assert isinstance(accepted.exception(10), AuthenticationError)
    assert "does not answer" in health("serve", tmp_path).output
