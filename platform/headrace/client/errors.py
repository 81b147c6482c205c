"""What a call of the client may raise, beside `headrace.errors.DigestMismatch` for a download."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.errors import FieldError, HeadraceError, Unavailable


class ApiError(HeadraceError):
    """The server refused.

    ``status`` is the HTTP status, ``title`` and ``type`` are those of the problem document (RFC 9457),
    ``errors`` the wrong fields of a 422, ``request_id`` what the server's log calls the request.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        *,
        errors: tuple[FieldError, ...] = (),
        type: str = "about:blank",
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        self.status = status
        self.title = title
        self.errors = errors
        self.type = type
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        lines = [detail or title]
        # The detail of a 422 usually is the list of its errors already.
        lines += [f"  {where}: {e.msg}" for e in errors if e.msg not in detail for where in [dotted(e)]]
        super().__init__("\n".join(lines))

    @classmethod
    def from_answer(cls, status: int, body: object, headers: Mapping[str, str]) -> ApiError:
        """Return the error that an answer with ``status`` tells; ``body`` is its JSON, or None."""
        problem: dict[str, Any] = body if isinstance(body, dict) else {}
        retry_after = headers.get("retry-after", "")
        return cls(
            status,
            str(problem.get("title") or f"HTTP {status}"),
            str(problem.get("detail") or ""),
            errors=tuple(
                FieldError(loc=tuple(e.get("loc", ())), msg=str(e.get("msg", "")))
                for e in problem.get("errors") or []
                if isinstance(e, dict)
            ),
            type=str(problem.get("type") or "about:blank"),
            request_id=headers.get("x-request-id"),
            retry_after_s=float(retry_after) if retry_after.isdecimal() else None,
        )


class Unreachable(Unavailable):
    """The server cannot be reached."""


class NotLive(Unavailable):
    """The server gives no live stream now; ask for the list of events instead."""


class WaitedTooLong(HeadraceError):
    """What was waited for did not happen in time. It goes on; wait again."""


def dotted(error: FieldError) -> str:
    """Return where an error is, as people write it: ``spec.params.epochs``."""
    return ".".join(map(str, error.loc))
