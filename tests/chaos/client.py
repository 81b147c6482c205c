"""The client: submits over HTTP, keeps every answer in its ledger, and sends again what nobody answered."""

from __future__ import annotations

import base64
import hashlib
import heapq
import random
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import httpx

from chaos.ledger import SUCCEEDED, Entry, Ledger
from chaos.submissions import Request
from chaos.violation import Violation

AGAIN_S = (0.3, 2.0)
"""How long after a request without an answer it is sent again, at random between these."""
AGAIN = 0.02
"""The share of requests that are sent again although they were answered: the answer has to be the same."""
REFUSALS = (409, 429, 503, 507)
"""What a server may answer to a submission amid faults; 507 while the disk is full. It is sent again."""
_TIMEOUT_S = 20.0


class Client:
    """Sends from ``threads`` threads. ``violations``: answers that no server may give."""

    def __init__(self, url: str, key: str, *, seed: int, threads: int = 3) -> None:
        self.ledger = Ledger()
        self.violations: list[Violation] = []
        self.counts: Counter[str] = Counter()
        self._http = httpx.Client(
            base_url=f"{url}/api/v1",
            headers={"Authorization": f"Bearer {key}"},
            timeout=_TIMEOUT_S,
            trust_env=False,
        )
        self._rng = random.Random(seed)
        self._due: list[tuple[float, int, Request]] = []
        self._number = 0
        self._unanswered = 0
        self._changed = threading.Condition()
        self._stopping = False
        self._threads = [threading.Thread(target=self._send_all, name="client") for _ in range(threads)]
        self._threads.append(threading.Thread(target=self._read_all, name="reader"))
        for thread in self._threads:
            thread.start()

    def submit(self, request: Request) -> None:
        """Enter ``request`` into the ledger, and send it until it is answered."""
        self.ledger.add(request.entry)
        with self._changed:
            self._unanswered += 1
        self._later(request, 0.0)

    @property
    def unanswered(self) -> int:
        """How many submissions and cancellations still want an answer."""
        with self._changed:
            return self._unanswered

    @property
    def unsent(self) -> int:
        """How many submissions were never sent so far; those that are sent again wait by themselves."""
        with self._changed:
            return sum(not request.sent for _, _, request in self._due)

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Return the JSON of an answer, asking until there is one."""
        while True:
            answer = self._ask(method, path, **options)
            if answer is not None and answer.is_success:
                return answer.json()
            assert answer is None or answer.status_code in (409, 429) or answer.status_code >= 500, (
                answer.text
            )
            time.sleep(0.2)

    def close(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._http.close()

    def _later(self, request: Request, after_s: float) -> None:
        with self._changed:
            self._number += 1
            heapq.heappush(self._due, (time.monotonic() + after_s, self._number, request))
            self._changed.notify()

    def _send_all(self) -> None:
        while True:
            with self._changed:
                while not self._stopping and (not self._due or self._due[0][0] > time.monotonic()):
                    wait = self._due[0][0] - time.monotonic() if self._due else None
                    self._changed.wait(wait)
                if self._stopping:
                    return
                request = heapq.heappop(self._due)[2]
            if request.after is not None and request.after.job is None:
                self._later(request, 0.2)
            elif request.cancelling:
                self._cancel(request)
            else:
                self._send(request)

    def _send(self, request: Request) -> None:
        entry, request.sent = request.entry, True
        headers = {"Idempotency-Key": entry.key}
        params = {"project": entry.project}
        if request.file is not None:
            path = f"/datasets/upload-{entry.key}/versions"
            headers["Content-Type"] = "text/csv"
            answer = self._ask("POST", path, params=params, headers=headers, content=request.file)
        else:
            body = request.body
            if request.after is not None:
                body = body | {"depends_on": [request.after.job]}
            answer = self._ask("POST", "/jobs", params=params, headers=headers, json=body)
        if answer is None or not answer.is_success:
            if answer is not None and answer.status_code not in REFUSALS:
                self._refused(f"{entry.key} was answered {answer.status_code}: {answer.text[:300]}")
            self.counts["submissions sent again"] += 1
            self._later(request, self._rng.uniform(*AGAIN_S))
            return
        told = answer.json()
        entry.answers.append(told["job"] if request.file is not None else told["id"])
        if len(entry.answers) == 1 and self._rng.random() < AGAIN:
            self.counts["answered ones sent again"] += 1
            self._send(request)
        elif request.cancel_after_s is None:
            self._answered()
        else:
            request.cancelling = True
            self._later(request, request.cancel_after_s)

    def _cancel(self, request: Request) -> None:
        entry = request.entry
        answer = self._ask("POST", f"/jobs/{entry.job}/cancel", params={"project": entry.project})
        if answer is not None and answer.status_code == 202:
            entry.cancelled = True
        elif answer is None or answer.status_code != 409:
            # 409: it has ended; the request before this one was heard, and its answer lost.
            self._later(request, self._rng.uniform(*AGAIN_S))
            return
        self._answered()

    def _answered(self) -> None:
        with self._changed:
            self._unanswered -= 1

    def _read_all(self) -> None:
        """Look at what there is, all the time: every artifact that can be seen hashes to its name."""
        rng = random.Random(self._rng.random())
        while not self._stopping:
            time.sleep(0.2)
            done = [
                e for e in self.ledger if e.job and e.kind in ("train", "predict") and SUCCEEDED in e.ends
            ]
            if done:
                self._read(rng.choice(done[-200:]))

    def _read(self, entry: Entry) -> None:
        params = {"project": entry.project}
        job = self._ask("GET", f"/jobs/{entry.job}", params=params)
        if job is None or job.status_code != 200 or job.json()["state"] != "succeeded":
            return
        told = job.json()
        path = f"/jobs/{entry.job}/output"
        if entry.kind == "train":
            path = f"/models/{told['result']['model']}/versions/{told['result']['version']}/archive"
        answer = self._ask("GET", path, params=params)
        if answer is None or answer.status_code == 503:
            return
        if answer.status_code != 200:
            self._refused(
                f"{path} of {entry.job}, which has succeeded: {answer.status_code} {answer.text[:200]}"
            )
            return
        self.counts["artifacts read meanwhile"] += 1
        digest = base64.b64encode(hashlib.sha256(answer.content).digest()).decode()
        if answer.headers["Content-Digest"] != f"sha-256=:{digest}:":
            self.violations.append(Violation("I5", f"{path} does not hash to its name", entry.job))

    def _refused(self, text: str) -> None:
        if len(self.violations) < 50:
            self.violations.append(Violation("http", text))

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        """Return the answer, None where none came whole."""
        with suppress(httpx.TransportError):
            answer = self._http.request(method, path, **options)
            self.counts[f"answers {answer.status_code}"] += 1
            if answer.status_code == 500:
                self._refused(f"{method} {path} was answered 500: {answer.text[:300]}")
            return answer
        self.counts["requests without an answer"] += 1
        return None
