"""One run of the suite on one database: prepare, disturb, let it settle, look."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from chaos import harsher, histories
from chaos.client import Client
from chaos.deck import Fault, Lane
from chaos.deployment import WORKERS, Deployment
from chaos.disk import Disk
from chaos.faults import Site
from chaos.invariants import check
from chaos.servers import Broker, Postgres
from chaos.submissions import BASE, CAPPED, CSV, TABLE, TRAIN, draw, network, networks
from chaos.undisturbed import Undisturbed
from chaos.violation import Violation
from chaos.watch import Watch
from headrace import db
from headrace.access import service as access
from headrace.artifacts.store import LocalStore
from headrace.artifacts.tables import Artifact
from headrace.config import Settings
from headrace.datasets.tables import DatasetVersion
from headrace.db import Database, clock
from services import free_port

SLOTS = 2
BACKLOG = 30
"""So many jobs at most are open at once, so that every fault meets running and waiting ones."""
MOST_UNANSWERED = 60
"""A web server that is down accepts nothing, so that jobs which are open do not tell when to wait."""
FEWEST = 6
ANSWER_S = 90.0
"""A web server that is killed leaves an idempotency key reserved for a minute."""
QUOTA = 2
NETWORKS = 3
"""So many seeds the networks have, each trained undisturbed once."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run is made of. ``networks``: its jobs are trainings with TensorFlow."""

    database: str
    jobs: int
    seed: int
    counts: Mapping[Fault, int]
    freeze_s: float
    networks: bool = False


@dataclass
class Report:
    """What came of it."""

    plan: Plan
    lanes: list[Lane] = field(default_factory=list)
    impossible: dict[str, str] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    stories: list[str] = field(default_factory=list)
    submissions: int = 0
    faults_s: float = 0.0
    settled_s: float = 0.0
    allowed_s: float = 0.0
    logs: Path = Path()


def run(plan: Plan) -> Report:
    """Run ``plan`` to its end."""
    report = Report(plan)
    with ExitStack() as stack:
        report.logs = Path(tempfile.mkdtemp(prefix=f"chaos-logs-{plan.database}-"))
        disk = Disk()
        stack.callback(disk.close)
        broker = Broker()
        stack.callback(broker.close)
        broker.start()
        postgres = None
        url = f"sqlite:///{disk.path / 'headrace.db'}"
        if plan.database == "postgresql":
            postgres = Postgres()
            stack.callback(postgres.close)
            postgres.start()
            url = postgres.url
        settings = _settings(disk.path, url, broker.url)
        db.upgrade(url)
        deployment = Deployment(settings, report.logs, light=not plan.networks)
        stack.callback(deployment.stop)
        deployment.start()
        client = Client(settings.local_url, _prepare(settings), seed=plan.seed)
        stack.callback(client.close)
        watch = Watch(url)
        stack.callback(watch.close)
        rng = random.Random(plan.seed)
        site = Site(
            deployment=deployment,
            broker=broker,
            postgres=postgres,
            disk=disk,
            watch=watch,
            rng=rng,
            freeze_s=plan.freeze_s,
        )
        report.impossible = harsher.impossible(site)
        _disturb(plan, site, client, report)
        _settle(site, client, report)
        client.close()
        late = deployment.stop()
        report.counts |= client.counts
        report.violations += [
            *client.violations,
            *watch.violations,
            *(Violation("I6", text) for text in late),
        ]
        report.violations += _tidy(deployment)
        store = LocalStore(settings.data / "artifacts")
        ledger, marks = client.ledger, [deployment.mark]
        report.violations += check(url, store, ledger=ledger, marks=marks, collected=True)
        report.submissions = len(client.ledger)
        concerned = dict.fromkeys(v.job for v in report.violations if v.job)
        for job_id in list(concerned)[:5]:
            report.stories.append(watch.ask(lambda session, job=job_id: histories.story(session, job), ""))
    return report


def _settings(data: Path, url: str, broker_url: str) -> Settings:
    return Settings.load(
        {},
        data=data,
        database_url=url,
        broker_url=broker_url,
        port=free_port(),
        web_processes=2,
        web_viewers=4,
        slots=SLOTS,
        lease_s=3.0,
        renew_s=0.6,
        tick_s=0.3,
        poll_s=0.3,
        backoff_base_s=0.1,
        backoff_max_s=1.0,
        collect_after_s=5.0,
        collect_every_s=2.0,
        checkpoint_s=0.1,
        rate_per_s=0,
    )


def _prepare(settings: Settings) -> str:
    """Make a project with a quota, and return an admin's key."""
    database = Database(settings.database_url)
    try:
        with database.transaction() as session:
            now = clock(session)
            access.ensure_project(session, CAPPED, now).max_running = QUOTA
            return access.create_key(session, project="default", role="admin", name="chaos", now=now)[1]
    finally:
        database.close()


def _reference(site: Site, client: Client) -> tuple[Undisturbed, str]:
    """Upload the table, train and predict before any fault; return what undisturbed jobs come to."""
    for project in ("default", CAPPED):
        client.call(
            "POST",
            f"/datasets/{TABLE}/versions",
            params={"project": project},
            content=CSV.encode(),
            headers={"Content-Type": "text/csv"},
        )
        _until(client, f"/datasets/{TABLE}/versions/1", "ready", project=project)
    params = {"steps": 20, "step_s": 0.0}
    trained = client.call("POST", "/jobs", json={"kind": "train", "spec": TRAIN | {"params": params}})
    spec = _until(client, f"/jobs/{trained['id']}", "succeeded")["spec"]
    predict = {"model": BASE, "dataset": TABLE}
    predicted = client.call("POST", "/jobs", json={"kind": "predict", "spec": predict})
    output = _until(client, f"/jobs/{predicted['id']}", "succeeded")["result"]["digest"]
    learned = client.call("GET", f"/models/{BASE}/versions/1")["weights_digest"]

    def table(session: Session) -> tuple[str, list[Any]] | None:
        query = select(Artifact.digest, DatasetVersion.columns).join(
            DatasetVersion, DatasetVersion.id == Artifact.owner
        )
        row = session.execute(query.where(Artifact.name == "data", Artifact.project == "default")).first()
        return row and (row.digest, row.columns)

    found = site.watch.ask(table, None)
    assert found is not None
    store = LocalStore(site.deployment.settings.data / "artifacts")
    undisturbed = Undisturbed(store.path(found[0]), found[1], spec)
    assert undisturbed.walk(0, 20) == learned, "this process and a job learn different bits"
    return undisturbed, output


