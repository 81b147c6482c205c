"""The versions that are loaded, each in a job process of its own."""

from __future__ import annotations

import json
import logging
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Client, Connection
from pathlib import Path

from headrace.artifacts.store import Store, fetch_file
from headrace.config import Settings
from headrace.errors import HeadraceError, Unavailable
from headrace.online import LOAD_S, MAX_MESSAGE_BYTES, Model
from headrace.specs.task import Failed, Progress
from headrace_workers.job_pipes import Event, Exited, LogLines
from headrace_workers.job_process import ForkServer, JobProcess
from headrace_workers.scratch import Scratch
from headrace_workers.serving.process import PACKAGE_FILE, SOCKET_FILE

log = logging.getLogger(__name__)

ENTRY = "headrace_workers.serving.process:main"
PRELOADS = {"plain": "light", "tensorflow": "heavy"}
ANSWER_S = 30.0
"""How long a loaded version may take for one question."""


class _Loaded:
    """One version in its process. Of one thread at a time."""

    def __init__(self, server: ForkServer, folder: Path, socket: Path) -> None:
        self._folder, self._socket = folder, socket
        self._process: JobProcess = server.spawn(folder, entry=ENTRY)
        try:
            self._wait_until_loaded()
            self._connection: Connection[bytes, bytes] = Client(str(socket), "AF_UNIX")
        except BaseException:
            self._end()
            raise

    def ask(self, question: bytes) -> bytes:
        """Return the process's answer. Raises `Unavailable` when it crashes or hangs; it is dead then."""
        try:
            self._connection.send_bytes(question)
            if not self._connection.poll(ANSWER_S):
                raise Unavailable(f"the model has not answered within {ANSWER_S:g} s")
            return self._connection.recv_bytes(MAX_MESSAGE_BYTES)
        except (OSError, EOFError):
            raise Unavailable("the process of the model has died; ask again") from None
        finally:
            # Whatever it has printed meanwhile: a full pipe would stop it.
            self._say(self._process.read(0))

    def close(self) -> None:
        """Kill the process and remove its folder."""
        self._connection.close()
        self._end()

    def _wait_until_loaded(self) -> None:
        deadline = time.monotonic() + LOAD_S
        while time.monotonic() < deadline:
            events = self._process.read(1.0)
            self._say(events)
            for event in events:
                if isinstance(event, Failed):
                    raise Unavailable(f"the model cannot be loaded: {event.message}")
                if isinstance(event, Exited):
                    raise Unavailable(f"the process of the model {event.reason} while it loaded the model")
                if isinstance(event, Progress):
                    return
        raise Unavailable(f"the model was not loaded within {LOAD_S:g} s")

    def _say(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, LogLines):
                for line in event.lines:
                    log.info("model: %s", line)

    def _end(self) -> None:
        self._process.close()
        self._socket.unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)


class _Place:
    """Where a version is or will be; ``lock`` is held by who loads or asks it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.loaded: _Loaded | None = None


class WarmModels:
    """At most ``settings.serve_models`` loaded versions. All methods may be called from any thread."""

    def __init__(self, settings: Settings, store: Store, scratch: Scratch) -> None:
        self._settings = settings
        self._store = store
        self._scratch = scratch
        self._lock = threading.Lock()
        self._servers: dict[str, ForkServer] = {}
        self._places: OrderedDict[Model, _Place] = OrderedDict()

    def ask(self, model: Model, question: bytes) -> bytes:
        """Return the answer of ``model``'s process, started if need be. Raises `HeadraceError`."""
        place = self._place(model)
        with place.lock:
            if place.loaded is None:
                place.loaded = self._load(model)
            try:
                return place.loaded.ask(question)
            except HeadraceError:
                place.loaded.close()
                place.loaded = None
                raise

    def close(self) -> None:
        """Kill everything."""
        with self._lock:
            places, servers = list(self._places.values()), list(self._servers.values())
            self._places.clear()
        for place in places:
            _empty(place)
        for server in servers:
            server.stop()

    def _place(self, model: Model) -> _Place:
        with self._lock:
            place = self._places.setdefault(model, _Place())
            self._places.move_to_end(model)
            surplus = [
                self._places.pop(old)
                for old in list(self._places)[: max(len(self._places) - self._settings.serve_models, 0)]
            ]
        for old_place in surplus:
            _empty(old_place)
        return place

    def _load(self, model: Model) -> _Loaded:
        server = self._server(PRELOADS[model.runtime])
        if not server.ready(LOAD_S):
            raise Unavailable("the process that loads models is still starting; ask again")
        folder = self._scratch.new("model")
        try:
            fetch_file(self._store, model.package, folder / PACKAGE_FILE)
            socket = self._settings.runtime / f"model-{secrets.token_hex(4)}.sock"
            (folder / SOCKET_FILE).write_text(str(socket))
            return _Loaded(server, folder, socket)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _server(self, preload: str) -> ForkServer:
        with self._lock:
            if preload not in self._servers:
                self._servers[preload] = ForkServer(preload, self._scratch)
                self._servers[preload].start()
            return self._servers[preload]


def _empty(place: _Place) -> None:
    with place.lock, suppress(OSError):
        if place.loaded is not None:
            place.loaded.close()
            place.loaded = None


def answer(models: WarmModels, question: bytes) -> bytes:
    """Return the answer to one question of `headrace.online`, whatever happens."""
    try:
        asked = json.loads(question)
        model = Model(asked["package"], asked["runtime"])
        return models.ask(model, json.dumps(asked["instances"]).encode())
    except HeadraceError as error:
        return json.dumps({"unavailable": error.detail}).encode()
    except Exception:
        log.exception("a question could not be answered")
        return b'{"unavailable": "something went wrong in the serving process; its log says what"}'
