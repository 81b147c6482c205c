"""Datasets and models under concurrency: a name is made once, a number given once, nothing half-deleted."""

from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy import select

from domain import COLUMNS, LEARNED, NOW, TRAIN, Domain, at_once, overlap, stored
from headrace.access import service as access
from headrace.artifacts import service as artifacts
from headrace.datasets import service as datasets
from headrace.datasets.tables import Dataset, DatasetVersion
from headrace.errors import Conflict, Invalid, NotFound
from headrace.jobs import service, transitions
from headrace.jobs.leases import Lease
from headrace.jobs.queries import JobFilter
from headrace.jobs.queries import jobs as list_jobs
from headrace.registry import service as registry
from headrace.registry.tables import Model, ModelVersion
from headrace.specs.task import Done


def _failed_upload(domain: Domain, name: str = "broken") -> str:
    """Return the failed ingest job of ``broken@1``."""
    _, job, _ = domain.upload(name)
    lease = domain.claim(lane="light")
    assert lease is not None
    domain.fail(lease, retryable=False)
    return job


def _trained(domain: Domain, name: str = "iris") -> Lease:
    lease = domain.running(spec=TRAIN | {"model": name})
    domain.commit(lease)
    return lease


def test_the_same_bytes_at_once_become_one_version(domain: Domain) -> None:
    answers = at_once(*[partial(domain.upload, "new", content="same")] * 6)
    assert {(number, job) for number, job, _ in answers} == {answers[0][:2]}
    assert sorted(ingested for *_, ingested in answers) == [False] * 5 + [True]


def test_different_bytes_at_once_are_numbered_without_a_gap(domain: Domain) -> None:
    answers = at_once(*[partial(domain.upload, "new", content=f"v{n}") for n in range(6)])
    assert sorted(number for number, *_ in answers) == [1, 2, 3, 4, 5, 6]
    with domain.db.read() as session:
        assert len(session.scalars(select(Dataset).where(Dataset.name == "new")).all()) == 1


def test_the_same_bytes_with_other_types_or_in_another_project_are_another_version(domain: Domain) -> None:
    domain.project("other")
    assert domain.upload("new", content="same")[0] == 1
    assert domain.upload("new", content="same", project="other")[2] is True
    with domain.db.transaction() as session:
        version, ingested = datasets.upload(
            session,
            project="default",
            name="new",
            file=stored("same"),
            media_type="text/csv",
            filename=None,
            types={"a": "text"},
            created_by=None,
            now=NOW,
        )
        assert (version.version, ingested) == (2, True)


def test_a_version_that_failed_is_ingested_again_by_the_same_bytes(domain: Domain) -> None:
    failed = _failed_upload(domain)
    with domain.db.read() as session:
        described = datasets.describe(session, datasets.version(session, "default", "broken", 1))
        assert described.state == "failed"
        assert described.error is not None
    number, job, ingested = domain.upload("broken")
    assert (number, ingested) == (1, True)
    assert job != failed
    lease = domain.claim(lane="light")
    assert lease is not None
    assert lease.job == job
    domain.ingest(lease)
    assert domain.upload("broken") == (1, job, False)


def test_a_retry_and_an_upload_of_the_same_bytes_at_once_start_one_ingest(domain: Domain) -> None:
    failed = _failed_upload(domain)
    answer = overlap(
        domain,
        lambda session: service.retry(session, project="default", job_id=failed, created_by=None, now=NOW),
        partial(domain.upload, "broken"),
    )
    with domain.db.read() as session:
        queued = list_jobs(session, "default", JobFilter(state="queued"), limit=10).items
    assert [job.id for job in queued] == [answer[1]]
    assert answer[2] is False


def test_an_ingest_is_retried_once(domain: Domain) -> None:
    failed = _failed_upload(domain)
    retry = partial(domain.do, service.retry, project="default", job_id=failed, created_by=None, now=NOW)
    answers = at_once(retry, retry, retry)
    assert sorted(type(answer).__name__ for answer in answers) == ["Conflict", "Conflict", "Job"]


def test_an_ingest_keeps_to_the_projects_cap_on_priority(domain: Domain) -> None:
    domain.project("default", max_priority=2)
    _, job, _ = domain.upload("new")
    assert domain.job(job).priority == 2


def test_versions_of_a_model_made_at_once_are_numbered_without_a_gap(domain: Domain) -> None:
    leases = [domain.running(spec=TRAIN | {"model": "new"}) for _ in range(6)]
    assert at_once(*[partial(domain.commit, lease) for lease in leases]) == [None] * 6
    with domain.db.read() as session:
        models = session.scalars(select(Model).where(Model.name == "new")).all()
        assert len(models) == 1
        versions = session.scalars(select(ModelVersion.version).where(ModelVersion.model == models[0].id))
        assert sorted(versions) == [1, 2, 3, 4, 5, 6]
    results = [domain.job(lease.job).result for lease in leases]
    assert sorted(result["version"] for result in results if result) == [1, 2, 3, 4, 5, 6]


