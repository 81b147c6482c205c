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
from s3 import s3_environment

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
def test_bytes_come_back_under_their_digest(any_store: Store, tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "source"
    source.write_bytes(content)
    beats: list[int] = []
    stored = put_file(any_store, source, lambda: beats.append(1))
    assert stored == (digest_of(content), len(content))
    assert len(beats) >= len(content) // CHUNK_BYTES
    assert any_store.size(stored.digest) == len(content)
    fetch_file(any_store, stored.digest, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == content
    assert list(any_store.digests()) == [stored.digest]
    assert list(any_store.leftovers(timedelta(-1))) == []


def test_a_reader_seeks(any_store: Store) -> None:
    stored = put(any_store, LARGE)
    with any_store.open(stored.digest) as reader:
        for start in (len(LARGE) - 10, 0, 7 * CHUNK_BYTES + 3):
            reader.seek(start)
            assert reader.read(100) == LARGE[start : start + 100]
        reader.seek(0, os.SEEK_END)
        assert reader.tell() == len(LARGE)
        assert reader.read(1) == b""


def test_nothing_is_visible_before_the_commit_and_nothing_remains_without_it(any_store: Store) -> None:
    with suppress(ZeroDivisionError), any_store.stage() as stage:
        stage.write(LARGE)
        assert list(any_store.digests()) == []
        with pytest.raises(ArtifactMissing):
            any_store.size(stage.digest())
        _ = 1 / 0
    assert list(any_store.digests()) == []
    assert list(any_store.leftovers(timedelta(-1))) == []


def test_what_is_not_there_is_missing_and_a_digest_is_no_path(any_store: Store) -> None:
    for digest in [digest_of(b"x"), "sha256:../../secret", "", "sha256:" + "A" * 64, digest_of(b"x") + "\n"]:
        for call in (any_store.open, any_store.size, lambda digest: list(read_verified(any_store, digest))):
            with pytest.raises(ArtifactMissing):
                call(digest)
    any_store.delete(digest_of(b"x"))


def test_digests_are_listed_in_order_from_anywhere(any_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = sorted(put(any_store, b"%d" % number).digest for number in range(12))
    assert list(any_store.digests()) == everything
    for position in (0, 5, 10, 11):
        assert list(any_store.digests(everything[position])) == everything[position + 1 :]
    assert list(any_store.digests("sha256:" + "f" * 64)) == []
    any_store.delete(everything[3])
    assert list(any_store.digests(everything[2])) == everything[4:]


def test_equal_bytes_committed_at_once_are_one_file(any_store: Store) -> None:
    answers = at_once(*[lambda: put(any_store, b"same" * 1000)] * 4)
    assert set(answers) == {answers[0]}
    assert list(any_store.digests()) == [answers[0].digest]
    assert b"".join(read_verified(any_store, answers[0].digest)) == b"same" * 1000


def test_bytes_cut_short_are_noticed_and_mended_by_the_same_bytes(any_store: Store) -> None:
    stored = put(any_store, b"content")
    if isinstance(any_store, S3Store):
        any_store.call("put_object", Key=any_store.key(stored.digest), Body=b"cont")
    else:
        path = any_store.path(stored.digest)
        path.chmod(0o600)
        path.write_bytes(b"cont")
    with pytest.raises(ArtifactCorrupt, match=stored.digest):
        list(read_verified(any_store, stored.digest))
    assert put(any_store, b"content") == stored
    assert b"".join(read_verified(any_store, stored.digest)) == b"content"


def test_a_living_writer_is_no_leftover_and_a_dead_one_is_when_it_was_idle_long_enough(
    any_store: Store,
) -> None:
    with any_store.stage() as stage:
        stage.write(b"x")
        assert list(any_store.leftovers(timedelta(-1))) == []
    if isinstance(any_store, S3Store):
        key = any_store.key(digest_of(LARGE))
        upload = any_store.call("create_multipart_upload", Key=key)["UploadId"]
        any_store.call("upload_part", Key=key, UploadId=upload, PartNumber=1, Body=b"part")
    else:
        (any_store.staging / "dead").write_bytes(b"x")
    assert list(any_store.leftovers(timedelta(hours=1))) == []
    (left,) = any_store.leftovers(timedelta(-1))
    any_store.discard(left)
    any_store.discard(left)
    assert list(any_store.leftovers(timedelta(-1))) == []


def test_an_upload_in_parts_that_fails_is_aborted(s3: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    call = s3.call

    def fail(method: str, **options: object) -> dict[str, object]:
        if method == "upload_part" and options["PartNumber"] == 2:
            raise ConnectionResetError("cut")
        return call(method, **options)

    monkeypatch.setattr(s3, "call", fail)
    with pytest.raises(StorageFailed, match="cut"):
        put(s3, LARGE)
    assert list(s3.digests()) == []
    assert list(s3.leftovers(timedelta(-1))) == []


@pytest.mark.parametrize("content", [b"x", LARGE], ids=["small", "large"])
def test_bytes_that_are_there_are_not_written_again(
    s3: S3Store, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    stored = put(s3, content)
    key = s3.key(stored.digest)
    before = s3.call("head_object", Key=key)
    calls: list[str] = []
    call = s3.call

    def spy(method: str, **options: object) -> dict[str, object]:
        calls.append(f"{method} {options.get('IfNoneMatch', '')}".strip())
        return call(method, **options)

    monkeypatch.setattr(s3, "call", spy)
    assert put(s3, content) == stored
    ends = "put_object *" if len(content) <= s3_module.PART_BYTES else "complete_multipart_upload *"
    assert [c for c in calls if c.startswith(ends.split()[0])] == [ends]
    assert s3.call("head_object", Key=key)["LastModified"] == before["LastModified"]
    assert list(s3.leftovers(timedelta(-1))) == []


def test_a_service_that_is_away_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_environment("http://127.0.0.1:9").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3_module, "_CONFIG", {"connect_timeout": 1, "retries": {"max_attempts": 0}})
    store = open_store("s3://artifacts")
    with pytest.raises(StorageFailed, match="cannot write to the artifact store: Could not connect"):
        put(store, b"x")
    with pytest.raises(StorageFailed, match="cannot read from the artifact store"):
        store.size(digest_of(b"x"))
