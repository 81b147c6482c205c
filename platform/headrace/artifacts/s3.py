"""The artifact store in a bucket of S3, or of a service that speaks its protocol, by way of s3fs.

Layout as in a local folder, below a prefix: ``<first two hex digits>/<hex>``, so a store can be moved with
any tool that copies files. S3 shows an object whole or not at all, and says yes only when it is durable; so
bytes are spooled to an unnamed file in the folder for temporary files (``TMPDIR``), which is how their digest
is known before anything is sent, and then put under their name, in parts where they are many. Puts carry
``If-None-Match: *``; where the name is taken already, the bytes are there. Credentials, region and endpoint
come from the environment, the shared configuration or the machine's role, as botocore finds them.

An announced deletion may still be under way for as long as a request can take, which no other process can
see. So a process deletes within a minute of its announcement, and its announcement stands for ten.
"""

from __future__ import annotations

import hashlib
import io
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

import s3fs
from aiohttp import ClientError as ConnectionFailed
from botocore.exceptions import BotoCoreError

from headrace.artifacts.protocol import CHUNK_BYTES, Stored, file_name
from headrace.errors import ArtifactMissing, StorageFailed

PART_BYTES = 8 * CHUNK_BYTES
"""What is sent at once: in less time than a lease lasts, over all but the slowest networks."""

MOST_PARTS = 9_000
_READ_AHEAD = 4 * CHUNK_BYTES
_CONFIG = {"connect_timeout": 5, "read_timeout": 15, "retries": {"mode": "standard", "max_attempts": 2}}
_OUTLIVES = timedelta(minutes=10)
_KEY = re.compile(r"([0-9a-f]{2})/(\1[0-9a-f]{62})")
_FAILURES = (OSError, BotoCoreError, ConnectionFailed)