def _learned(client: Client, spec: dict[str, Any]) -> str:
    """Return the digest of what a job of ``spec`` learns."""
    trained = client.call("POST", "/jobs", json={"kind": "train", "spec": spec})
    version = _until(client, f"/jobs/{trained['id']}", "succeeded")["result"]["version"]
    return str(client.call("GET", f"/models/{spec['model']}/versions/{version}")["weights_digest"])


def _until(client: Client, path: str, state: str, **params: str) -> dict[str, Any]:
    deadline = time.monotonic() + ANSWER_S
    while True:
        found: dict[str, Any] = client.call("GET", path, params=params)
        if found["state"] == state:
            return found
        assert time.monotonic() < deadline, f"{path} does not become {state}: {found}"
        time.sleep(0.1)


def _disturb(plan: Plan, site: Site, client: Client, report: Report) -> None:
    """Submit jobs and do harm, until there were enough of both."""
    undisturbed, predicted = _reference(site, client)
    rng = random.Random(plan.seed + 1)
    backlog = FEWEST if plan.networks else BACKLOG
    if plan.networks:
        requests = networks(rng, {seed: _learned(client, network(seed)) for seed in range(NETWORKS)})
    else:
        requests = draw(rng, undisturbed, predicted)
    schedules = [_schedule(client, every_s) for every_s in (2, 3)]
    began = time.monotonic()
    stop = threading.Event()
    wanted = {
        fault: count
        for fault, count in plan.counts.items()
        if plan.database in fault.databases and fault.name not in report.impossible
    }
    for lasting in (False, True):
        some = {fault: count for fault, count in wanted.items() if fault.lasting is lasting}
        report.lanes.append(Lane(some, rng))
    threads = [
        threading.Thread(target=lane.run, args=(site, plan.jobs, stop), name="faults")
        for lane in report.lanes
    ]
    for thread in threads:
        thread.start()
    try:
        while any(t.is_alive() for t in threads) or (len(client.ledger) < plan.jobs and not stop.is_set()):
            share = min(lane.share for lane in report.lanes) + 0.05
            ahead = len(client.ledger) - 10 > share * plan.jobs
            # Faults wait for jobs to run, jobs for faults to come: a few there always are.
            full = site.watch.open + client.unsent > backlog or client.unanswered > MOST_UNANSWERED
            if full or (ahead and site.watch.open > FEWEST):
                time.sleep(0.05)
            else:
                client.submit(next(requests))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for lane in report.lanes:
        if lane.broken is not None:
            raise lane.broken
    report.faults_s = time.monotonic() - began
    for schedule in schedules:
        client.call("PATCH", f"/schedules/{schedule}", json={"enabled": False})


def _schedule(client: Client, every_s: int) -> str:
    spec = TRAIN | {"model": f"every-{every_s}", "algorithm": "scripted"}
    job = {"kind": "train", "spec": spec, "max_attempts": 100}
    body = {"every_s": every_s, "catch_up": "all", "overlap": "queue", "job": job}
    return str(client.call("POST", "/schedules", json=body)["id"])


def _settle(site: Site, client: Client, report: Report) -> None:
    """Wait until every submission was answered and every job has ended, as long as I2 allows."""
    began = time.monotonic()
    while client.unanswered and time.monotonic() - began < ANSWER_S:
        time.sleep(0.1)
    began = time.monotonic()
    site.watch.look()
    settings = site.deployment.settings
    slots = len(WORKERS) * SLOTS
    own_s = [entry.own_s for entry in client.ledger]
    work_s = max(own_s, default=0.0) + site.watch.open * (sum(own_s) / len(own_s)) / slots
    report.allowed_s = settings.lease_s + settings.tick_s + settings.backoff_max_s + work_s + 10.0
    while site.watch.open and time.monotonic() - began < report.allowed_s:
        time.sleep(0.1)
        site.watch.look()
    report.settled_s = time.monotonic() - began


def _tidy(deployment: Deployment) -> Iterator[Violation]:
    """I6: nothing lies in the folder of scratch spaces, and after collecting garbage fsck finds nothing."""
    for path in (deployment.settings.data / "scratch").iterdir():
        if path.name != "lock":
            yield Violation("I6", f"the scratch folder holds {path.name} still")
    for command in (("gc", "--now"), ("fsck",)):
        done = deployment.command(*command)
        if done.returncode or (command == ("fsck",) and "all is well" not in done.stdout):
            yield Violation("I6", f"headrace {' '.join(command)}: {done.stdout}{done.stderr}")


def numbers(report: Report) -> Iterator[tuple[str, int, int, str]]:
    """Yield fault, how often, how often not, and what it did."""
    for lane in report.lanes:
        for name in sorted({*lane.times, *lane.undone}):
            harm = ", ".join(f"{count} {what}" for what, count in sorted(lane.harm.get(name, {}).items()))
            yield name, lane.times[name], lane.undone[name], harm
