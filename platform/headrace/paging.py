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
    index: Sequence[InstrumentedAttribute[Any]] = (),
) -> Page[T]:
    """Return the page of ``query`` that comes after ``cursor``, in falling order of the unique ``column``.

    ``index`` names columns by which an index gives that order: the last is ``column``, or what it is joined
    to; the others are the same in all rows. To order by them too keeps the database to that index, where it
    might think to go through the primary key and find enough soon.
    """
    return _page(session, _falling(query, index or (column,), cursor), column, limit)


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
    index: Sequence[InstrumentedAttribute[Any]] = (),
    until: str | None = None,
) -> Page[T]:
    """Return those of the next `LOOKED_AT` rows of ``query``, of one entity, that meet what ``sieve`` says.

    The order, and ``index``, as in `newest_first`. No row below ``until`` meets the conditions: that is no
    condition itself, since SQLite would take a range of the wrong index for the narrowest.
    """
    index = index or (column,)
    order = [each.label(f"order_{number}") for number, each in enumerate(index)]
    looked_at = _falling(query, index, cursor).limit(LOOKED_AT)
    rows = looked_at.add_columns(*order).subquery()
    candidate = aliased(query.column_descriptions[0]["entity"], rows)
    met = select(candidate).where(*sieve(candidate)).limit(limit + 1)
    met = met.order_by(*(rows.c[each.name].desc() for each in order))
    page = _cut(session.scalars(met).all(), column, limit)
    if page.next_cursor is not None:
        return page
    ids = looked_at.with_only_columns(order[-1]).subquery()
    looked, last = session.execute(select(func.count(), func.min(ids.c[order[-1].name]))).one()
    more = looked == LOOKED_AT and (until is None or last > until)
    return Page(page.items, str(last) if more else None)


def _falling(query: Select[T], index: Sequence[InstrumentedAttribute[Any]], cursor: str | None) -> Select[T]:
    if cursor is not None:
        query = query.where(index[-1] < _read_cursor(cursor, index[-1]))
    return query.order_by(*(column.desc() for column in index))


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
