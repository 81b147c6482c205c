"""A Headrace of its own for a bench: `headrace up` on a new data folder, stopped and removed at the end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headrace.client import Client
from headrace.config import Settings

READY_S = 600
TIMEOUT_S = 7200
"""How long a job may take."""
COMMAND = Path(sys.executable).with_name("headrace")
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@contextmanager
def headrace_up(*, slots: int, **settings: str) -> Iterator[tuple[Client, dict[str, str]]]:
    """Start `headrace up` and yield a client of it and the environment that its parts run in.

    ``settings``: more of ``HEADRACE_…``, in lower case without the prefix. Its log is shown when all fails.
    """
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        data, log = Path(folder, "data"), Path(folder, "up.log")
        chosen = {"data": str(data), "port": str(_free_port()), "slots": str(slots), **settings}
        given = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        environment = given | {f"HEADRACE_{name.upper()}": value for name, value in chosen.items()}
        with log.open("wb") as output:
            up = subprocess.Popen([COMMAND, "up"], env=environment, stdout=output, stderr=output)
        try:
            yield _client(up, environment), environment
        except BaseException:
            print(log.read_text()[-4000:], file=sys.stderr)
            raise
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait(30)


def succeed(client: Client, id: str) -> Any:
    """Wait until a job has ended and return it. Raises SystemExit with its log when it did not succeed."""
    job = client.wait(id, timeout_s=TIMEOUT_S)
    if job["state"] != "succeeded":
        raise SystemExit(f"{id} has {job['state']}: {job['error']}\n{client.logs(id)[-4000:]}")
    return job


def upload(client: Client, name: str, path: Path) -> str:
    """Upload ``path`` as dataset ``name``, wait until it is ready, and return which version it is.

    That is not the latest one where the same file was uploaded before.
    """
    version = client.upload_dataset(name, path)["version"]
    client.wait_dataset(name, version, timeout_s=600)
    return f"{name}@{version}"


def warm_up(client: Client) -> None:
    """Run one small Keras job, so that what is measured afterwards finds warm fork servers."""
    upload(client, "warm-up", EXAMPLES / "iris.csv")
    spec = {
        "model": "warm-up",
        "dataset": "warm-up",
        "algorithm": "logistic_regression",
        "target": "species",
        "params": {"epochs": 1},
    }
    succeed(client, client.submit("train", spec)["id"])


def _client(up: subprocess.Popen[bytes], environment: dict[str, str]) -> Client:
    settings = Settings.load(environment)
    end = time.monotonic() + READY_S
    while up.poll() is None and time.monotonic() < end:
        if settings.admin_key_file.exists():
            client = Client(settings=settings)
            if client.ready():
                return client
            client.close()
        time.sleep(0.2)
    raise SystemExit("`headrace up` is not ready")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
