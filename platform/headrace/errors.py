"""The one tree of errors that Headrace raises on purpose.

A class says what kind of thing went wrong; its docstring's first line is the default message, and
``detail`` says what was wrong here, where, and what would be right. The web maps classes to status
codes in one table (`headrace_web.errors`); a job process reports a `JobError` as the job's ``error``.
Nothing else in Headrace may reach a user: an exception outside this tree is a bug.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Loc = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class FieldError:
    """One wrong field: ``loc`` is the path into the request body, or ``("query", name)``."""

    loc: Loc
    msg: str


class HeadraceError(Exception):
    """Something went wrong."""

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or (type(self).__doc__ or "").splitlines()[0]
        super().__init__(self.detail)


class NotFound(HeadraceError):
    """There is no such thing in this project."""


class Conflict(HeadraceError):
    """The state of the thing does not allow this."""


class IdempotencyKeyInUse(Conflict):
    """A request with this idempotency key is being answered now; ask again for its answer."""


class Unauthenticated(HeadraceError):
    """A valid API key is needed: `Authorization: Bearer hr_…`."""


class Forbidden(HeadraceError):
    """This key has no right to do this."""


class Malformed(HeadraceError):
    """The request cannot be read."""


class DigestMismatch(Malformed):
    """The bytes received do not match the digest that was announced."""


class TooLarge(HeadraceError):
    """The body is larger than this server accepts."""


class Unsupported(HeadraceError):
    """This content type is not accepted here."""


class PreconditionFailed(HeadraceError):
    """The thing has changed since it was read."""


class Limited(HeadraceError):
    """A quota or a rate limit is reached."""

    def __init__(self, detail: str | None = None, *, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Unavailable(HeadraceError):
    """The service cannot do this now; try again."""


class StorageFailed(Unavailable):
    """The artifact store cannot be read or written now; try again."""


class StorageFull(StorageFailed):
    """The artifact store has no room left."""


class Collected(StorageFailed):
    """These bytes were just removed, since nothing needed them; store them again."""


class Invalid(HeadraceError):
    """Some fields of the request are wrong."""

    def __init__(self, errors: Sequence[FieldError], detail: str | None = None) -> None:
        self.errors = tuple(errors)
        super().__init__(detail or "; ".join(f"{'.'.join(map(str, e.loc))}: {e.msg}" for e in self.errors))

    @classmethod
    def field(cls, *loc: str | int, msg: str) -> Invalid:
        """Return the error for one wrong field at ``loc``."""
        return cls([FieldError(loc=loc, msg=msg)])


class IdempotencyKeyReused(Invalid):
    """This idempotency key was used with another request."""


class LeaseLost(HeadraceError):
    """This attempt no longer holds its job; nothing that it writes counts."""


class ArtifactMissing(HeadraceError):
    """The artifact store does not have these bytes."""


class ArtifactCorrupt(HeadraceError):
    """Stored bytes do not hash to their name."""


class JobError(HeadraceError):
    """The job cannot succeed. A retry would end the same way unless ``retryable``."""

    retryable = False


class BadData(JobError):
    """The data does not fit: a file that cannot be parsed, a column that does not match."""


class BadSpec(JobError):
    """The spec does not fit the data in a way that only reading the data could show."""


class OutOfResources(JobError):
    """Memory or disk ran out; another machine or another moment may do."""

    retryable = True
