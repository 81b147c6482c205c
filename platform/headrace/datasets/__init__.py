"""Datasets: named, versioned tables, each made from one uploaded file by an ingest job.

A version is ``ingesting`` until its job ends, then ``ready`` or ``failed``; the state is read off the job, so
the two cannot disagree. The same bytes with the same types are the same version: uploading them again gives
the one that is there, and starts a new ingest only if the last one failed.
"""
