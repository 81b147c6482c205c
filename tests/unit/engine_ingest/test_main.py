import errno
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from headrace.errors import BadData, OutOfResources
from headrace.specs.task import MAX_LINE_BYTES, TASK_FILE, Done, Metric, Progress, Task, message_adapter
from headrace_workers.engine import main
from headrace_workers.engine.context import Context

DONE = Done(result={"rows": 1}, outputs={})


@pytest.fixture
def outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Run a kind of job made of a function, and return its messages."""

    def outcome(body: Callable[[Task, Context], Done]) -> list[Any]:
        module = ModuleType("kind")
        module.run = body  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "headrace_workers.engine.kinds.made_up", module)
        task = Task(job="job_1", kind="made_up", attempt=1, spec={}, inputs={"source": "in/put"})
        (tmp_path / TASK_FILE).write_text(task.model_dump_json())
        messages: list[Any] = []
        main.run(tmp_path, messages.append)
        return messages

    return outcome


def failing(error: BaseException) -> Callable[[Task, Context], Done]:
    def body(task: Task, context: Context) -> Done:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "name", "message", "retryable"),
    [
        (BadData("line 3: no"), "BadData", "line 3: no", False),
        (BadData("nul \0, surrogate \udc80"), "BadData", "nul \\0, surrogate \\udc80", False),
        (OutOfResources(), "OutOfResources", "Memory or disk ran out", True),
        (MemoryError(), "OutOfResources", "Memory or disk ran out: MemoryError.", True),
        (
            OSError(errno.ENOSPC, "No space", "/secret"),
            "OutOfResources",
            "Memory or disk ran out: No space.",
            True,
        ),
        (OSError(errno.EDQUOT, "Quota exceeded"), "OutOfResources", "Memory or disk ran out", True),
        (OSError(errno.EIO, "secret path"), "InternalError", "An unexpected OSError ended the job", False),
        (KeyError("secret"), "InternalError", "An unexpected KeyError ended the job", False),
        (BadData("x" * 9000), "BadData", "x" * 4000, False),
    ],
)
def test_every_error_becomes_one_failed(
    outcome: Any, capfd: Any, error: Exception, name: str, message: str, retryable: bool
) -> None:
    (last,) = outcome(failing(error))
    assert (last.type, last.error, last.retryable) == ("failed", name, retryable)
    assert last.message.startswith(message)
    assert "secret" not in last.message
    assert "Traceback" not in last.message
    # The log is for operators; what a user did wrong is none of their business.
    assert ("Traceback" in capfd.readouterr().err) == (not isinstance(error, BadData | OutOfResources))


def test_messages_end_with_done(outcome: Any, tmp_path: Path) -> None:
    def body(task: Task, context: Context) -> Done:
        assert context.scratch == tmp_path
        assert context.input("source") == tmp_path / "in/put"
        assert context.out.is_dir()
        context.progress(0.5, "half")
        context.progress(0.2, "back")
        context.progress(7, "x" * 600)
        context.metric("loss", 1, 0.25)
        context.metric("loss", 2, math.nan)
        return DONE

    half, back, full, metric, last = outcome(body)
    assert [p.fraction for p in (half, back, full)] == [0.5, 0.5, 1.0]
    assert len(full.message) == 500
    assert metric == Metric(name="loss", step=1, value=0.25)
    assert last is DONE


def test_a_metric_that_is_not_finite_is_told_to_the_log(tmp_path: Path, capfd: Any) -> None:
    Context(tmp_path, {}, lambda message: pytest.fail(str(message))).metric("loss", 3, math.inf)
    assert capfd.readouterr().err == "metric loss at step 3 is inf: not recorded\n"


def test_unknown_kind(tmp_path: Path) -> None:
    (tmp_path / TASK_FILE).write_text(
        Task(job="job_1", kind="nonsense", attempt=1, spec={}, inputs={}).model_dump_json()
    )
    messages: list[Any] = []
    main.run(tmp_path, messages.append)
    assert [(m.error, m.message) for m in messages] == [
        ("BadSpec", "This worker knows no jobs of kind 'nonsense'.")
    ]


@pytest.mark.parametrize("content", [None, "", "{}", "[" * 10_000])
def test_a_broken_task_is_an_internal_error(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / TASK_FILE).write_text(content)
    messages: list[Any] = []
    main.run(tmp_path, messages.append)
    assert [m.error for m in messages] == ["InternalError"]


def test_a_result_too_large_for_a_line_is_refused_here(outcome: Any) -> None:
    (last,) = outcome(lambda task, context: Done(result={"x": "y" * MAX_LINE_BYTES}, outputs={}))
    assert last.error == "InternalError"


def test_lines_progress_is_thinned_but_the_last_is_kept() -> None:
    read, write = os.pipe()
    send = main.LineWriter(write, interval_s=3600)
    for step in range(100):
        send(Progress(fraction=step / 100))
        if step == 50:
            send(Metric(name="loss", step=1, value=1.0))
    send(DONE)
    os.close(write)
    with open(read, "rb") as file:
        found = [message_adapter.validate_json(line) for line in file]
    assert found == [
        Progress(fraction=0.0),
        Metric(name="loss", step=1, value=1.0),
        Progress(fraction=0.99),
        DONE,
    ]


def test_ingest_in_a_process_of_its_own(tmp_path: Path) -> None:
    """What a fork server does, and that an ingest needs no TensorFlow and importing starts no thread."""
    (tmp_path / "upload").write_text("a,b\n1,x\n2,x\n")
    spec = {"dataset": "d", "version": 1, "media_type": "text/csv"}
    task = Task(job="job_1", kind="ingest", attempt=1, spec=spec, inputs={"source": "upload"})
    (tmp_path / TASK_FILE).write_text(task.model_dump_json())
    read, write = os.pipe()
    code = (
        "import sys, os\n"
        "from headrace_workers.engine.main import main\n"
        "import headrace_workers.engine.kinds.ingest\n"
        "names = [open(f'/proc/self/task/{t}/comm').read().strip() for t in os.listdir('/proc/self/task')]\n"
        # Arrow's copy of jemalloc has a thread that copes with forks.
        "assert [n for n in names if n != 'jemalloc_bg_thd'] == names[:1], names\n"
        f"main({write})\n"
        # PyArrow imports pandas by itself; fork servers have done so before.
        "heavy = {'tensorflow', 'keras', 'sklearn', 'sqlalchemy', 'celery'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    environment = {"PATH": os.environ["PATH"], "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, pass_fds=[write], check=True, timeout=60
    )
    os.close(write)
    with open(read, "rb") as file:
        last = json.loads(file.readlines()[-1])
    assert (last["type"], last["result"]["rows"]) == ("done", 2)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "data.parquet",
        "profile.json",
        "rows.json",
    ]
