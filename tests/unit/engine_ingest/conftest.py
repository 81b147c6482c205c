import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.specs.task import TASK_FILE, Done, Failed, Task
from headrace_workers.engine.main import run


class Ingested:
    """How an ingest ended: the last message, and its outputs where it succeeded."""

    def __init__(self, messages: list[Any], out: Path) -> None:
        self.messages = messages
        self.last: Done | Failed = messages[-1]
        self.out = out

    @property
    def columns(self) -> dict[str, str]:
        assert isinstance(self.last, Done), self.last
        return {c["name"]: c["type"] for c in self.last.result["columns"]}

    @property
    def table(self) -> Any:
        import pyarrow.parquet as pq

        return pq.read_table(self.out / "data.parquet")

    @property
    def profile(self) -> Any:
        return json.loads((self.out / "profile.json").read_text())

    @property
    def rows(self) -> Any:
        return json.loads((self.out / "rows.json").read_text())

    @property
    def message(self) -> str:
        assert isinstance(self.last, Failed), self.last
        assert (self.last.error, self.last.retryable) == ("BadData", False), self.last
        return self.last.message


def run_ingest(scratch: Path, content: bytes, media_type: str, types: dict[str, str]) -> Ingested:
    scratch.mkdir()
    (scratch / "upload").write_bytes(content)
    spec = {"dataset": "d", "version": 1, "media_type": media_type, "types": types}
    task = Task(job="job_1", kind="ingest", attempt=1, spec=spec, inputs={"source": "upload"})
    (scratch / TASK_FILE).write_text(task.model_dump_json())
    messages: list[Any] = []
    run(scratch, messages.append)
    return Ingested(messages, scratch / "out")


@pytest.fixture
def ingest(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ingested]:
    def ingest(content: bytes | str, media_type: str = "text/csv", **types: str) -> Ingested:
        scratch = tmp_path_factory.mktemp("ingest") / "scratch"
        data = content.encode() if isinstance(content, str) else content
        return run_ingest(scratch, data, media_type, types)

    return ingest
