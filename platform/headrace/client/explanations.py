"""The calls about what the predictions of a version rest on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from headrace.client.calls import API, Calls
from headrace.client.types import Explanation


class ExplanationCalls(Calls):
    """What a `Client` can ask about explanations."""

    def explanations(self, name: str, version: int) -> Iterator[Explanation]:
        """Yield the explain jobs that explain a version, newest first."""
        return self._pages(f"{API}/models/{quote(name, safe='')}/versions/{version}/explanations")

    def explanation(self, job: str) -> dict[str, Any]:
        """Return what an explain job has found."""
        return self._get(f"{API}/jobs/{quote(job, safe='')}/explanation")  # type: ignore[no-any-return]
