"""What an attempt that ends by an exception comes to: every row of the table that a unit can show."""

from __future__ import annotations

import errno
import re

import pytest

from headrace import errors
from headrace.errors import LeaseLost
from headrace_workers import retries
from headrace_workers.job_process import SpawnFailed
from headrace_workers.outcomes import Broken, Cancelled, Interrupted, Outcome
from headrace_workers.retries import ending

PATH = "/srv/headrace/scratch/x"
ROWS = [
    (errors.OutOfResources("memory"), "OutOfResources", True),
    (OSError(errno.ENOSPC, "No space left on device", PATH), "StorageError", True),
    (OSError(errno.EIO, "Input/output error", PATH), "StorageError", True),
    (errors.StorageFailed("away"), "StorageFailed", True),
    (errors.StorageFull("full"), "StorageFull", True),
    (errors.ArtifactCorrupt("reads as other bytes"), "ArtifactCorrupt", True),
    (errors.ArtifactMissing("is not there"), "ArtifactMissing", True),
    (SpawnFailed("no process answered"), "SpawnFailed", True),
    (RuntimeError("can't start new thread"), "InternalError", True),
    (errors.BadData("line 3"), "BadData", False),
    (errors.BadSpec("no rows"), "BadSpec", False),
    (errors.NotFound("the dataset was deleted"), "NotFound", False),
]
ELSEWHERE = {"ProcessDied", "WorkerLost", "TimedOut", "ProtocolError", "Cancelled"}
"""Rows that need a worker: `integration.workers.test_faults`."""


@pytest.mark.parametrize(("error", "type_", "retryable"), ROWS, ids=lambda value: str(value)[:30])
def test_an_error_says_whether_a_retry_may_mend_it(error: Exception, type_: str, retryable: bool) -> None:
    def attempt() -> Outcome:
        raise error

    outcome = ending(attempt)
    assert isinstance(outcome, Broken)
    assert (outcome.type, outcome.retryable) == (type_, retryable)
    assert PATH not in outcome.message


def test_what_interrupts_an_attempt_is_its_outcome() -> None:
    def attempt() -> Outcome:
        raise Interrupted(Cancelled())

    assert ending(attempt) == Cancelled()


def test_a_lost_lease_is_no_outcome() -> None:
    def attempt() -> Outcome:
        raise LeaseLost

    with pytest.raises(LeaseLost):
        ending(attempt)


def test_every_row_of_the_table_has_its_test() -> None:
    table = (retries.__doc__ or "").split("=====\n")[2]
    named = set(re.findall(r"``(\w+)``", table))
    assert named == ({type_ for _, type_, _ in ROWS} | ELSEWHERE) - {"NotFound"}
