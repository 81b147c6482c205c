"""Who may do what, how much of it, and who did: projects, API keys with one of four roles, quotas, the audit
log, idempotency keys.

A key belongs to one project and has one role: ``viewer`` reads; ``submitter`` also submits jobs and uploads
data; ``maintainer`` also moves aliases, deletes, and manages the project's keys; ``admin`` does all of that
in every project. Each role includes those before it.

A key is ``hr_<8 hex>_<64 hex>``: the middle part finds the row, and the whole is compared, in constant
time, by its SHA-256. With 256 random bits a fast hash is enough (OWASP, Secrets in storage: high-entropy
tokens need no work factor).

What a project may use is limited in `quotas`, under its row's lock, so exactly. Who did what is written by
`audit` in the transaction of the act, and chained afterwards so that nobody can change it unseen.
"""
