"""Checkpoints as files: what makes one usable, and that a fit cut anywhere goes on to the same bits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from sklearn import datasets

import learning
from headrace.specs.algorithms import algorithm
from headrace.specs.task import Checkpoint, Done, Metric, Task
from headrace_workers.engine import environment, main
from headrace_workers.engine.algorithms.base import State
from headrace_workers.engine.training import checkpoint
from headrace_workers.engine.training.checkpoint import Saved, Unusable

SAVED = Saved(
    State(
        {
            "model/0": np.arange(6.0).reshape(2, 3),
            "empty": np.zeros((0, 2)),
            "scalar": np.array(np.float32(0.1)),
        },
        {"epoch": 3, "sums": [0.1, 1e-300], "rng": {"state": 2**127 + 1}, "best": None},
    ),
    [("loss", 1, 0.1), ("loss", 2, 1 / 3)],
    "epoch 3 of 5",
)
HERE: dict[str, Any] = {"spec": {"seed": 1, "size": (8, 8)}, "environment": {"threads": 1}}


def test_what_is_written_is_read_to_the_bit(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "c", SAVED, HERE)
    read = checkpoint.read(tmp_path / "c", HERE)
    assert (read.curve, read.position, read.state.values) == (SAVED.curve, SAVED.position, SAVED.state.values)
    assert read.state.arrays.keys() == SAVED.state.arrays.keys()
    for name, array in SAVED.state.arrays.items():
        found = read.state.arrays[name]
        assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_it_is_of_no_use_under_other_circumstances(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "c", SAVED, HERE)
    with pytest.raises(Unusable, match="made with another environment and another spec"):
        checkpoint.read(tmp_path / "c", {"spec": {"seed": 2}, "environment": {"threads": 2}})
    with pytest.raises(Unusable, match="another environment"):
        checkpoint.read(tmp_path / "c", {"spec": HERE["spec"]})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_noticed(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "c"
    path.unlink(missing_ok=True)
    checkpoint.write(path, SAVED, HERE)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(whole[:at])
    else:
        bit = 1 << data.draw(st.integers(0, 7))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
    try:
        read = checkpoint.read(path, HERE)
    except Unusable:
        return
    # A bit that means nothing (a time, an attribute) may flip; what is read is as it was.
    assert (read.curve, read.state.values) == (SAVED.curve, SAVED.state.values)
    for name, array in SAVED.state.arrays.items():
        assert read.state.arrays[name].tobytes() == array.tobytes()


def test_a_part_that_says_it_is_shorter_is_noticed(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "c", Saved(State({"a": np.zeros((9, 3000))}), [], ""), HERE)
    whole = (tmp_path / "c").read_bytes()
    (tmp_path / "c").write_bytes(whole.replace(b"(9, 3000)", b"(1, 3000)"))
    with pytest.raises(Unusable, match="altered"):
        checkpoint.read(tmp_path / "c", HERE)


class _Killed(Exception):
    pass


class _Walk:
    """A train job of the learner ``walk``, killed when it has said so much; what is left is handed on."""

    def __init__(self, folder: Path, data: learning.Data, steps: int = 12) -> None:
        self._folder, self._data = folder, data
        self._spec = learning.train_spec(data, "walk", params={"steps": steps})
        self._attempts = 0
        self.left: list[Path] = []

    def attempt(self, kill_after: int | None = None, checkpoint_s: float = 1e-9) -> list[BaseModel]:
        self._attempts += 1
        folder = self._folder / str(self._attempts)
        folder.mkdir(parents=True)
        task = Task(
            job="job_1",
            kind="train",
            attempt=self._attempts,
            spec=self._spec,
            inputs={"data": str(self._data.path)},
            columns=self._data.columns,
            code=algorithm("walk").code,
            checkpoints=[str(path) for path in self.left],
            checkpoint_s=checkpoint_s,
        )
        (folder / "task.json").write_text(task.model_dump_json())
        said: list[BaseModel] = []

        def send(message: BaseModel) -> None:
            if kill_after is not None and len(said) >= kill_after:
                raise _Killed
            said.append(message)
            if isinstance(message, Checkpoint):
                self.left = [folder / "checkpoints" / message.file, *self.left[:1]]

        with suppress(_Killed):
            main.run(folder, send)
        return said


def _told(said: list[BaseModel]) -> tuple[Any, list[tuple[int, float]]]:
    assert isinstance(said[-1], Done), said[-1]
    return said[-1].result["weights_digest"], [(m.step, m.value) for m in said if isinstance(m, Metric)]


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> learning.Data:
    return learning.table(tmp_path_factory.mktemp("wine"), datasets.load_wine(), "category", classes=True)


@pytest.fixture(scope="module", autouse=True)
def _checkpoints_at_every_cut() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "MAX_SHARE", float("inf"))
        yield


@settings(max_examples=15, deadline=None)
@given(kills=st.lists(st.integers(0, 60), max_size=4), cut=st.booleans())
def test_any_schedule_of_kills_ends_in_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory, wine: learning.Data, kills: list[int], cut: bool
) -> None:
    folder = tmp_path_factory.mktemp("walk")
    calm = _told(_Walk(folder / "calm", wine).attempt())
    walk = _Walk(folder / "killed", wine)
    for kill in kills:
        walk.attempt(kill_after=kill)
        if cut and walk.left:
            walk.left[0].write_bytes(walk.left[0].read_bytes()[:-5])
    assert _told(walk.attempt()) == calm


def test_an_attempt_resumes_behind_what_is_done(
    tmp_path: Path, wine: learning.Data, capfd: pytest.CaptureFixture[str]
) -> None:
    walk = _Walk(tmp_path, wine)
    said = walk.attempt(kill_after=30)
    (newest, before) = walk.left
    assert sorted(path.name for path in newest.parent.iterdir()) == [before.name, newest.name]
    positions = [message.position for message in said if isinstance(message, Checkpoint)]
    walk.attempt()
    assert f"resuming at {positions[-1]}" in capfd.readouterr().err
    walk.left = [newest, before]
    newest.write_bytes(b"not a checkpoint")
    walk.attempt()
    told = capfd.readouterr().err
    assert f"{newest.name} is not used: it is cut short or altered" in told
    assert f"resuming at {positions[-2]}" in told


def test_a_checkpoint_of_other_code_is_not_used(
    tmp_path: Path, wine: learning.Data, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = _Walk(tmp_path, wine)
    walk.attempt(kill_after=30)
    other = environment.installation() | {"code": {"version": "1", "digest": "sha256:other"}}
    monkeypatch.setattr(environment, "installation", lambda: other)
    walk.attempt()
    told = capfd.readouterr().err
    assert told.count("it was made with another environment") == 2
    assert "resuming" not in told


def test_checkpoints_come_no_more_often_than_asked(tmp_path: Path, wine: learning.Data) -> None:
    said = _Walk(tmp_path, wine).attempt(checkpoint_s=60)
    assert not [message for message in said if isinstance(message, Checkpoint)]
    assert json.loads(said[-1].model_dump_json())["type"] == "done"
