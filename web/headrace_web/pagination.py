"""Lists: the query parameters and the shape that all of them share.

A cursor is opaque: the domain's own (`headrace.paging`), and a digest that ties it to the path and the
filters of the list that gave it. The digest is no secret: a cursor grants nothing, since every query has its
project as a condition; it makes mistakes visible.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from typing import Annotated, Generic, TypeVar

from flask import request
from pydantic import BaseModel, ConfigDict, Field

from headrace import paging
from headrace.errors import Invalid
from headrace.specs.base import Name

MAX_LIMIT = 200

Row = TypeVar("Row")
Item = TypeVar("Item", bound=BaseModel)


class Query(BaseModel):
    """The query parameters that every authorised route takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    project: Annotated[
        Name | None, Field(description="Act in another project than the key's; admins only")
    ] = None


class Page(BaseModel, Generic[Item]):
    """One page of a list; `next_cursor` is null on the last."""

    items: list[Item]
    next_cursor: str | None


class PageQuery(Query):
    """The query parameters of every list."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT, description="At most so many items")] = 50
    cursor: Annotated[
        str | None, Field(max_length=1000, description="The `next_cursor` of the page before")
    ] = None

    def position(self) -> str | None:
        """Return the domain's cursor, None for the first page. Raises Invalid for one of another list."""
        if self.cursor is None:
            return None
        try:
            raw = base64.b64decode(self.cursor + "=" * (-len(self.cursor) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        position = raw[8:]
        # Compared as text: base64 spells some bytes in more than one way, and a cursor has one spelling.
        if not position or self.cursor != self._cursor(position):
            raise Invalid.field(
                "query", "cursor", msg="should be the next_cursor of a page of this very list"
            )
        return position.decode()

    def page(self, found: paging.Page[Row], item: Callable[[Row], Item]) -> Page[Item]:
        """Return ``found``, the domain's page, as it is shown: each row as what ``item`` makes of it."""
        return Page(items=[item(row) for row in found.items], next_cursor=self.following(found))

    def following(self, found: paging.Page[Row]) -> str | None:
        """Return the cursor that gets the page after ``found``, None after the last."""
        return None if found.next_cursor is None else self._cursor(found.next_cursor.encode())

    def _cursor(self, position: bytes) -> str:
        return base64.urlsafe_b64encode(self._digest(position) + position).decode().rstrip("=")

    def _digest(self, position: bytes) -> bytes:
        filters = self.model_dump(mode="json", exclude={"limit", "cursor"}, exclude_none=True)
        binding = f"{request.path} {json.dumps(filters, sort_keys=True)}"
        return hashlib.sha256(binding.encode() + b"\0" + position).digest()[:8]