def test_a_number_is_not_given_again_after_its_version_is_deleted(domain: Domain) -> None:
    _trained(domain)
    domain.do(registry.delete_version, "default", "iris", 1, now=NOW)
    lease = _trained(domain)
    result = domain.job(lease.job).result
    assert result is not None
    assert result["version"] == 2
    domain.upload("twice", content="1")
    lease_ = domain.claim(lane="light")
    assert lease_ is not None
    domain.ingest(lease_)
    domain.do(datasets.delete_version, "default", "twice", 1, now=NOW)
    assert domain.upload("twice", content="2")[0] == 2


def test_a_version_deleted_is_gone_with_its_artifact_rows(domain: Domain) -> None:
    _trained(domain)
    with domain.db.read() as session:
        owner = registry.version(session, "default", "iris", 1).id
        assert artifacts.attached(session, owner).keys() == {"package", "evaluation"}
    domain.do(registry.delete_version, "default", "iris", 1, now=NOW)
    with domain.db.read() as session:
        assert artifacts.attached(session, owner) == {}
        with pytest.raises(NotFound):
            registry.version(session, "default", "iris", 1)


def test_an_alias_moves_in_one_step_and_keeps_its_history(domain: Domain) -> None:
    _trained(domain)
    _trained(domain)
    for number in (1, 2, 1):
        domain.do(registry.set_alias, "default", "iris", "champion", number, by="key_1", now=NOW)
    with domain.db.read() as session:
        model = registry.model(session, "default", "iris")
        assert registry.aliases_of(session, model) == {"champion": 1}
        assert registry.resolve(session, "default", "iris@champion")[0] == ("iris", 1)
        history = registry.alias_history(session, "default", "iris", "champion")
        assert [move.version for move in history] == [1, 2, 1]
    with pytest.raises(Conflict, match="champion"):
        domain.do(registry.delete_version, "default", "iris", 1, now=NOW)
    domain.do(registry.delete_alias, "default", "iris", "champion", by=None, now=NOW)
    domain.do(registry.delete_version, "default", "iris", 1, now=NOW)
    with pytest.raises(NotFound):
        domain.do(registry.delete_alias, "default", "iris", "champion", by=None, now=NOW)


@pytest.mark.parametrize("alias", ["", "Champion", "3", "a b", "champion\n", "a" * 101])
def test_a_bad_alias_is_refused(domain: Domain, alias: str) -> None:
    _trained(domain)
    with pytest.raises(Invalid):
        domain.do(registry.set_alias, "default", "iris", alias, 1, by=None, now=NOW)


def test_an_alias_cannot_come_to_a_version_that_is_being_deleted(domain: Domain) -> None:
    _trained(domain)
    answer = overlap(
        domain,
        lambda session: registry.delete_version(session, "default", "iris", 1, now=NOW),
        partial(domain.do, registry.set_alias, "default", "iris", "champion", 1, by=None, now=NOW),
    )
    assert isinstance(answer, NotFound)


def test_a_version_cannot_be_deleted_while_an_alias_comes_to_it(domain: Domain) -> None:
    _trained(domain)
    answer = overlap(
        domain,
        lambda session: registry.set_alias(session, "default", "iris", "champion", 1, by=None, now=NOW),
        partial(domain.do, registry.delete_version, "default", "iris", 1, now=NOW),
    )
    assert isinstance(answer, Conflict)


def test_an_alias_moved_while_it_is_taken_away_is_there_again(domain: Domain) -> None:
    _trained(domain)
    set_alias = partial(registry.set_alias, by=None, now=NOW)
    domain.do(set_alias, "default", "iris", "champion", 1)
    answer = overlap(
        domain,
        lambda session: registry.delete_alias(session, "default", "iris", "champion", by=None, now=NOW),
        partial(domain.do, set_alias, "default", "iris", "champion", 1),
    )
    assert answer is None
    with domain.db.read() as session:
        model = registry.model(session, "default", "iris")
        assert registry.aliases_of(session, model) == {"champion": 1}
        moves = registry.alias_history(session, "default", "iris", "champion")
        assert [move.version for move in moves] == [1, None, 1]


def test_two_that_delete_one_version_end_well(domain: Domain) -> None:
    _trained(domain)
    delete = partial(registry.delete_version, project="default", name="iris", number=1, now=NOW)
    answer = overlap(domain, delete, partial(domain.do, delete))
    assert isinstance(answer, NotFound)


def test_a_new_alias_made_by_two_at_once(domain: Domain) -> None:
    _trained(domain)
    set_alias = partial(registry.set_alias, by=None, now=NOW)
    move = partial(domain.do, set_alias, "default", "iris", "champion", 1)
    assert at_once(move, move, move, move) == [None] * 4


