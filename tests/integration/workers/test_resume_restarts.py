"""Jobs whose workers are killed and shut down end where an undisturbed run does, to the bit."""

from __future__ import annotations

import random
import signal
import time

import pytest

from headrace.jobs import queries
from integration.workers.conftest import Deployment
from integration.workers.walks import (
    STEPS,
    checkpoints,
    damage,
    digest,
    gets_on,
    has_checkpoints,
    kill,
    resumed,
    walk,
)

# Starting workers takes seconds; what the databases do differently is tested in test_resume and test_faults.
pytestmark = pytest.mark.parametrize("deployment", ["sqlite"], indirect=True)


def test_any_schedule_of_kills_and_shutdowns_over_several_workers(ready: Deployment) -> None:
    calm = digest(ready, walk(ready, step_s=0))
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    schedule = random.Random(seed)
    acts = ["kill the job", "kill the fork server", "kill the worker", "shut the worker down"]
    job = walk(ready)
    for attempt, act in enumerate(schedule.sample(acts, len(acts)), 1):
        gets_on(ready, job, attempt)
        time.sleep(schedule.uniform(0, 0.2))
        if act == "kill the job":
            kill(ready)
        elif act == "kill the fork server":
            for server in ready.fork_servers():
                server.kill()
        else:
            worker = ready.worker
            worker.send_signal(signal.SIGKILL if act == "kill the worker" else signal.SIGTERM)
            worker.wait(10)
            ready.start_worker()
    assert digest(ready, job) == calm
    assert len(resumed(ready, job)) == len(acts)
    states = [event.data for event in ready.events(job) if event.type == "state"]
    assert len({state["worker"] for state in states if state["state"] == "running"}) == 3


def test_a_worker_back_from_the_dead_keeps_no_checkpoint_while_its_rival_goes_on(ready: Deployment) -> None:
    calm = digest(ready, walk(ready, step_s=0))
    # Long enough for a slow machine to find a moment in which the worker may be frozen.
    job = walk(ready, step_s=0.1)
    has_checkpoints(ready, job)
    # Its job process goes on, so checkpoints wait for it when it comes back.
    zombie = ready.freeze_worker()
    ready.start_worker()
    gets_on(ready, job, 2)
    zombie.resume()
    lost = f"attempt 1 of {job.id} no longer holds its lease"
    ready.until(lambda: lost in ready.logs(), "the zombie does not notice")
    assert digest(ready, job) == calm
    assert len(resumed(ready, job)) == 1
    assert checkpoints(ready, job) == []
    with ready.db.read() as session:
        series = queries.metrics(session, ready.job(job))
    assert [step for step, _ in series["loss"]] == list(range(1, STEPS + 1))


def test_with_no_checkpoint_left_whole_the_job_begins_again(ready: Deployment) -> None:
    calm = digest(ready, walk(ready, step_s=0))
    job = walk(ready)
    has_checkpoints(ready, job)
    ready.worker.send_signal(signal.SIGTERM)
    ready.worker.wait(10)
    assert (ready.job(job).state, ready.job(job).failures) == ("queued", 0)
    newest, before = checkpoints(ready, job)
    damage(ready, newest, cut=True)
    damage(ready, before, cut=False)
    ready.start_worker()
    assert digest(ready, job) == calm
    assert resumed(ready, job) == []
