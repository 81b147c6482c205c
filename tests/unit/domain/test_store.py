"""The artifact store in a local folder: what is in it hashes to its name, and what failed leaves nothing."""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import at_once
from headrace.artifacts.store import (
    CHUNK_BYTES,
    LocalStore,
    Stored,
    fetch_file,
    open_store,
    put_file,
    read_verified,
)
from headrace.errors import ArtifactCorrupt, ArtifactMissing, Invalid, StorageFull


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def _put(store: LocalStore, content: bytes) -> Stored:
    with store.stage() as stage:
        stage.write(content)
        return stage.commit()


def _staged(store: LocalStore) -> list[Path]:
    return list(store.staging.iterdir())


def test_bytes_come_back_under_their_digest(store: LocalStore, tmp_path: Path) -> None:
    content = os.urandom(CHUNK_BYTES + 7)
    source = tmp_path / "source"
    source.write_bytes(content)
    beats: list[int] = []
    stored = put_file(store, source, lambda: beats.append(1))
    assert stored == Stored("sha256:" + hashlib.sha256(content).hexdigest(), len(content))
    assert len(beats) == 2
    fetch_file(store, stored.digest, tmp_path / "target", lambda: beats.append(1))
    assert (tmp_path / "target").read_bytes() == content
    assert len(beats) == 4
    assert list(store.digests()) == [stored.digest]
    assert _staged(store) == []


@given(st.lists(st.binary(max_size=100), max_size=5))
@settings(max_examples=30, deadline=None)
def test_chunks_do_not_matter(tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]) -> None:
    store = LocalStore(tmp_path_factory.mktemp("store"))
    whole = b"".join(chunks)
    with store.stage() as stage:
        for chunk in chunks:
            stage.write(chunk)
        assert stage.digest() == "sha256:" + hashlib.sha256(whole).hexdigest()
        stored = stage.commit()
    assert b"".join(read_verified(store, stored.digest)) == whole


def test_nothing_is_visible_before_the_commit_and_nothing_remains_without_it(store: LocalStore) -> None:
    with store.stage() as stage:
        stage.write(b"x")
        assert len(_staged(store)) == 1
        assert list(store.digests()) == []
    assert _staged(store) == []
    with suppress(ZeroDivisionError), store.stage() as stage:
        stage.write(b"x")
        _ = 1 / 0
    assert _staged(store) == []
    assert list(store.digests()) == []


@pytest.mark.parametrize("change", ["a bit", "cut short", "longer", "empty"])
def test_bytes_that_went_bad_are_noticed_and_mended_by_the_same_bytes(
    store: LocalStore, tmp_path: Path, change: str
) -> None:
    content = bytes(range(256))
    stored = _put(store, content)
    bad = {"a bit": b"\x01" + content[1:], "cut short": content[:-1], "longer": content + b"\0", "empty": b""}
    path = store.path(stored.digest)
    path.chmod(0o600)
    path.write_bytes(bad[change])
    with pytest.raises(ArtifactCorrupt, match=stored.digest):
        fetch_file(store, stored.digest, tmp_path / "target")
    assert _put(store, content) == stored
    assert b"".join(read_verified(store, stored.digest)) == content


def test_a_digest_is_no_path(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    for digest in [
        "sha256:" + "0" * 64,
        "sha256:../../secret",
        "../secret",
        "",
        "sha256:" + "A" * 64,
        "sha256:" + "0" * 64 + "\n",
        "sha512:" + "0" * 64,
    ]:
        with pytest.raises(ArtifactMissing):
            store.open(digest)
        with pytest.raises(ArtifactMissing):
            list(read_verified(store, digest))


def test_stored_files_cannot_be_written(store: LocalStore) -> None:
    stored = _put(store, b"x")
    assert store.path(stored.digest).stat().st_mode & 0o777 == 0o440


def test_equal_bytes_committed_at_once_are_one_file(store: LocalStore) -> None:
    answers = at_once(*[lambda: _put(store, b"same" * 1000)] * 8)
    assert set(answers) == {answers[0]}
    assert list(store.digests()) == [answers[0].digest]
    assert _staged(store) == []
    assert b"".join(read_verified(store, answers[0].digest)) == b"same" * 1000


def test_a_reader_reads_on_while_the_bytes_are_committed_again_or_deleted(store: LocalStore) -> None:
    stored = _put(store, b"same")
    with store.open(stored.digest) as reader:
        _put(store, b"same")
        store.delete(stored.digest)
        store.delete(stored.digest)
        assert reader.read() == b"same"
    with pytest.raises(ArtifactMissing):
        store.open(stored.digest)


@contextmanager
def _full_disk(at_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (at_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("content", [b"x" * 5000, b"x" * CHUNK_BYTES])
def test_a_full_disk_leaves_nothing(store: LocalStore, content: bytes) -> None:
    with _full_disk(4096), pytest.raises(StorageFull, match="File too large"):
        _put(store, content)
    assert _staged(store) == []
    assert list(store.digests()) == []
    assert _put(store, content).size_bytes == len(content)


DIE = """
import os, sys
from pathlib import Path
from headrace.artifacts import local as module
def die(*args, **options): os._exit(9)
where = sys.argv[2]
if where == "before the rename": Path.rename = die
if where == "before the folder is flushed": module._sync_folder = die
with module.LocalStore(Path(sys.argv[1])).stage() as stage:
    stage.write(b"content")
    if where == "before the commit": die()
    stage.commit()
"""


@pytest.mark.parametrize("where", ["before the commit", "before the rename", "before the folder is flushed"])
def test_a_crash_in_between_is_harmless(store: LocalStore, where: str) -> None:
    done = subprocess.run([sys.executable, "-c", DIE, str(store.root), where], check=False)
    assert done.returncode == 9
    for digest in store.digests():
        assert b"".join(read_verified(store, digest)) == b"content"
    stored = _put(store, b"content")
    assert b"".join(read_verified(store, stored.digest)) == b"content"


def test_bytes_are_flushed_before_they_get_their_name_and_the_folder_after(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def spy_fsync(fd: int) -> None:
        path = os.readlink(f"/proc/self/fd/{fd}")
        order.append(f"fsync {Path(path).relative_to(store.root.parent).parts[1:2]}")
        fsync(fd)

    def spy_rename(self: Path, target: Path) -> Path:
        order.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(Path, "rename", spy_rename)
    digest = _put(store, b"x").digest
    folder = digest.removeprefix("sha256:")[:2]
    assert order == ["fsync ('staging',)", "fsync ()", "rename", f"fsync ('{folder}',)"]


def test_what_a_living_writer_writes_cannot_be_discarded(store: LocalStore) -> None:
    with store.stage() as stage:
        (path,) = _staged(store)
        store.discard(path.name)
        stage.write(b"x")
        stored = stage.commit()
    assert b"".join(read_verified(store, stored.digest)) == b"x"


def test_a_store_is_opened_by_url(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/with%20space")
    assert isinstance(store, LocalStore)
    assert store.root == tmp_path / "with space"
    for url in [
        "s3://",
        "s3://key:secret@bucket",
        "memory://x",
        "gs://bucket",
        "file://host/folder",
        "/folder",
        "",
    ]:
        with pytest.raises(Invalid, match="HEADRACE_ARTIFACTS_URL"):
            open_store(url)
