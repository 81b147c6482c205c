"""The faults: one function each, which does harm once and returns what it did, in counted words."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil
import redis

from chaos import processes
from chaos.deployment import SCHEDULERS, WEB, WORKERS, Deployment
from chaos.disk import Disk
from chaos.servers import Broker, Postgres
from chaos.watch import Watch
from headrace.dispatch import TASK, celery_queue

ZOMBIE_PATIENCE_S = 20.0
FIND_OUT_S = 5.0
"""So long a worker that was stopped has to find out that its leases are gone."""
Harm = Counter[str]


class NotNow(Exception):
    """There was nothing to harm; to be tried again."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """What faults are done to."""

    deployment: Deployment
    broker: Broker
    postgres: Postgres | None
    disk: Disk
    watch: Watch
    rng: random.Random
    freeze_s: float


def kill_web(site: Site) -> Harm:
    """SIGKILL gunicorn's master, or the process that answers."""
    answering = site.deployment.children(WEB)
    if answering and site.rng.random() < 0.5:
        _kill(answering[0])
        return Counter({"process that answers": 1})
    free_part(site, (WEB,))
    site.deployment.kill(WEB)
    return Counter({"master": 1})


def kill_scheduler(site: Site) -> Harm:
    """SIGKILL one of the schedulers."""
    site.deployment.kill(free_part(site, SCHEDULERS))
    return Counter()


def kill_supervisor(site: Site) -> Harm:
    """SIGKILL a worker's main process."""
    name = free_part(site, WORKERS)
    running = site.watch.running_of(site.deployment.parts[name].pid or 0)
    site.deployment.kill(name)
    return Counter({"attempts cut off": len(running)})


def kill_fork_server(site: Site) -> Harm:
    """SIGKILL a fork server, and by it its jobs."""
    found = processes.fork_servers(site.deployment.mark)
    if not found:
        raise NotNow
    server = site.rng.choice(found)
    with suppress(psutil.Error):
        jobs = len(server.children())
        _kill(server)
        return Counter({"attempts cut off": jobs})
    raise NotNow


def kill_job(site: Site) -> Harm:
    """SIGKILL a job process."""
    found = processes.jobs(site.deployment.mark)
    if not found:
        raise NotNow
    _kill(site.rng.choice(found))
    return Counter({"attempts cut off": 1})


def zombie(site: Site) -> Harm:
    """Stop a worker past its lease, until a rival has taken its jobs and ended one; then let it go on."""
    name = free_part(site, WORKERS)
    part = site.deployment.parts[name]
    pid = part.pid
    if pid is None or not site.watch.running_of(pid):
        raise NotNow
    part.held = True
    try:
        refused = _refusals(site, name)
        _signal(pid, signal.SIGSTOP)
        held = site.watch.running_of(pid)
        deadline = time.monotonic() + ZOMBIE_PATIENCE_S
        taken = ended = 0
        while held and (taken < len(held) or not ended) and time.monotonic() < deadline:
            time.sleep(0.1)
            taken, ended = site.watch.over(held)
        _signal(pid, signal.SIGCONT)
        if not taken:
            raise NotNow
        deadline = time.monotonic() + FIND_OUT_S
        while _refusals(site, name) - refused < taken and time.monotonic() < deadline:
            time.sleep(0.1)
        refused = _refusals(site, name) - refused
    finally:
        part.held = False
    return Counter({"jobs taken over": taken, "ended by a rival": ended, "stale attempts refused": refused})


def flush(site: Site) -> Harm:
    """Empty the broker."""
    with suppress(redis.RedisError), site.broker.client() as client:
        keys = client.dbsize()
        client.flushall()
        return Counter({"keys lost": int(keys)})
    raise NotNow


def kill_broker(site: Site) -> Harm:
    """SIGKILL the broker; start it again, empty, a moment later."""
    site.broker.kill()
    time.sleep(site.rng.uniform(0.1, 1.0))
    site.broker.start()
    return Counter()


def freeze_broker(site: Site) -> Harm:
    """Stop the broker: connections stay open, and nobody answers."""
    before = site.watch.ended
    with site.broker.frozen():
        time.sleep(site.freeze_s)
        site.watch.look()
        return Counter({"jobs ended meanwhile": site.watch.ended - before})


def fill_broker(site: Site) -> Harm:
    """Leave the broker no memory: it answers every ticket with an error."""
    with suppress(redis.RedisError), site.broker.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        time.sleep(2.0)
        client.config_set("maxmemory", 0)
        return Counter()
    raise NotNow


def duplicate_tickets(site: Site) -> Harm:
    """Send many tickets for jobs that do not wait, or do not exist, or are there already."""
    return _messages(site, [_ticket(site) for _ in range(20)])


def garbage(site: Site) -> Harm:
    """Send what is no ticket: other tasks, pickles, no JSON, no envelope, nothing."""
    other = _envelope("os.system", ["rm -rf /"])
    return _messages(
        site,
        [
            b"",
            b"\x80\x04\x95garbage",
            b"{",
            b"[]",
            b'{"body": "x"}',
            json.dumps(other).encode(),
            json.dumps({**other, "content-type": "application/x-python-serialize"}).encode(),
            json.dumps({**other, "body": "!"}).encode(),
            json.dumps(_envelope(TASK, {"not": "a list"})).encode(),
            json.dumps(_envelope(TASK, [["default"] * 5000])).encode(),
        ],
    )


def _messages(site: Site, messages: list[bytes]) -> Harm:
    with suppress(redis.RedisError), site.broker.client() as client:
        client.lpush(celery_queue("default"), *messages)
        return Counter({"messages": len(messages)})
    raise NotNow


def _ticket(site: Site) -> bytes:
    return json.dumps(_envelope(TASK, ["default", f"job_{site.rng.getrandbits(64):x}"])).encode()


def _envelope(task: str, words: object) -> dict[str, Any]:
    """Return a message of Celery's protocol 2, as kombu puts it into Redis."""
    return {
        "body": json.dumps([words, {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": task, "id": "again", "retries": 0, "root_id": "again"},
        "properties": {
            "correlation_id": "again",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": celery_queue("default")},
            "delivery_tag": "again",
            "body_encoding": "",
        },
    }


def free_part(site: Site, names: tuple[str, ...]) -> str:
    """Return one of the parts ``names`` that runs and that no other fault is at work on."""
    found = [
        name for name in names if site.deployment.parts[name].pid and not site.deployment.parts[name].held
    ]
    if not found:
        raise NotNow
    return site.rng.choice(found)


def _refusals(site: Site, name: str) -> int:
    return site.deployment.log(name).count("no longer holds its lease")


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


def _signal(pid: int, number: int) -> None:
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).send_signal(number)
