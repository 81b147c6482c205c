"""docker-compose.yml without an engine: its services as plain processes of this machine.

What runs is the file's own: commands, environment, order, health checks, stop signals and grace. What an
engine would provide is mapped: programs of the images to those of this machine, the names of services to
127.0.0.1 and ports of their own, volumes and the containers' own folders to temporary ones. The entry point
of PostgreSQL's image, which makes the database, is done by hand.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from services import free_port, postgresql_folder

ROOT = Path(__file__).resolve().parents[2]
_VARIABLE = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}|\$\$")


class MissingVariable(Exception):
    """A variable that the file requires is not set."""


def interpolate(value: Any, variables: Mapping[str, str]) -> Any:
    """Replace ``${NAME:?message}``, ``${NAME:-default}`` and ``${NAME}`` everywhere in ``value``."""

    def replace(match: re.Match[str]) -> str:
        name, kind, text = match.groups()
        if name is None:
            return "$"
        found = variables.get(name, "")
        if not found and kind == "?":
            raise MissingVariable(f"{name}: {text}")
        return found or (text if kind == "-" else "")

    if isinstance(value, dict):
        return {key: interpolate(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolate(item, variables) for item in value]
    return _VARIABLE.sub(replace, value) if isinstance(value, str) else value


def load() -> dict[str, Any]:
    """Return the compose file as it stands, without its variables."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document


