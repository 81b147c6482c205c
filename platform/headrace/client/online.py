"""Predictions of a few instances, at once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from headrace.client.calls import API, Calls
from headrace.client.errors import ApiError
from headrace.client.types import Predictions

LOADING_S = 60.0
"""How long a version may take to be loaded."""
AGAIN_S = 1.0


class OnlineCalls(Calls):
    """Online prediction."""

    def predict(self, ref: str, instances: Sequence[Mapping[str, Any]]) -> Predictions:
        """Return one prediction per instance by the version ``ref`` (``name``, ``name@3``, ``name@alias``).

        An instance has a value per input column; an image is its file in base64. Waits while the version is
        being loaded.
        """
        deadline = time.monotonic() + LOADING_S
        path = f"{API}/models/{quote(ref, safe='@')}/predict"
        while True:
            try:
                return self._post(path, {"instances": list(instances)})  # type: ignore[no-any-return]
            except ApiError as error:
                if error.status != 503 or time.monotonic() > deadline:
                    raise
                time.sleep(AGAIN_S)