def test_a_dataset_version_in_a_lineage_is_deleted_only_by_force(domain: Domain) -> None:
    _trained(domain)
    with pytest.raises(Conflict, match="lineage"):
        domain.do(datasets.delete_version, "default", "iris", 1, now=NOW)
    domain.do(datasets.delete_version, "default", "iris", 1, now=NOW, force=True)
    with domain.db.read() as session:
        version = registry.version(session, "default", "iris", 1)
        assert version.dataset_version is None
        assert version.lineage["dataset_digest"] == stored("a,b\n1,2\n").digest


def test_a_dataset_version_cannot_be_deleted_while_a_lineage_comes_to_need_it(domain: Domain) -> None:
    lease = domain.running()

    def train(session: object) -> None:
        from headrace.jobs import kinds, leases

        job = leases.hold(session, lease)  # type: ignore[arg-type]
        files = {"package": stored("package")}
        done = Done(result=LEARNED, outputs={})
        result = kinds.kind("train").commit(session, job, done, files, NOW)  # type: ignore[arg-type]
        transitions.succeed(session, lease, result=result, now=NOW)  # type: ignore[arg-type]

    delete = partial(domain.do, datasets.delete_version, "default", "iris", 1, now=NOW)
    answer = overlap(domain, train, delete)
    assert isinstance(answer, Conflict)
    with domain.db.read() as session:
        assert registry.version(session, "default", "iris", 1).dataset_version is not None


def test_a_version_that_is_ingested_cannot_be_deleted(domain: Domain) -> None:
    failed = _failed_upload(domain)
    retry = partial(service.retry, project="default", job_id=failed, created_by=None, now=NOW)
    delete = partial(domain.do, datasets.delete_version, "default", "broken", 1, now=NOW)
    answer = overlap(domain, retry, delete)
    assert isinstance(answer, Conflict)


def test_refs_resolve_to_what_is_ready(domain: Domain) -> None:
    domain.upload("iris", content="newer")
    with domain.db.read() as session:
        assert datasets.resolve(session, "default", "iris")[0] == ("iris", 1)
        for ref, says in [
            ("iris@2", "still being ingested"),
            ("iris@3", "no version 3"),
            ("iris@champion", "no aliases"),
            ("irises", "no dataset"),
            ("iris@99999999999999999999", "no "),
            ("iris@999999999", "no version"),
        ]:
            with pytest.raises(Invalid, match=says) as caught:
                datasets.resolve(session, "default", ref, "spec", "dataset")
            assert caught.value.errors[0].loc == ("spec", "dataset")
        with pytest.raises(Invalid, match="no model"):
            registry.resolve(session, "default", "iris", "spec", "model")


@pytest.mark.parametrize("number", [0, 2**31, 2**63, 10**30])
def test_a_number_that_no_version_can_have_is_not_found(domain: Domain, number: int) -> None:
    _trained(domain)
    with domain.db.read() as session:
        with pytest.raises(NotFound):
            datasets.version(session, "default", "iris", number)
        with pytest.raises(NotFound):
            registry.version(session, "default", "iris", number)


@pytest.mark.parametrize("cursor", ["-1", "1.5", "", "x", "2147483648", "9" * 18, "9" * 40, "²", "1\0"])
def test_a_cursor_that_no_list_gave_is_refused_or_means_its_number(domain: Domain, cursor: str) -> None:
    with domain.db.read() as session:
        page = partial(datasets.versions, session, "default", "iris", limit=1, cursor=cursor)
        if cursor.isdecimal() and len(cursor) < 19:
            assert [version.version for version in page().items] == [1]
        else:
            with pytest.raises(Invalid) as caught:
                page()
            assert caught.value.errors[0].loc == ("query", "cursor")


def test_pages_join_without_a_gap_or_a_double(domain: Domain) -> None:
    for number in range(7):
        domain.upload("many", content=str(number))
    with domain.db.read() as session:
        seen, cursor = [], None
        while True:
            page = datasets.versions(session, "default", "many", limit=3, cursor=cursor)
            seen += [version.version for version in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == [7, 6, 5, 4, 3, 2, 1]


def test_two_make_a_project_at_once(domain: Domain) -> None:
    def make() -> str:
        with domain.db.transaction() as session:
            return access.ensure_project(session, "new", NOW).name

    answer = overlap(domain, lambda session: access.ensure_project(session, "new", NOW), make)
    assert answer == "new"
    assert at_once(make, make, make) == ["new"] * 3


def test_a_ready_version_tells_its_columns(domain: Domain) -> None:
    with domain.db.read() as session:
        version = session.scalars(select(DatasetVersion)).one()
        assert (version.rows, version.columns) == (100, COLUMNS)
        assert artifacts.attached(session, version.id).keys() == {"source", "data", "profile"}
