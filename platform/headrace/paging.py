"""Keyset pagination: a page costs the same at row one million as at row one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import BigInteger, Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from headrace.db import MAX_INTEGER
from headrace.errors import Invalid

T = TypeVar("T")


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
) -> Page[T]:
    """Return the page of ``query`` that comes after ``cursor``, in falling order of the unique ``column``."""
    if cursor is not None:
        query = query.where(column < _read_cursor(cursor, column))
    return _page(session, query.order_by(column.desc()), column, limit)


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


def _page(session: Session, query: Select[T], column: InstrumentedAttribute[Any], limit: int) -> Page[T]:
    rows = session.scalars(query.limit(limit + 1)).all()
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
