"""A deployment and a browser that looks at it: the web server, a scheduler, a worker, Debian's Chromium."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from headrace import scheduler
from headrace.access import service as access
from headrace.config import Settings
from headrace.db import Database
from services import free_port, missing

TESTS = Path(__file__).parents[2]
WEB = "from headrace_web.command import web; web()"
READY_S = 60.0
SWITCHES = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        missing("Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=SWITCHES.split())
        yield browser
        browser.close()


@dataclass
class Site:
    """A running deployment; ``key`` is an admin's."""

    settings: Settings
    key: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.settings.local_url

    def start(self, *command: str) -> None:
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            **self.settings.environ(),
            "PYTHONPATH": str(TESTS / "plugins"),
        }
        with (self.settings.data / f"part-{len(self.processes)}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen([sys.executable, *command], env=environment, stdout=log, stderr=log)
            )

    def is_up(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz").status_code == 200
        return False

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in self.settings.data.glob("part-*.log"))


@pytest.fixture(scope="module")
def site(redis_url: str, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    data = tmp_path_factory.mktemp("site")
    settings = Settings.load({}, data=data, port=free_port(), broker_url=redis_url, slots=1)
    shutil.copy(sqlite_template, data / "headrace.db")
    database = Database(settings.database_url)
    with database.transaction() as session:
        _, key = access.create_key(session, project="default", role="admin", name="", now=datetime.now(UTC))
    database.close()
    site = Site(settings, key)
    stop = threading.Event()
    ticking = threading.Thread(target=scheduler.run, args=(settings, stop))
    ticking.start()
    try:
        site.start("-c", WEB)
        site.start(str(TESTS / "integration" / "workers" / "light_worker.py"))
        end = time.monotonic() + READY_S
        while not site.is_up():
            assert time.monotonic() < end, site.logs()
            time.sleep(0.1)
        yield site
    finally:
        for process in site.processes:
            process.terminate()
        for process in site.processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()
        stop.set()
        ticking.join()


@pytest.fixture
def page(chromium: Browser, site: Site) -> Iterator[Page]:
    """A browser of the test's own, signed in. Whatever a page complains of fails the test."""
    complaints: list[str] = []
    context = chromium.new_context(base_url=site.url, viewport={"width": 1200, "height": 800})
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    page.goto("/jobs")
    page.get_by_label("API key").fill(site.key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/jobs")
    yield page
    context.close()
    # A form with errors is answered with 422, which the console tells as an error too.
    assert [text for text in complaints if "422" not in text] == []
