"""The Python client of Headrace.

    from headrace.client import Client

    with Client() as client:                       # the server of ./headrace-data, or HEADRACE_URL
        version = client.upload_dataset("digits", "digits.zip")
        client.wait_dataset("digits", version["version"])
        spec = {"model": "digits", "dataset": "digits", "algorithm": "cnn", "target": "label"}
        job = client.submit("train", spec)
        print(client.wait(job["id"])["result"])

Answers are the API's own JSON objects, typed (`headrace.client.types`), so that nothing is lost or renamed on
the way. What creates something carries an idempotency key of its own, and is therefore sent again when the
connection breaks: a lost answer never makes two jobs. Every file is checked against its digest, both ways.
"""

from headrace.client.client import Client
from headrace.client.errors import ApiError, NotLive, Unreachable, WaitedTooLong

__all__ = ["ApiError", "Client", "NotLive", "Unreachable", "WaitedTooLong"]