class S3Store:
    """A `Store` in ``bucket``, below ``prefix``."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket = bucket
        self.prefix = f"{prefix}/" if prefix else ""
        self._fs = s3fs.S3FileSystem(
            config_kwargs=_CONFIG,
            default_block_size=_READ_AHEAD,
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        self._fs.retries = 2

    def call(self, method: str, **options: Any) -> dict[str, Any]:
        """Return the answer to a request of the S3 API. Raises what `_FAILURES` names."""
        return cast(dict[str, Any], self._fs.call_s3(method, Bucket=self.bucket, **options))

    def key(self, digest: str) -> str:
        """Return the name of the object with the bytes ``digest``."""
        return self.prefix + file_name(digest)

    def stage(self) -> S3Stage:
        """See `Store.stage`."""
        return S3Stage(self)

    def open(self, digest: str) -> BinaryIO:
        """See `Store.open`."""
        with _found(digest):
            raw = _Reader(self._fs.open(f"{self.bucket}/{self.key(digest)}", "rb"), digest)
        return cast(BinaryIO, io.BufferedReader(raw, CHUNK_BYTES))

    def size(self, digest: str) -> int:
        """See `Store.size`."""
        with _found(digest):
            return int(self.call("head_object", Key=self.key(digest))["ContentLength"])

    def delete(self, digest: str) -> None:
        """See `Store.delete`."""
        with _reported("delete from"):
            self.call("delete_object", Key=self.key(digest))

    def digests(self, after: str = "") -> Iterator[str]:
        """See `Store.digests`."""
        start = {"StartAfter": self.key(after)} if after else {}
        for page in self._pages("list_objects_v2", {"ContinuationToken": "NextContinuationToken"}, **start):
            for item in page.get("Contents", []):
                if match := _KEY.fullmatch(item["Key"].removeprefix(self.prefix)):
                    yield f"sha256:{match[2]}"

    @contextmanager
    def deleting(self) -> Iterator[timedelta | None]:
        """See `Store.deleting`."""
        yield _OUTLIVES

    def leftovers(self, idle: timedelta) -> Iterator[str]:
        """See `Store.leftovers`: uploads in parts that were neither completed nor aborted."""
        markers = {"KeyMarker": "NextKeyMarker", "UploadIdMarker": "NextUploadIdMarker"}
        for page in self._pages("list_multipart_uploads", markers):
            oldest = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"]) - idle
            for upload in page.get("Uploads", []):
                if upload["Initiated"] <= oldest and self._last_part(upload) <= oldest:
                    yield f"{upload['UploadId']} {upload['Key']}"

    def discard(self, leftover: str) -> None:
        """See `Store.discard`."""
        upload, _, key = leftover.partition(" ")
        with _reported("delete from"), suppress(FileNotFoundError):
            self.call("abort_multipart_upload", Key=key, UploadId=upload)

    def _last_part(self, upload: Mapping[str, Any]) -> Any:
        """Return when something was last sent to ``upload``."""
        last = upload["Initiated"]
        with suppress(ArtifactMissing):  # completed or aborted meanwhile
            marker = {"PartNumberMarker": "NextPartNumberMarker"}
            for page in self._pages("list_parts", marker, Key=upload["Key"], UploadId=upload["UploadId"]):
                last = max([last, *(part["LastModified"] for part in page.get("Parts", []))])
        return last

    def _pages(self, method: str, markers: Mapping[str, str], **options: Any) -> Iterator[dict[str, Any]]:
        """Yield every page of a listing; ``markers`` says what of a page begins the next."""
        if method != "list_parts":
            options["Prefix"] = self.prefix
        while True:
            with _found(options.get("Key", "")), _reported("read from"):
                page = self.call(method, **options)
            yield page
            if not page.get("IsTruncated"):
                return
            options |= {name: page[following] for name, following in markers.items()}


class S3Stage:
    """A `Stage` on its way into a bucket."""

    def __init__(self, store: S3Store) -> None:
        self._store = store
        self._hash = hashlib.sha256()
        with _reported("spool for"):
            self._spool = tempfile.TemporaryFile()  # noqa: SIM115 (closed by __exit__)

    def write(self, chunk: bytes) -> None:
        """See `Stage.write`."""
        with _reported("spool for"):
            self._spool.write(chunk)
        self._hash.update(chunk)

    def digest(self) -> str:
        """See `Stage.digest`."""
        return f"sha256:{self._hash.hexdigest()}"

    def commit(self, keepalive: Callable[[], None] = lambda: None) -> Stored:
        """See `Stage.commit`."""
        with _reported("write to"):
            stored = Stored(self.digest(), self._spool.tell())
            if not self._put(stored, keepalive, IfNoneMatch="*"):
                self._put(stored, keepalive)
        return stored

    def _put(self, stored: Stored, keepalive: Callable[[], None], **condition: str) -> bool:
        """Return whether the bytes are there now; not if others are, or the condition is not understood."""
        self._spool.seek(0)
        send = self._send if stored.size_bytes <= PART_BYTES else self._send_parts
        try:
            send(stored, keepalive, condition)
        except OSError as error:
            if condition and isinstance(error, FileExistsError):
                with suppress(ArtifactMissing):
                    return self._store.size(stored.digest) == stored.size_bytes
                return False
            if condition and _code(error) in ("NotImplemented", "ConditionalRequestConflict"):
                return False
            raise
        return True

    def _send(self, stored: Stored, keepalive: Callable[[], None], condition: Mapping[str, str]) -> None:
        body = self._spool.read()
        self._store.call("put_object", Key=self._store.key(stored.digest), Body=body, **condition)
        keepalive()

    def _send_parts(
        self, stored: Stored, keepalive: Callable[[], None], condition: Mapping[str, str]
    ) -> None:
        store, key = self._store, self._store.key(stored.digest)
        upload = store.call("create_multipart_upload", Key=key)["UploadId"]
        try:
            size = max(PART_BYTES, stored.size_bytes // MOST_PARTS + 1)
            parts: list[dict[str, Any]] = []
            while body := self._spool.read(size):
                number = len(parts) + 1
                part = store.call("upload_part", Key=key, UploadId=upload, PartNumber=number, Body=body)
                parts.append({"PartNumber": number, "ETag": part["ETag"]})
                keepalive()
            whole = {"Parts": parts}
            store.call(
                "complete_multipart_upload", Key=key, UploadId=upload, MultipartUpload=whole, **condition
            )
        except BaseException:
            with suppress(StorageFailed):  # else it is one of the leftovers
                store.discard(f"{upload} {key}")
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # the spool has no name and goes with its descriptor
            self._spool.close()


class _Reader(io.RawIOBase):
    """An object as a seekable stream, whose failures are those of the store."""

    def __init__(self, file: Any, digest: str) -> None:
        self._file = file
        self._digest = digest

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any) -> int:
        with _found(self._digest):
            chunk = self._file.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def _reported(doing: str) -> Iterator[None]:
    try:
        yield
    except _FAILURES as error:
        raise StorageFailed(f"cannot {doing} the artifact store: {error or type(error).__name__}") from error


@contextmanager
def _found(digest: str) -> Iterator[None]:
    with _reported("read from"):
        try:
            yield
        except FileNotFoundError:
            raise ArtifactMissing(f"{digest} is not in the artifact store") from None


def _code(error: OSError) -> str:
    """Return the error code in the answer of the service, if that is where ``error`` comes from."""
    answer: dict[str, Any] = getattr(error.__cause__, "response", None) or {}
    return str(answer.get("Error", {}).get("Code", ""))
