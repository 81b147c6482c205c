"""The real preload with TensorFlow: it forks safely, which it would not had it run an operation."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headrace.specs.task import Done

from .conftest import Runner


@pytest.mark.slow
def test_children_of_the_heavy_server_train_and_give_the_same_weights(tmp_path: Path) -> None:
    runner = Runner(tmp_path, preload="heavy")
    assert runner.server.ready(90)
    assert len(os.listdir(f"/proc/{runner.server.pid}/task")) == 1
    first, second = (
        next(event for event in runner.run("fit_network") if isinstance(event, Done)) for _ in range(2)
    )
    assert first.result == second.result
    runner.close()
