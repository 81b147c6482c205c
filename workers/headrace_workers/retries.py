"""Which ends of an attempt another attempt can mend: what befell the job, as against what is wrong with it.

=======================================  =====================================  =============================
what happened                            ``error.type``                         again, while failures are left
=======================================  =====================================  =============================
the job process was killed: out of       ``ProcessDied`` ("worker lost")        yes
memory, a crash in native code, its
fork server died
memory or disk ran out in the job        ``OutOfResources``                     yes
the worker's disk is full or fails       ``StorageError``                       yes
the artifact store is away or full       ``StorageFailed``, ``StorageFull``     yes
an input reads as other bytes than it    ``ArtifactCorrupt``,                   yes: it may read well then,
should, or is not there                  ``ArtifactMissing``                    or have been put right
no job process could be started          ``SpawnFailed``                        yes
the worker died, froze or was cut off,   ``WorkerLost`` ("worker lost")         yes
or the database was away for a lease
an unexpected error in the supervisor    ``InternalError``                      yes
the worker was told to shut down         none: it is no failure                 yes
the data does not fit                    ``BadData``                            no
the spec does not fit the data           ``BadSpec``                            no
the attempt took longer than its limit   ``TimedOut``                           no: it would again
an unexpected error in the job's code    ``InternalError``                      no: it would again
what the job says is no message, or its  ``ProtocolError``                      no: it would again
result lacks what it must have
cancelling was asked for                 ``Cancelled``                          no
=======================================  =====================================  =============================

A shorter absence of the database is waited for and costs nothing. Between attempts lies a backoff with
jitter (`headrace.jobs.transitions.Backoff`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from headrace.errors import (
    ArtifactCorrupt,
    ArtifactMissing,
    HeadraceError,
    JobError,
    LeaseLost,
    Unavailable,
)
from headrace_workers.outcomes import Broken, Interrupted, Outcome

_log = logging.getLogger(__name__)


def ending(attempt: Callable[[], Outcome]) -> Outcome:
    """Return what ``attempt`` comes to, also where it raises. Raises `LeaseLost`: then nothing is written."""
    try:
        return attempt()
    except Interrupted as interrupted:
        return interrupted.outcome
    except LeaseLost:
        raise
    except Exception as error:
        return _broken(error)


def _broken(error: Exception) -> Broken:
    match error:
        case JobError():
            return Broken(type=type(error).__name__, message=error.detail, retryable=error.retryable)
        case ArtifactCorrupt() | ArtifactMissing() | Unavailable():
            return Broken(type=type(error).__name__, message=error.detail, retryable=True)
        case HeadraceError():
            return Broken(type=type(error).__name__, message=error.detail, retryable=False)
        case OSError():
            # Not its whole text, which has paths of this machine.
            reason = error.strerror or type(error).__name__
            message = f"the worker cannot read or write a file: {reason}"
            return Broken(type="StorageError", message=message, retryable=True)
    _log.exception("an unexpected error ended the attempt", exc_info=error)
    message = f"an unexpected {type(error).__name__} ended the attempt; the worker's log says where"
    return Broken(type="InternalError", message=message, retryable=True)
