"""A real serving process with real models: what it answers, and what it survives."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import psutil
import pytest
from sklearn import datasets

import learning
from headrace import online
from headrace.artifacts.store import open_store, put_file
from headrace.config import Settings
from headrace.errors import Invalid, Unavailable

SPLIT = {"validation": 0.0, "test": 0.2, "by": "random"}
PATIENCE_S = 90.0
pytestmark = pytest.mark.slow


class Serving:
    """`headrace serve` on settings of its own, with two packaged models."""

    def __init__(self, folder: Path) -> None:
        self.runtime = Path(tempfile.mkdtemp(prefix="hr-"))
        self.settings = Settings.load({}, data=folder / "data", runtime=self.runtime, serve_models=1)
        self.settings.data.mkdir()
        self.models: list[online.Model] = []
        store = open_store(self.settings.artifacts_url)
        data = learning.table(folder / "table", datasets.load_iris(), "category", classes=True)
        for seed in (0, 1):
            ran = learning.train(
                folder / str(seed), data, "random_forest", params={"trees": 5}, seed=seed, split=SPLIT
            )
            self.models.append(online.Model(put_file(store, ran.package).digest, "plain"))
        self.log = folder / "serve.log"
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "headrace", "serve"]
        environment = {"PATH": os.environ["PATH"], **self.settings.environ()}
        with self.log.open("ab") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def predict(self, model: int = 0, **change: Any) -> list[dict[str, Any]]:
        instance = dict.fromkeys(datasets.load_iris().feature_names, 5.0) | change
        return online.predict(self.settings, self.models[model], [instance])

    def eventually(self, model: int = 0) -> list[dict[str, Any]]:
        """Predict, waiting while the model cannot answer."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self.predict(model)
            except Unavailable:
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.1)

    def model_processes(self) -> list[psutil.Process]:
        servers = psutil.Process(self.process.pid).children()
        return [model for server in servers for model in server.children()]

    def close(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        shutil.rmtree(self.runtime)


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    found = Serving(tmp_path_factory.mktemp("serving"))
    yield found
    found.close()


def _until(condition: Callable[[], bool], serving: Serving) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, serving.log.read_text()
        time.sleep(0.05)


def test_rows_go_in_labels_come_out_from_one_process_that_stays(serving: Serving) -> None:
    (first,) = serving.eventually()
    assert first["label"] in datasets.load_iris().target_names
    assert sum(first["probabilities"].values()) == pytest.approx(1)
    (model,) = serving.model_processes()
    assert serving.predict() == [first]
    assert serving.model_processes() == [model]
    with pytest.raises(Invalid, match="should be a number"):
        serving.predict(**{"petal width (cm)": "wide"})
    assert serving.predict() == [first]


def test_the_model_asked_least_recently_makes_room(serving: Serving) -> None:
    serving.eventually(0)
    (first,) = serving.model_processes()
    serving.eventually(1)
    (second,) = serving.model_processes()
    assert first.pid != second.pid
    assert not first.is_running()


def test_whatever_is_killed_it_answers_again(serving: Serving) -> None:
    expected = serving.eventually()
    (model,) = serving.model_processes()
    model.send_signal(signal.SIGKILL)
    assert serving.eventually() == expected
    (server,) = psutil.Process(serving.process.pid).children()
    server.send_signal(signal.SIGKILL)
    assert serving.eventually() == expected


def test_garbage_and_silence_keep_nobody_waiting(serving: Serving) -> None:
    expected = serving.eventually()
    where = online.address(serving.settings)
    silent = [Client(where) for _ in range(3)]
    with Client(where) as garbage:
        garbage.send_bytes(b"no answer to a challenge")
    with Client(where, authkey=online.secret(serving.settings)) as odd:
        odd.send_bytes(b"{")
        assert b"unavailable" in odd.recv_bytes()
    other = serving.settings.model_copy(update={"serve_secret": "x" * 20})
    with pytest.raises(Unavailable, match="another HEADRACE_SERVE_SECRET"):
        online.predict(other, serving.models[0], [{}])
    with pytest.raises(Unavailable, match="not in the artifact store"):
        online.predict(serving.settings, online.Model("sha256:" + "0" * 64, "plain"), [{}])
    assert serving.eventually() == expected
    for connection in silent:
        connection.close()


def test_questions_at_once_are_all_answered(serving: Serving) -> None:
    expected = serving.eventually()
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(serving.eventually())) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 12


def test_it_ends_in_time_and_leaves_no_process(serving: Serving) -> None:
    serving.eventually()
    family = psutil.Process(serving.process.pid).children(recursive=True)
    assert family
    serving.process.send_signal(signal.SIGTERM)
    serving.process.wait(10)
    _until(lambda: not any(process.is_running() for process in family), serving)
    with pytest.raises(Unavailable, match="headrace serve"):
        serving.predict()


def test_a_port_needs_a_secret(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "headrace", "serve"]
    environment = {
        "PATH": os.environ["PATH"],
        "HEADRACE_DATA": str(tmp_path),
        "HEADRACE_SERVE_URL": "tcp://127.0.0.1:8701",
    }
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode != 0
    assert "HEADRACE_SERVE_SECRET" in ran.stderr
    assert "Traceback" not in ran.stderr
