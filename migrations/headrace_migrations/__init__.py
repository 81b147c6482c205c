"""The schema's history. ``headrace db upgrade`` applies it; a test keeps it equal to the tables in the code.

Migrations run in one transaction on both databases. A lock keeps two upgrades from running at once: an
advisory lock on PostgreSQL, the write lock on SQLite.
"""
