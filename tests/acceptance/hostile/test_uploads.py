"""Every upload that wants to do harm is refused with its reason, or is ingested for what it is.

Each runs through the engine's own entry in a process of its own (`warm`), and takes at most 10 s and 512 MB;
nothing is written outside of its folder, and nothing is unpickled or run.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance.hostile import keras_files, parquets, texts, zips
from acceptance.hostile.files import Case
from headrace.specs.keras_file import MEDIA_TYPE
from headrace.specs.task import TASK_FILE, Task

CASES: dict[str, Case] = {**zips.CASES, **texts.CASES, **parquets.CASES, **keras_files.CASES}
MAX_SECONDS = 10
MAX_MB = 512
OWN = {"upload", "uploaded.h5", "out", "messages", "misdeeds", "log", TASK_FILE}
OUTPUTS = {"data.parquet", "profile.json", "rows.json"}


@pytest.fixture(scope="module")
def ingest() -> Iterator[Callable[[Path], dict[str, Any]]]:
    """Run the ingest in a folder, in a child of one process that has imported what it needs."""
    environment = {"PATH": os.environ["PATH"], "OPENBLAS_NUM_THREADS": "1", "HOME": "/nonexistent"}
    command = [sys.executable, str(Path(__file__).with_name("warm.py"))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as warm:
        assert warm.stdin is not None
        assert warm.stdout is not None

        def ingest(scratch: Path) -> dict[str, Any]:
            print(scratch, file=warm.stdin, flush=True)
            found: dict[str, Any] = json.loads(warm.stdout.readline())  # type: ignore[union-attr]
            return found

        yield ingest
        warm.stdin.close()


def prepare(scratch: Path, case: Case) -> None:
    scratch.mkdir(parents=True)
    upload = scratch / "upload"
    if inspect.signature(case.content).parameters.keys() & {"p"}:
        case.content(upload)  # type: ignore[call-arg]
    else:
        upload.write_bytes(case.content())  # type: ignore[call-arg,arg-type]
    spec: dict[str, Any] = {"dataset": "d", "version": 1, "media_type": case.media_type}
    kind = "ingest"
    if case.media_type == MEDIA_TYPE:
        kind, spec = "upload", {"model": "m", "digest": "sha256:0", "size_bytes": 1}
    task = Task(job="job_1", kind=kind, attempt=1, spec=spec, inputs={"source": "upload"})
    (scratch / TASK_FILE).write_text(task.model_dump_json())


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_there_are_enough() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("name", CASES)
def test_upload(name: str, ingest: Callable[[Path], dict[str, Any]], tmp_path: Path) -> None:
    case = CASES[name]
    scratch = tmp_path / "box" / "scratch"
    prepare(scratch, case)
    upload = digest(scratch / "upload")

    found = ingest(scratch)

    assert found["status"] == 0, found
    assert found["cpu_s"] < MAX_SECONDS, found
    assert found["peak_mb"] < MAX_MB, found
    last = found["last"]
    if last["type"] == "done":
        assert case.outcome is None or last["result"]["rows"] == case.outcome, last["result"]["rows"]
        assert {path.name for path in (scratch / "out").iterdir()} == OUTPUTS
        for file in ("profile.json", "rows.json"):
            json.loads((scratch / "out" / file).read_text(), parse_constant=pytest.fail)
    else:
        assert (last["error"], last["retryable"]) == ("BadData", False), found
        assert last["message"]
        assert case.outcome is None or isinstance(case.outcome, str), last
        assert (case.outcome or "") in last["message"], last["message"]
        assert str(tmp_path) not in last["message"]
    assert found["misdeeds"] == ""
    assert "Traceback" not in found["log"], found["log"]
    assert [path.name for path in tmp_path.iterdir()] == ["box"]
    assert [path.name for path in scratch.parent.iterdir()] == ["scratch"]
    assert {path.name for path in scratch.iterdir()} <= OWN
    assert digest(scratch / "upload") == upload
    (scratch / "upload").unlink()
