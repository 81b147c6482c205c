"""The crash suite, ``make chaos``: is anything lost, doubled or stuck, whatever is killed?

::

    submissions ──▶ client ──HTTP──▶ web · schedulers · workers ◀── faults, two lanes of them
                      │                    database · broker · disk · clock
                    ledger                            │
                      └──────────▶ invariants ◀───────┘  rows, bytes, processes, fsck

A run has a seed. `submissions` draws jobs of every sort, each with how it has to end and the digest of what
it has to make, worked out beforehand (`undisturbed`). `client` sends them and keeps the `ledger`: what was
not answered it sends again with its key. `deployment` keeps the parts running as a service manager would,
while `deck` deals out `faults` and `harsher` ones at the pace at which jobs end: short ones in one lane,
those that last in another, so that they also meet each other. Then everything must come to rest (`run`),
and `invariants` looks from outside.

Jobs here are of learners without TensorFlow, and the lease is short (3 s, renewed every 0.6 s), which gives
thousands of attempts and hundreds of lost ones in the time of a few real trainings. ``--keras`` is the
smaller part with networks: what they learn is compared with what the same spec learned before any fault.
"""
