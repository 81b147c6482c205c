"""Bytes that are named by their SHA-256, and which row needs which.

The store keeps immutable files (`protocol` says what it promises, `local` and `s3` keep it); the table
`Artifact` says who needs them. The order of things is always: bytes durable, then the row that names them;
row gone, then, after a while, the bytes. So a row that can be seen has bytes that can be read, for every
reader at every moment, and bytes without a row are only rubbish. Every whole read is checked against the
digest.

**Collecting rubbish** (`collector`). Names are used again: while bytes that nothing needed are deleted,
someone may be storing the very same ones. A row must never end without bytes, whoever is stopped, killed or
cut off from the database or the store, at any point, for any time. So::

    nothing needs the bytes ──▶ row in ``unneeded`` ──after a while──▶ ``deleter`` is set, committed
              ▲                       │                                        │
              └── attach, which ──────┘                          the bytes are deleted
                  removes the row                                              │
                                                                  row gone ◀───┘ by that deleter

- `attach` holds a digest (shared), and the collector when it sets ``deleter`` (exclusive); either then reads
  what the other has committed. On SQLite the one writer's lock does this, on PostgreSQL an advisory lock.
- The collector sets ``deleter`` only where no row needs the bytes; `attach` refuses while it is set, and
  refuses too where the bytes are not in the store. Whoever is refused (`Collected`) stores the bytes again
  and retries. So at the moment of its commit the bytes are there, and nobody has the right to delete them.
- No transaction is open while bytes are deleted: a connection that is cut takes no right away. The right is
  the committed ``deleter``. A process that dies leaves it behind; another takes over when `Store.deleting`
  says that the first must be dead. In a local folder that is known: a lock that the kernel frees holds for
  the deletion. On S3 it is judged by time, see `headrace.artifacts.s3`; that is the one place where a bound
  is assumed.

How long bytes stay unneeded is by the database's clock, from when a collector first saw it: what was stored
but is not yet attached, or is still being read by whoever found the row a moment ago, has that long to get
done. Only the speed of things depends on it; it may be zero.
"""
