"""The other process: it trains and predicts the same trials for all algorithms, and says what came out.

Reads ``orders.json`` of the folder given, writes ``answers.json``. An order names a folder with a task of
training, maybe one of predicting with what comes out, and whether to measure memory.
"""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import run
from typing import TYPE_CHECKING

from pydantic import BaseModel, TypeAdapter

if TYPE_CHECKING:
    from headrace.specs.task import Failed

ORDERS, ANSWERS = "orders.json", "answers.json"
HEAVY = frozenset({"tensorflow", "keras", "sklearn", "numpy", "pyarrow", "pandas", "scipy", "PIL", "skops"})
"""What every process but a job's does without; the catalogue is read by all."""

_PROGRAM = """
import sys
sys.path[:] = {path!r}
from headrace.specs.algorithms import catalogue
catalogue()
loaded = set(sys.modules)
from {module} import main
main({folder!r}, loaded)
"""


class Order(BaseModel):
    """What to do in one folder: train, then ``predict``, then ``measure`` memory."""

    folder: Path
    predict: Path | None = None
    measure: bool = False


class Answer(BaseModel):
    """How it went: the last messages' results, or ``error``; ``growth`` is `memory.measure`'s."""

    error: str | None = None
    digest: str | None = None
    metrics: dict[str, float] = {}
    package: Path | None = None
    output: Path | None = None
    growth: tuple[int, int] | None = None


class Answers(BaseModel):
    """``heavy``: what reading the catalogue imports that it should not."""

    heavy: list[str] = []
    answers: list[Answer] = []


orders_adapter: TypeAdapter[list[Order]] = TypeAdapter(list[Order])


def ask(folder: Path, orders: list[Order], path: list[str]) -> Answers:
    """Have a new process carry out ``orders``; ``path`` is where it finds plug-ins.

    Raises RuntimeError with what it said when it died.
    """
    folder.joinpath(ORDERS).write_bytes(orders_adapter.dump_json(orders))
    code = _PROGRAM.format(path=path, module=__name__, folder=str(folder))
    ended = run([sys.executable, "-c", code], capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"the other process ended with {ended.returncode}:\n{ended.stderr[-4000:]}")
    return Answers.model_validate_json(folder.joinpath(ANSWERS).read_bytes())


def main(folder: str, loaded: set[str]) -> None:
    """Carry out the orders in ``folder``; ``loaded`` are the modules that the catalogue has brought.

    Rows are read from files here, however few they are: that must make no difference.
    """
    from headrace_workers.engine.training import rows

    rows.MEMORY_LIMIT = 0
    heavy = sorted(HEAVY & loaded)
    orders = orders_adapter.validate_json(Path(folder, ORDERS).read_bytes())
    answers = Answers(heavy=heavy, answers=[_carry_out(order) for order in orders])
    Path(folder, ANSWERS).write_text(answers.model_dump_json())


def _carry_out(order: Order) -> Answer:
    from headrace.specs.task import TASK_FILE, Failed, Task
    from headrace_workers.engine.context import OUT_FOLDER
    from headrace_workers.testing import memory, runs

    def load(path: Path) -> Task:
        return Task.model_validate_json((path / TASK_FILE).read_bytes())

    end, log = runs.run(order.folder, load(order.folder))
    if isinstance(end, Failed):
        return Answer(error=_told(end, log))
    answer = Answer(
        digest=end.result["weights_digest"],
        metrics=end.result["metrics"],
        package=order.folder / OUT_FOLDER / end.outputs["package"],
    )
    if order.predict is not None:
        end, log = runs.run(order.predict, load(order.predict))
        if isinstance(end, Failed):
            return answer.model_copy(update={"error": f"predict: {_told(end, log)}"})
        answer = answer.model_copy(update={"output": order.predict / OUT_FOLDER / end.outputs["output"]})
    if order.measure:
        growth = memory.measure(order.folder, load(order.folder))
        answer = answer.model_copy(update={"growth": growth})
    return answer


def _told(end: Failed, log: str) -> str:
    # Of a bug the message says nothing; its traceback does.
    return f"{end.error}: {end.message}" + (f"\n{log}" if end.error == "InternalError" else "")
