"""`headrace fsck`: every row and every byte, read again; what is wrong, and what to do about it.

It changes nothing, and may run beside everything else: each page of rows is read in one snapshot, and what
looks wrong between the database and the store is looked at again, since a row may have gone meanwhile.

- `stored`: bytes that rows need and that are missing, cannot be read, have another size or hash; bytes
  that nothing needs; files left half-written.
- `rows`: artifacts of owners that are gone; versions that lack what they must have; the database's own check.
- `histories`: jobs whose events tell of an illegal life, or whose end and effect do not agree.

A finding is an ``error`` where something is lost or contradicts itself, and a ``warning`` where it is only to
be tidied up, which the scheduler does by itself.
"""
