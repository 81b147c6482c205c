"""Jobs: the state machine, leases and fences, claims, events.

::

            submit                 claim (lease)             commit (fenced)
    waiting ──deps ok──▶ queued ───────────────▶ running ──────────────────▶ succeeded
       │                 ▲   │                    │ │ │
       │ dep failed      │   │ cancel             │ │ └─ error, attempts spent or not retryable ─▶ failed
       ▼                 │   ▼                    │ └─── cancel requested ────────────────────▶ cancelled
    cancelled            │ cancelled              │
                         └─ lease expired · worker shut down · retryable error (after backoff) ─┘

Each arrow is one function of `headrace.jobs.transitions`, which alone writes ``jobs.state`` and writes the
arrow's event in the same transaction:

==================  ======================  ============================================================
function            from → to               cause
==================  ======================  ============================================================
``create``          → waiting or queued     submission; waiting if it depends on jobs
``queue``           waiting → queued        every dependency has succeeded
``give_up``         waiting → failed        the spec turned out wrong once the dependencies had ended
``start``           queued → running        a worker claimed it: ``attempt`` rises, a lease begins
``succeed``         running → succeeded     the worker commits the effects in the same transaction
``fail``            running → queued        a retryable error, with failures left: after a backoff
``fail``            running → failed        an error that a retry cannot mend, or failures spent
``lose``            running → queued        the lease expired; counts as a failure, named "worker lost"
``lose``            running → failed        the same, failures spent
``hand_back``       running → queued        a clean shutdown; no failure
``cancel``          → cancelled             a person asked, or a dependency did not succeed
``begin``           queued → running        a coordinator: `tick` saw it; its lease never ends
``complete``        running → succeeded     a coordinator: its parts have ended, its effects commit
``break_off``       running → failed        a coordinator: a part ended badly
``stop``            → cancelled             a coordinator was asked to, or ended, with parts unfinished
==================  ======================  ============================================================

**The fence.** A claim gives the worker a `Lease`: job, attempt, a random token. Everything that a worker
writes goes through `headrace.jobs.leases.hold`, which locks the job's row and finds it only while that very
attempt runs. A worker that comes back from the dead raises `LeaseLost` before it has written anything.

**Cancelling** a running job sets ``cancel_requested``; the worker learns of it when it renews its lease,
kills the job process and then cancels. From the flag on the job cannot succeed (a CHECK says so too), and
if the worker is lost instead the job ends cancelled.

**Coordinators** are jobs whose work is other jobs, their parts (``parent``, ``part``). They run in no slot
and under nobody's lease: whoever ticks advances them, under the lock of their row
(`headrace.jobs.coordinators`).
When one ends, by whatever cause, nothing of its work goes on: its unfinished parts are cancelled in the same
transaction. Cancelling one ends it at once, since no worker has to be asked.

**Order of claims**: priority, then the project with the fewest running jobs ÷ weight, then the project that
started one least recently, then age. Claims are serialised, so quotas are exact.

**Dependencies.** A job waits for those that it depends on, may take values from their results, and is
checked in full and pinned when they have ended (`headrace.jobs.dependencies`).

**Checkpoints.** What an attempt of a job can be resumed from is attached to the job, fenced like all that a
worker writes (`headrace.jobs.checkpoints`): the newest two, since one may prove damaged. Success releases
them; a failed or cancelled job keeps them for a retry that resumes.

**Effects.** What a kind of job needs and what its success changes stands in `headrace.jobs.kinds`; the
change commits with the job's final state, all or none, once.
"""
