"""Bytes of a job become bounded, harmless events, however they are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.specs.task import MAX_LINE_BYTES, Done, Progress
from headrace_workers.job_pipes import MAX_LOG_LINE_BYTES, Garbage, LogLines, LogReader, MessageReader

PROGRESS = b'{"type":"progress","fraction":0.5}\n'


def test_a_message_may_come_in_pieces() -> None:
    reader = MessageReader()
    found = [event for i in range(len(PROGRESS)) for event in reader.feed(PROGRESS[i : i + 1])]
    assert found == [Progress(fraction=0.5)]


def test_a_line_may_be_as_long_as_announced_and_no_longer() -> None:
    frame = len(b'{"type":"done","result":{"x":""},"outputs":{}}')
    for extra, kind in ((0, Done), (1, Garbage)):
        line = b'{"type":"done","result":{"x":"%s"},"outputs":{}}\n' % (
            b"y" * (MAX_LINE_BYTES - frame + extra)
        )
        assert [type(event) for event in MessageReader().feed(line)] == [kind]


def test_a_line_without_end_is_garbage_before_it_fills_the_memory() -> None:
    reader = MessageReader()
    fed = 0
    while not (events := reader.feed(b"x" * 65536)):
        fed += 65536
        assert fed <= MAX_LINE_BYTES
    assert isinstance(events[0], Garbage)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "not a message"),
        (b"\xff\xfe", "not a message"),
        (b"[" * 100_000, "not a message"),
        (b'{"type":"progress"}', "progress.fraction: Field required"),
        (b'{"type":"progress","fraction":NaN}', "progress.fraction"),
        (b'{"type":"other"}', "does not match any of the expected tags"),
        (b'{"type":"done","result":{"a":[NaN]},"outputs":{}}', "not finite"),
        (b'{"type":"done","result":{"a":"\\ud800"},"outputs":{}}', "not a message"),
        (b'{"type":"metric","name":"m","step":' + b"9" * 5000 + b',"value":1}', "out of range"),
    ],
)
def test_what_is_no_message_is_garbage_and_nothing_follows_it(line: bytes, reason: str) -> None:
    reader = MessageReader()
    (garbage,) = reader.feed(PROGRESS + line + b"\n" + PROGRESS)[1:]
    assert isinstance(garbage, Garbage)
    assert reason in garbage.reason
    assert len(garbage.reason) <= 500
    assert reader.feed(PROGRESS) == []


@given(st.lists(st.binary(max_size=30) | st.just(b"z" * (MAX_LOG_LINE_BYTES + 1)), max_size=20))
def test_any_bytes_of_a_log_become_text_of_bounded_lines(pieces: list[bytes]) -> None:
    reader = LogReader()
    events = [event for piece in pieces for event in reader.feed(piece)] + reader.end()
    for event in events:
        assert isinstance(event, LogLines)
        for line in event.lines:
            assert len(line) <= MAX_LOG_LINE_BYTES
            assert "\n" not in line
            assert "\r" not in line
            assert "\0" not in line
            line.encode()


@given(st.lists(st.binary(max_size=5), max_size=20))
def test_how_a_log_is_cut_makes_no_difference(pieces: list[bytes]) -> None:
    def lines(parts: list[bytes]) -> list[str]:
        reader = LogReader()
        events = [event for part in parts for event in reader.feed(part)] + reader.end()
        return [line for event in events if isinstance(event, LogLines) for line in event.lines]

    assert lines(pieces) == lines([b"".join(pieces)])
