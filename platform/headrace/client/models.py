"""The calls about models, their versions, and the algorithms that make them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from headrace.client.calls import API, Calls
from headrace.client.transport import ProgressCallback
from headrace.client.types import Algorithm, Job, Model, ModelVersion
from headrace.specs import keras_file


class ModelCalls(Calls):
    """Models and algorithms."""

    def models(self) -> Iterator[Model]:
        """Yield every model, newest first."""
        return self._pages(f"{API}/models")

    def model(self, name: str) -> Model:
        """Return one model."""
        return self._get(_model(name))  # type: ignore[no-any-return]

    def model_versions(self, name: str) -> Iterator[ModelVersion]:
        """Yield every version of a model, newest first."""
        return self._pages(f"{_model(name)}/versions")

    def model_version(self, name: str, version: int) -> ModelVersion:
        """Return one version of a model."""
        return self._get(f"{_model(name)}/versions/{version}")  # type: ignore[no-any-return]

    def evaluation(self, name: str, version: int) -> dict[str, Any]:
        """Return how good a version is on its test rows."""
        return self._get(f"{_model(name)}/versions/{version}/evaluation")  # type: ignore[no-any-return]

    def archive(
        self, name: str, version: int, path: str | Path, *, progress: ProgressCallback | None = None
    ) -> str:
        """Write the packaged model to ``path``, checked and whole or not at all; return its digest.

        Raises `headrace.errors.DigestMismatch`.
        """
        return self._transport.download(
            f"{_model(name)}/versions/{version}/archive",
            Path(path),
            params=self._params({}),
            progress=progress,
        )

    def upload_model(
        self,
        name: str,
        path: str | Path,
        *,
        progress: ProgressCallback | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Upload a ``.keras`` file as a new version of model ``name``, and return the job that reads it.

        Its result names the version, which train jobs can start from. The file is read twice, as by
        `upload_dataset`. Raises HeadraceError where it cannot be read.
        """
        path = Path(path)
        params = {"filename": path.name}
        job: Job = self._upload(
            f"{_model(name)}/versions", path, keras_file.MEDIA_TYPE, params, progress, idempotency_key
        )
        return job

    def algorithms(self) -> list[Algorithm]:
        """Return every algorithm that the server has."""
        return list(self._pages(f"{API}/algorithms"))


def _model(name: str) -> str:
    return f"{API}/models/{quote(name, safe='')}"
