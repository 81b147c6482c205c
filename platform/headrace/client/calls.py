"""What every call of the API is made of."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headrace.client.transport import ProgressCallback, Transport, content_digest, read_chunks
from headrace.errors import HeadraceError

API = "/api/v1"
PAGE = 200


class Calls:
    """Ways to call the API in one project; what inherits from it are the calls of one part of the API."""

    project: str | None
    _transport: Transport

    def _params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {**params, "project": self.project}

    def _get(self, path: str, **params: Any) -> Any:
        return self._transport.json("GET", path, params=self._params(params))

    def _post(self, path: str, body: Any = None, idempotency_key: str | None = None) -> Any:
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else None
        return self._transport.json("POST", path, params=self._params({}), body=body, headers=headers)

    def _pages(self, path: str, *, limit: int | None = None, **filters: str | None) -> Iterator[Any]:
        left = limit
        cursor: str | None = None
        while left is None or left > 0:
            page = self._get(path, **filters, cursor=cursor, limit=min(PAGE, left or PAGE))
            yield from page["items"]
            left = None if left is None else left - len(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _upload(
        self,
        to: str,
        path: Path,
        media_type: str,
        params: Mapping[str, str],
        progress: ProgressCallback | None,
        idempotency_key: str | None,
    ) -> Any:
        try:
            digest, size = content_digest(path)
        except OSError as error:
            raise HeadraceError(f"cannot read {path}: {error.strerror}") from None
        response = self._transport.send(
            "POST",
            to,
            params=self._params(params),
            content=lambda: read_chunks(path, size, progress),
            headers={
                "Content-Type": media_type,
                "Content-Length": str(size),
                "Content-Digest": digest,
                "Idempotency-Key": idempotency_key or str(uuid.uuid4()),
            },
        )
        return response.json()
