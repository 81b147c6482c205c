"""What every store promises, in a local folder and on S3."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from domain import at_once
from headrace.artifacts import s3 as s3_module
from headrace.artifacts.protocol import CHUNK_BYTES, Store, Stored
from headrace.artifacts.s3 import S3Store
from headrace.artifacts.store import fetch_file, open_store, put_file, read_verified
from headrace.errors import ArtifactCorrupt, ArtifactMissing, StorageFailed

LARGE = os.urandom(1024) * 9 * 1024
"""More than is put at once."""


def put(store: Store, content: bytes) -> Stored:
    with store.stage() as stage:
        for start in range(0, len(content), CHUNK_BYTES):
            stage.write(content[start : start + CHUNK_BYTES])
        return stage.commit()


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("content", [b"", b"x", LARGE], ids=["empty", "small", "large"])
def test_bytes_come_back_under_their_digest(store: Store, tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "source"
    source.write_bytes(content)
    beats: list[int] = []
    stored = put_file(store, source, lambda: beats.append(1))
    assert stored == (digest_of(content), len(content))
    assert len(beats) >= len(content) // CHUNK_BYTES
    assert store.size(stored.digest) == len(content)
    fetch_file(store, stored.digest, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == content
    assert list(store.digests()) == [stored.digest]
    assert list(store.leftovers(timedelta(-1))) == []


def test_a_reader_seeks(store: Store) -> None:
    stored = put(store, LARGE)
    with store.open(stored.digest) as reader:
        for start in (len(LARGE) - 10, 0, 7 * CHUNK_BYTES + 3):
            reader.seek(start)
            assert reader.read(100) == LARGE[start : start + 100]
        reader.seek(0, os.SEEK_END)
        assert reader.tell() == len(LARGE)
        assert reader.read(1) == b""


def test_nothing_is_visible_before_the_commit_and_nothing_remains_without_it(store: Store) -> None:
    with suppress(ZeroDivisionError), store.stage() as stage:
        stage.write(LARGE)
        assert list(store.digests()) == []
        with pytest.raises(ArtifactMissing):
            store.size(stage.digest())
        _ = 1 / 0
    assert list(store.digests()) == []
    assert list(store.leftovers(timedelta(-1))) == []


def test_what_is_not_there_is_missing_and_a_digest_is_no_path(store: Store) -> None:
    for digest in [digest_of(b"x"), "sha256:../../secret", "", "sha256:" + "A" * 64, digest_of(b"x") + "\n"]:
        for call in (store.open, store.size, lambda digest: list(read_verified(store, digest))):
            with pytest.raises(ArtifactMissing):
                call(digest)
    store.delete(digest_of(b"x"))


def test_digests_are_listed_in_order_from_anywhere(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = sorted(put(store, b"%d" % number).digest for number in range(12))
    assert list(store.digests()) == everything
    for position in (0, 5, 10, 11):
        assert list(store.digests(everything[position])) == everything[position + 1 :]
    assert list(store.digests("sha256:" + "f" * 64)) == []
    store.delete(everything[3])
    assert list(store.digests(everything[2])) == everything[4:]


def test_equal_bytes_committed_at_once_are_one_file(store: Store) -> None:
    answers = at_once(*[lambda: put(store, b"same" * 1000)] * 4)
    assert set(answers) == {answers[0]}
    assert list(store.digests()) == [answers[0].digest]
    assert b"".join(read_verified(store, answers[0].digest)) == b"same" * 1000


def test_bytes_cut_short_are_noticed_and_mended_by_the_same_bytes(store: Store) -> None:
    stored = put(store, b"content")
    if isinstance(store, S3Store):
        store.call("put_object", Key=store.key(stored.digest), Body=b"cont")
    else:
        path = store.path(stored.digest)
        path.chmod(0o600)
        path.write_bytes(b"cont")
    with pytest.raises(ArtifactCorrupt, match=stored.digest):
        list(read_verified(store, stored.digest))
    assert put(store, b"content") == stored
    assert b"".join(read_verified(store, stored.digest)) == b"content"


def test_a_living_writer_is_no_leftover_and_a_dead_one_is_when_it_was_idle_long_enough(
    store: Store,
) -> None:
    with store.stage() as stage:
        stage.write(b"x")
        assert list(store.leftovers(timedelta(-1))) == []
    if isinstance(store, S3Store):
        key = store.key(digest_of(LARGE))
        upload = store.call("create_multipart_upload", Key=key)["UploadId"]
        store.call("upload_part", Key=key, UploadId=upload, PartNumber=1, Body=b"part")
    else:
        (store.staging / "dead").write_bytes(b"x")
    assert list(store.leftovers(timedelta(hours=1))) == []
    (left,) = store.leftovers(timedelta(-1))
    store.discard(left)
    store.discard(left)
    assert list(store.leftovers(timedelta(-1))) == []


def test_an_upload_in_parts_that_fails_is_aborted(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(s3)
    assert isinstance(store, S3Store)
    call = store.call

    def fail(method: str, **options: object) -> dict[str, object]:
        if method == "upload_part" and options["PartNumber"] == 2:
            raise ConnectionResetError("cut")
        return call(method, **options)

    monkeypatch.setattr(store, "call", fail)
    with pytest.raises(StorageFailed, match="cut"):
        put(store, LARGE)
    assert list(store.digests()) == []
    assert list(store.leftovers(timedelta(-1))) == []


@pytest.mark.parametrize("content", [b"x", LARGE], ids=["small", "large"])
def test_bytes_that_are_there_are_not_written_again(
    s3: str, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    store = open_store(s3)
    assert isinstance(store, S3Store)
    stored = put(store, content)
    key = store.key(stored.digest)
    before = store.call("head_object", Key=key)
    calls: list[str] = []
    call = store.call

    def spy(method: str, **options: object) -> dict[str, object]:
        calls.append(f"{method} {options.get('IfNoneMatch', '')}".strip())
        return call(method, **options)

    monkeypatch.setattr(store, "call", spy)
    assert put(store, content) == stored
    ends = "put_object *" if len(content) <= s3_module.PART_BYTES else "complete_multipart_upload *"
    assert [c for c in calls if c.startswith(ends.split()[0])] == [ends]
    assert store.call("head_object", Key=key)["LastModified"] == before["LastModified"]
    assert list(store.leftovers(timedelta(-1))) == []


def test_a_service_that_is_away_is_said_to_be(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(s3_module, "_CONFIG", {"connect_timeout": 1, "retries": {"max_attempts": 0}})
    store = open_store(s3)
    with pytest.raises(StorageFailed, match="cannot write to the artifact store: Could not connect"):
        put(store, b"x")
    with pytest.raises(StorageFailed, match="cannot read from the artifact store"):
        store.size(digest_of(b"x"))
