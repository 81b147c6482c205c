"""The schema's history. ``headrace db upgrade`` applies it; a test keeps it equal to the tables in the code.

Migrations run in one transaction on both databases. A lock keeps two upgrades from running at once: an
advisory lock on PostgreSQL, the write lock on SQLite. On PostgreSQL a table that is locked by others is
waited for a few seconds at a time, since everybody else would have to wait behind the migration.

**Rolling upgrades.** The schema is upgraded first, then the processes one after another, while jobs run: so
the code of the release before works on the new schema, and the new code never meets the old one (worker and
scheduler refuse to start, ``/readyz`` says so). A change that old code could not bear takes two releases:

1. *Expand*: new tables, new columns that may be NULL or have a default in the database, new indexes. Old code
   does not see them, so nothing may rely on their being filled by everybody: no NOT NULL without a default,
   no CHECK, unique index or foreign key that a row written by old code could break, no changed meaning of a
   value. New code writes both old and new, reads the new where it is there, and fills in what is missing.
2. *Contract*, in a later release, when no process of the older code is left: the old columns and tables go,
   constraints become strict. To rename is to expand, copy and contract.

A revision that expands is called by its number alone, ``0004``. One that contracts is called by its number
and the oldest code that bears it, ``0005_needs_0004``; all revisions after it say so too,
``0006_needs_0004``, until a later one needs more. By that name a process knows of a revision that is newer
than itself whether it may go on (`headrace.schema`), and ``headrace db upgrade`` refuses to contract while
processes are connected that are too old: on PostgreSQL each connection says what its code knows. The file's
name begins with the number; a downgrade is for the tests, production goes back by restoring a backup.

An index on a large table keeps its writers waiting for as long as it takes to build, some seconds for a
million rows; heartbeats last through less than a lease. One that would take longer is created concurrently,
in a revision of its own.
"""
