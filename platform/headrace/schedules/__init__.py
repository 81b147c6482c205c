"""Schedules: a job template that is submitted again and again, at the due times of a rule.

``times`` says when (pure), ``requests`` what people send, ``service`` does it. A due time is a whole second.
Each gets exactly one row in ``schedule_runs``, with what became of it:

========= ==================================================================================================
submitted a job was made, in the row's own transaction
skipped   ``overlap`` is ``skip``, and an earlier job of the schedule had not ended
missed    nobody was there to fire it, and ``catch_up`` does not make good for it; or it was still to be
          caught up when the schedule was paused or given another rule
failed    the template could not be submitted then: a dataset is gone, a quota is used up
========= ==================================================================================================

**Once, however many schedulers run.** `service.fire` holds the lock on the schedule's row and moves
``next_due_at`` on in the transaction that writes the rows, so a scheduler that is killed has done all of it
or nothing, and one that comes second finds nothing due. The unique key (schedule, due_at) is the guard below.

**After an outage** all due times that have passed are gone through, in order, some at every tick. ``all``
fires each; ``latest`` the newest only; ``none`` the newest only where it is at most `service.ON_TIME` late,
which is no outage. So with ``latest`` or ``none`` a schedule that is due more often than the scheduler ticks
fires once a tick.

**Overlap.** With ``queue`` every due time submits its job, which waits in its queue like any other.

The template is kept as it was written, and checked in full when it is written and again when it fires: a bare
name means the latest version at that moment. What a person triggers is a run too, besides the due times;
neither a pause nor an overlap holds it back.
"""
