"""Request ids, traces, and the lines of the log that carry them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest

from headrace import logs, origin
from headrace.config import Settings

KEY = "hr_0a1b2c3d_" + "f" * 64
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01"),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-holds", f"00-{TRACE}-{PARENT}-01"),
        (f"cc-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01"),
        (f"00-{TRACE}-{PARENT}-01-more", None),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        (f"00-{TRACE}-{PARENT}", None),
        (f" 00-{TRACE}-{PARENT}-01", None),
        (f"00-{TRACE}-{PARENT}-01\n", None),
        ("", None),
        (f"cc-{TRACE}-{PARENT}-01-" + "x" * 200, None),
    ],
)
def test_only_a_valid_trace_is_kept(given: str, kept: str | None) -> None:
    assert origin.valid_traceparent(given) == kept


@pytest.fixture
def log_lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[str], list[str]]]:
    """Configure the log in a format; what is called returns the lines logged since."""
    root = logging.getLogger()
    before = (root.level, root.handlers[:])

    def lines(log_format: str) -> list[str]:
        logs.configure(Settings.load({}, log_format=log_format), "web")
        log = logging.getLogger("headrace.test")
        who = origin.Origin(actor="key_1", project="p", request_id="r-1")
        with origin.acting(who), logs.job("job_1", 2):
            log.info("hello\nERROR forged %s", KEY, extra={"action": "greet", "status": 200, "path": "a b"})
            try:
                raise ValueError(f"postgresql://u:hunter2@db/x and Bearer abc.def password='swordfish' {KEY}")
            except ValueError:
                log.exception("failed")
        log.info("alone")
        return capsys.readouterr().err.splitlines()

    yield lines
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def test_json_lines(log_lines: Callable[[str], list[str]]) -> None:
    first, second, third = map(json.loads, log_lines("json"))
    assert first["message"] == "hello\nERROR forged hr_0a1b2c3d_***"
    expected = {"action": "greet", "status": 200, "path": "a b", "job": "job_1", "attempt": 2, "key": "key_1"}
    expected |= {"request_id": "r-1", "project": "p", "process": "web", "level": "INFO"}
    assert expected.items() <= first.items()
    assert "ValueError" in second["exception"]
    assert set(third) == {"time", "level", "process", "logger", "message"}


def test_text_lines(log_lines: Callable[[str], list[str]]) -> None:
    found = log_lines("text")
    assert found[0].endswith(
        r"INFO headrace.test hello\nERROR forged hr_0a1b2c3d_*** request_id=r-1 project=p key=key_1 "
        "job=job_1 attempt=2 action=greet status=200 path=a b"
    )
    assert found[-1].endswith("INFO headrace.test alone")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_secrets_are_struck_out(log_lines: Callable[[str], list[str]], log_format: str) -> None:
    text = "\n".join(log_lines(log_format))
    for secret in ("f" * 64, "hunter2", "abc.def", "swordfish"):
        assert secret not in text
    assert "hr_0a1b2c3d_***" in text
