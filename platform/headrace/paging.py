"""Keyset pagination: a page costs the same at row one million as at row one.

What an index finds makes full pages (`newest_first`, `oldest_first`). What none finds is looked for among a
bounded number of rows a page (`newest_first_sieved`), so that such a page may have few items or none and yet
a cursor to the next: only a page without a cursor is the last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import BigInteger, ColumnElement, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from headrace.db import MAX_INTEGER
from headrace.errors import Invalid

T = TypeVar("T")

LOOKED_AT = 1_000
"""So many rows a page of a sieved list looks at."""


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some rows, and the cursor that gets the next ones, or None after the last."""

    items: Sequence[T]
    next_cursor: str | None


def newest_first(
    session: Session,
    query: Select[T],
    column: InstrumentedAttribute[Any],
    *,
    limit: int,
    cursor: str | None,
    walked: InstrumentedAttribute[Any] | None = None,
) -> Page[T]:
    """Return the page of ``query`` that comes after ``cursor``, in falling order of the unique ``column``.

    ``walked`` is the column of another table to which ``query`` joins ``column``, where its index leads.
    """
    return _page(session, _falling(query, walked or column, cursor), column, limit)


def oldest_first(
    session: Session,
    query: Select[T],
    column: InstrumentedAttribute[Any],
    *,
    limit: int,
    cursor: str | None,
) -> Page[T]:
    """Return the page of ``query`` that comes after ``cursor``, in rising order of the unique ``column``."""
    if cursor is not None:
        query = query.where(column > _read_cursor(cursor, column))
    return _page(session, query.order_by(column), column, limit)


def newest_first_sieved(
    session: Session,
    query: Select[T],
    column: InstrumentedAttribute[Any],
    sieve: Callable[[type[T]], Sequence[ColumnElement[bool]]],
    *,
    limit: int,
    cursor: str | None,
    walked: InstrumentedAttribute[Any] | None = None,
) -> Page[T]:
    """Return those of the next `LOOKED_AT` rows of ``query``, of one entity, that meet what ``sieve`` says.

    The order, and ``walked``, as in `newest_first`.
    """
    looked_at = _falling(query, walked or column, cursor).limit(LOOKED_AT)
    entity = query.column_descriptions[0]["entity"]
    candidate = aliased(entity, looked_at.subquery())
    met = select(candidate).where(*sieve(candidate)).order_by(getattr(candidate, column.key).desc())
    page = _cut(session.scalars(met.limit(limit + 1)).all(), column, limit)
    if page.next_cursor is not None:
        return page
    ids = looked_at.with_only_columns(column.label("id")).subquery()
    looked, last = session.execute(select(func.count(), func.min(ids.c.id))).one()
    return Page(page.items, str(last) if looked == LOOKED_AT else None)


def _falling(query: Select[T], column: InstrumentedAttribute[Any], cursor: str | None) -> Select[T]:
    if cursor is not None:
        query = query.where(column < _read_cursor(cursor, column))
    return query.order_by(column.desc())


def _page(session: Session, query: Select[T], column: InstrumentedAttribute[Any], limit: int) -> Page[T]:
    return _cut(session.scalars(query.limit(limit + 1)).all(), column, limit)


def _cut(rows: Sequence[T], column: InstrumentedAttribute[Any], limit: int) -> Page[T]:
    more = len(rows) > limit
    return Page(rows[:limit], str(getattr(rows[limit - 1], column.key)) if more else None)


def _read_cursor(cursor: str, column: InstrumentedAttribute[Any]) -> str | int:
    if len(cursor) > 200 or not cursor.isprintable() or not cursor.isascii():
        raise Invalid.field("query", "cursor", msg="is not a cursor that this list gave")
    if column.type.python_type is not int:
        return cursor
    if not cursor.isdecimal() or len(cursor) > 18:
        raise Invalid.field("query", "cursor", msg="is not a cursor that this list gave")
    return int(cursor) if isinstance(column.type, BigInteger) else min(int(cursor), MAX_INTEGER)