def image_environment() -> dict[str, str]:
    """Return what the Dockerfile sets for every process."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    pairs = [word for line in re.findall(r"^ENV (.*)$", text, re.MULTILINE) for word in shlex.split(line)]
    return dict(pair.split("=", 1) for pair in pairs)


def seconds(duration: str) -> float:
    """Return a duration such as ``15s``."""
    return float(duration.removesuffix("s"))


class Container:
    """One service, or one of its replicas, as a process."""

    def __init__(self, stack: Stack, service: str, folder: Path) -> None:
        self.stack, self.service, self.folder = stack, service, folder
        self.settings = stack.services[service]
        self.folder.mkdir()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, after its volume is ready."""
        if self.service == "postgres":
            self.stack.init_postgresql(self)
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                self.stack.command(self, self.settings["command"]),
                env=self.stack.environment(self),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **(_as_postgres() if self.service == "postgres" else {}),
            )

    def healthy(self) -> bool:
        """Run the health check as an engine would; return whether it says yes."""
        check = self.settings["healthcheck"]
        kind, *command = check["test"]
        assert kind == "CMD"
        done = subprocess.run(
            self.stack.command(self, command),
            env=self.stack.environment(self),
            cwd=self.folder,
            capture_output=True,
            timeout=seconds(check["timeout"]) * self.stack.patience,
        )
        return done.returncode == 0

    def until_healthy(self) -> None:
        check = self.settings["healthcheck"]
        longest = seconds(check["start_period"]) + int(check["retries"]) * seconds(check["interval"])
        end = time.monotonic() + longest * self.stack.patience
        while not self.healthy():
            assert self.running(), f"{self.service} ended: {self.log()}"
            assert time.monotonic() < end, f"{self.service} did not become healthy: {self.log()}"
            time.sleep(0.5)

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> float:
        """Stop it as an engine would; return how long that took. It must not need to be killed."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.Signals[self.settings["stop_signal"]])
        self.process.wait(seconds(self.settings["stop_grace_period"]))
        return time.monotonic() - began

    def kill(self) -> None:
        """End every process of it at once, as when a container is killed."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def processes(self) -> list[psutil.Process]:
        """Return the processes that bear the mark of this container: its folder in their environment."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.pid != os.getpid() and str(self.folder) in " ".join(process.environ().values()):
                    found.append(process)
        return found

    def log(self) -> str:
        return (self.folder / "log").read_text()[-4000:]


class Stack:
    """All services of the file. ``patience`` stretches its time limits, for machines that are busy."""

    def __init__(self, folder: Path, variables: Mapping[str, str], patience: float = 1.0) -> None:
        self.folder, self.patience = folder, patience
        self.services: dict[str, dict[str, Any]] = interpolate(load(), variables)["services"]
        self.ports = {name: free_port() for name in ("postgres:5432", "redis:6379", "web:8700", "serve:8701")}
        for volume in ("artifacts", "postgres"):
            (folder / volume).mkdir()
        self.containers: list[Container] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['web:8700']}"

    def up(self) -> None:
        """Start everything in the order that the file asks for, and wait until all are healthy."""
        started: set[str] = set()
        while len(started) < len(self.services):
            for name, settings in self.services.items():
                needs = settings.get("depends_on", {})
                if name in started or not set(needs) <= started:
                    continue
                for need, wanted in needs.items():
                    self._await(need, wanted["condition"])
                for _ in range(settings.get("deploy", {}).get("replicas", 1)):
                    container = Container(self, name, self.folder / f"{name}-{len(self.containers)}")
                    self.containers.append(container)
                    container.start()
                started.add(name)
        for container in self.containers:
            if "healthcheck" in container.settings:
                container.until_healthy()

    def of(self, service: str) -> list[Container]:
        return [container for container in self.containers if container.service == service]

    def run(self, service: str, *command: str) -> str:
        """Return what ``command`` prints in a container of ``service``: ``docker compose run --rm``."""
        (container, *_) = self.of(service)
        done = subprocess.run(
            self.command(container, list(command)),
            env=self.environment(container),
            cwd=container.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self) -> None:
        for container in self.containers:
            if container.running():
                if container.service == "postgres":
                    container.stop()
                else:
                    container.kill()

    def command(self, container: Container, words: list[str]) -> list[str]:
        """Map ``words`` to programs and ports of this machine."""
        program, *rest = words
        if program == "headrace":
            return [str(Path(sys.executable).with_name("headrace")), *rest]
        if program.startswith("redis-"):
            port = ["-p", "--port"][program == "redis-server"], str(self.ports["redis:6379"])
            return [program, *port, *rest]
        folder = postgresql_folder()
        assert folder is not None
        options = ["-D", str(self.folder / "postgres"), "-k", "", "-c", "listen_addresses=127.0.0.1"]
        port = "-p", str(self.ports["postgres:5432"])
        if program == "postgres":
            return [str(folder / program), *options, *port, *rest]
        return [str(folder / program), "--host=127.0.0.1", *port, *rest]

    def environment(self, container: Container) -> dict[str, str]:
        """Return the environment of the image and of the file, mapped to this machine."""
        image = image_environment() if "build" in container.settings else {}
        found = image | container.settings.get("environment", {})
        text = {name: self._map(str(value), container) for name, value in found.items()}
        mapped = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        if "build" in container.settings:
            mapped |= {"HEADRACE_PORT": str(self.ports["web:8700"])}
        if "HEADRACE_HOST" in text:
            assert text["HEADRACE_HOST"] == "0.0.0.0"
            mapped |= {"HEADRACE_HOST": "127.0.0.1"}
        return text | mapped

    def init_postgresql(self, container: Container) -> None:
        """Do what the entry point of PostgreSQL's image does on a volume that is empty."""
        data = self.folder / "postgres"
        if any(data.iterdir()):
            return
        environment = container.settings["environment"]
        secret = container.folder / "password"
        secret.write_text(environment["POSTGRES_PASSWORD"] + "\n")
        if account := _as_postgres():
            self.folder.chmod(0o755)
            for path in (data, secret):
                shutil.chown(path, account["user"], account["group"])
        folder = postgresql_folder()
        assert folder is not None
        user = environment["POSTGRES_USER"]
        assert environment["POSTGRES_DB"] == user
        make = f"initdb -D {data} -U {user} --pwfile={secret} -A scram-sha-256 --no-sync"
        for words, said in (
            (f"{make} {environment['POSTGRES_INITDB_ARGS']}", b""),
            (f"postgres --single -D {data} postgres", f"CREATE DATABASE {user}\n".encode()),
        ):
            subprocess.run(
                [folder / words.split()[0], *words.split()[1:]],
                input=said,
                check=True,
                capture_output=True,
                cwd="/",
                **account,
            )

    def _await(self, service: str, condition: str) -> None:
        for container in self.of(service):
            if condition == "service_healthy":
                container.until_healthy()
            else:
                assert condition == "service_completed_successfully"
                assert container.process is not None
                assert container.process.wait(60 * self.patience) == 0, container.log()

    def _map(self, value: str, container: Container) -> str:
        for name, port in self.ports.items():
            value = re.sub(rf"(?<=[/@]){name}(?=/|$)", f"127.0.0.1:{port}", value)
        value = re.sub(r"^(file://)?/artifacts$", rf"\g<1>{self.folder}/artifacts", value)
        return str(container.folder) if value == "/data" else value


def _as_postgres() -> dict[str, Any]:
    """Return how to run a process as another user, where we are root, which PostgreSQL refuses."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
