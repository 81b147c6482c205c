"""Workers: they claim jobs, run each in a process of its own, and commit what it made.

::

    broker ── ticket ──▶ Celery consumer ── wakes ──▶ slots ◀── look for themselves each second
                                                        │ claim (SQL): a lease
                                                        ▼
    artifact store ── verified inputs ──▶ scratch folder ── fork server ──▶ job process
                                                        │ ◀── messages, log lines ──┘
                                                        │ renew the lease, record what happened (fenced)
                                                        ▼
                                           outputs into the store, effects and final state in one commit

`supervisor` keeps the slots, the fork servers and the Celery consumer; `attempt` is the pipeline that one
claim goes through, `retries` says which of its ends another attempt can mend, `blocking` keeps its heart
beating while the store hangs; `tickets` consumes, `hearing` notices a consumer that has gone deaf;
`job_process`, `fork_server`, `job_pipes` and `scratch` are the process layer; `engine` is what runs inside a
job process, and knows nothing of all this.

A slot serves one lane: ``heavy`` slots run what computes, one ``light`` slot runs ingests, so that an upload
never waits behind a training. Which fork server a job comes from is another matter: the one with TensorFlow,
or the plain one where its algorithm needs none.
"""
