"""Bytes that are named by their SHA-256, and which row needs which.

The store keeps immutable files; the table `Artifact` says who needs them. The order of things is always:
bytes durable, then the row that names them; row gone, then (after a grace period) the bytes. So a row that
can be seen has bytes that can be read, for every reader at every moment, and bytes without a row are only
rubbish. Every whole read is checked against the digest.
"""
