"""Keys: which are accepted, and what their roles may."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from domain import NOW, Domain
from headrace.access import service as access
from headrace.access.service import Principal
from headrace.errors import Forbidden, Invalid, NotFound, Unauthenticated


def _key(domain: Domain, **options: Any) -> tuple[str, str]:
    wanted: dict[str, Any] = {"project": "default", "role": "viewer", "name": "n", "now": NOW}
    row, key = domain.do(access.create_key, **(wanted | options))
    return row.id, key


def test_a_key_says_who_and_is_kept_only_as_a_digest(domain: Domain) -> None:
    key_id, key = _key(domain, role="submitter")
    assert domain.do(access.authenticate, key, NOW) == Principal(
        key=key_id, role="submitter", project="default"
    )
    assert key.startswith("hr_")
    assert len(key.split("_")[2]) == 64
    assert key.split("_")[2] not in repr(domain.dump())


def test_what_is_no_key_is_refused(domain: Domain) -> None:
    _, key = _key(domain)
    _, other = _key(domain)
    secret = key.split("_")[2]
    for wrong in [
        "",
        "hr_",
        key[:-1],
        key + "0",
        key + "\n",
        " " + key,
        key.upper(),
        key[:-1] + ("0" if key[-1] != "0" else "1"),
        f"hr_{other.split('_')[1]}_{secret}",
        f"hr_00000000_{secret}",
        "hr_%_%",
        "hr_" + "é" * 73,
        "x" * 100_000,
    ]:
        with pytest.raises(Unauthenticated):
            domain.do(access.authenticate, wrong, NOW)


def test_a_revoked_key_is_refused_from_then_on(domain: Domain) -> None:
    key_id, key = _key(domain)
    domain.do(access.revoke_key, "default", key_id, NOW)
    domain.do(access.revoke_key, "default", key_id, NOW + timedelta(days=1))
    with pytest.raises(Unauthenticated, match="revoked"):
        domain.do(access.authenticate, key, NOW)
    assert domain.do(access.key, "default", key_id).revoked_at == NOW


def test_a_key_ends_at_its_expiry(domain: Domain) -> None:
    _, key = _key(domain, expires_at=NOW + timedelta(hours=1))
    domain.do(access.authenticate, key, NOW + timedelta(minutes=59))
    with pytest.raises(Unauthenticated, match="expired"):
        domain.do(access.authenticate, key, NOW + timedelta(hours=1))


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"role": "root"}, "role"),
        ({"expires_at": NOW}, "expires_at"),
        ({"project": "A"}, "project"),
        ({"project": "a\n"}, "project"),
        ({"project": ""}, "project"),
    ],
)
def test_a_wrong_key_is_not_made(domain: Domain, wrong: dict[str, Any], field: str) -> None:
    before = domain.dump()
    with pytest.raises(Invalid) as caught:
        _key(domain, **wrong)
    assert caught.value.errors[0].loc == (field,)
    assert domain.dump() == before


def test_each_role_includes_those_before_it() -> None:
    roles = ("viewer", "submitter", "maintainer", "admin")
    for held, role in enumerate(roles):
        principal = Principal(key="key_1", role=role, project="default")
        assert [principal.may(wanted) for wanted in roles] == [index <= held for index in range(4)]


def test_only_an_admin_acts_in_another_project(domain: Domain) -> None:
    domain.project("other")
    for role in ("viewer", "submitter", "maintainer"):
        principal = Principal(key="key_1", role=role, project="default")
        assert domain.do(access.acting_in, principal, None) == principal
        assert domain.do(access.acting_in, principal, "default") == principal
        for project in ("other", "nobody"):
            with pytest.raises(Forbidden):
                domain.do(access.acting_in, principal, project)
    admin = Principal(key="key_1", role="admin", project="default")
    assert domain.do(access.acting_in, admin, "other").project == "other"
    with pytest.raises(NotFound):
        domain.do(access.acting_in, admin, "nobody")


def test_a_key_of_another_project_is_not_found(domain: Domain) -> None:
    key_id, _ = _key(domain, project="other")
    with pytest.raises(NotFound):
        domain.do(access.key, "default", key_id)
    with pytest.raises(NotFound):
        domain.do(access.revoke_key, "default", key_id, NOW)
    assert domain.do(access.keys, "default", limit=10).items == []
