"""The API over a real database and artifact store, called in this process, and what workers do to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from headrace.artifacts import service as artifacts
from headrace.artifacts.store import Stored
from headrace.datasets import service as datasets
from headrace.datasets.tables import DatasetVersion
from headrace.db import Base, new_id
from headrace.jobs.tables import Job
from headrace.registry.tables import Model, ModelVersion
from headrace_web.calls import Parts

NOW = datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)
COLUMNS = [
    {"name": "id", "type": "integer", "nullable": False},
    {"name": "x", "type": "number", "nullable": True},
    {"name": "label", "type": "category", "nullable": False},
]
TRAIN = {"model": "iris", "dataset": "iris", "algorithm": "mlp", "target": "label"}
"""A train spec that is right for the dataset that `Api.ready_dataset` makes."""


@dataclass
class Api:
    """The API as one key sees it; `as_key` gives it to another."""

    client: FlaskClient
    parts: Parts
    key: str | None
    keys: dict[str, str] = field(default_factory=dict)

    def as_key(self, key: str | None) -> Api:
        """Return the API with ``key``: a role, ``other`` (a maintainer of another project), or a key."""
        return Api(self.client, self.parts, self.keys.get(key or "", key), self.keys)

    def call(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = dict(options.pop("headers", {}))
        if self.key is not None:
            headers.setdefault("Authorization", f"Bearer {self.key}")
        path = path if path.startswith("/") else f"/api/v1/{path}"
        return self.client.open(path, method=method, headers=headers, buffered=True, **options)

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.call("GET", path, **options)

    def post(self, path: str, **options: Any) -> TestResponse:
        return self.call("POST", path, **options)

    def submit(self, spec: dict[str, Any] | None = None, **options: Any) -> TestResponse:
        headers = options.pop("headers", {})
        body = {"kind": "train", "spec": TRAIN if spec is None else spec} | options
        return self.post("jobs", json=body, headers=headers)

    def upload(self, name: str, content: bytes = b"id,x,label\n1,2.5,a\n", **options: Any) -> TestResponse:
        query = "?" + options.pop("query") if "query" in options else ""
        return self.post(
            f"datasets/{name}/versions{query}", data=content, **({"content_type": "text/csv"} | options)
        )

    def footprint(self) -> dict[str, object]:
        """Return how many rows each table has, and which files the store: equal where nothing was left."""
        with self.parts.database.read() as session:
            rows: dict[str, object] = {
                table.name: session.scalar(select(func.count()).select_from(table))
                for table in Base.metadata.sorted_tables
            }
        root = Path(self.parts.settings.artifacts_url.removeprefix("file://"))
        return rows | {"files": sorted(str(path) for path in root.rglob("*") if path.is_file())}

    def store(self, content: bytes) -> Stored:
        with self.parts.store.stage() as stage:
            stage.write(content)
            return stage.commit()

    def ready_dataset(self, name: str = "iris") -> int:
        """Upload a file and do what its ingest would do. Return the version."""
        answer = self.upload(name)
        assert answer.status_code in (200, 202), answer.text
        version = answer.json["version"]
        files = {
            "data": self.store(b"parquet"),
            "profile": self.store(b'{"columns":{}}'),
            "rows": self.store(b'{"columns":["id"],"rows":[{"id":1},{"id":2},{"id":3}]}'),
        }
        with self.parts.database.transaction() as session:
            project = session.get_one(Job, answer.json["job"]).project
            row: DatasetVersion = datasets.version(session, project, name, version)
            row.rows, row.columns = 1, COLUMNS
            artifacts.attach(session, project=project, owner=row.id, files=files, now=NOW)
        return version

    def model_version(self, name: str = "iris", **metrics: float) -> int:
        """Register a version of a model as if a train job had, on the newest version of dataset ``iris``."""
        answer = self.submit(TRAIN | {"model": name})
        assert answer.status_code == 202, answer.text
        package, evaluation = self.store(b"package " * 100), self.store(b'{"metrics":{}}')
        with self.parts.database.transaction() as session:
            job = session.get_one(Job, answer.json["id"])
            model = session.query(Model).filter_by(project=job.project, name=name).one_or_none()
            if model is None:
                model = Model(
                    id=new_id("mdl"), project=job.project, name=name, created_at=NOW, last_version=0
                )
                session.add(model)
            model.last_version += 1
            dataset = datasets.resolve(session, job.project, "iris", "spec")[1]
            row = ModelVersion(
                id=new_id("mdv"),
                model=model.id,
                version=model.last_version,
                job=job.id,
                created_at=NOW,
                algorithm="mlp",
                params=job.spec["params"],
                task="classification",
                metrics=metrics or {"accuracy": 0.9},
                signature={"inputs": [], "outputs": []},
                dataset_version=dataset.id,
                lineage={"spec": job.spec, "rows": {"test": 10}},
                weights_digest="sha256:" + "0" * 64,
                digest=package.digest,
                size_bytes=package.size_bytes,
            )
            session.add(row)
            session.flush()
            files = {"package": package, "evaluation": evaluation}
            artifacts.attach(session, project=job.project, owner=row.id, files=files, now=NOW)
        return row.version
