"""Paging of listings (AIP-158)."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from typing import Any, Protocol, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from training_service.caller import Scope
from training_service.domain.paging import (
    MAX_PAGE_SIZE,
    KeyPart,
    decode_page_token,
    encode_page_token,
    fitting_count,
    invalid_page_token,
    page_limit,
)

Row = TypeVar("Row", bound="HasId")

PAGE_FIELDS = ("page_size", "page_token", "cursor")


def listing_digest(request: Message, scope: Scope | None = None) -> str:
    """Returns what ties a page token to its listing: all of the request but the page itself.

    Whether the athlete was named or left to be the caller makes no difference.
    """
    filters = type(request)()
    filters.CopyFrom(request)
    for name in PAGE_FIELDS:
        if name in filters.DESCRIPTOR.fields_by_name:
            filters.ClearField(name)
    if scope:
        filters.external_user_id = str(scope.external_user_id)  # type: ignore[attr-defined]
    tag = filters.DESCRIPTOR.full_name.encode()
    data = tag + filters.SerializeToString(deterministic=True)
    return hashlib.blake2b(data, digest_size=9).hexdigest()


class HasId(Protocol):
    """What a listing sorts by: ids of UUID version 7 sort by creation."""

    @property
    def id(self) -> UUID:
        """Its id."""


async def page_by_id(
    request: Any,
    scope: Scope,
    read: Callable[[UUID | None, int], Awaitable[Sequence[Row]]],
    *,
    most: int = MAX_PAGE_SIZE,
    size: Callable[[Row], int] = lambda _: 0,
) -> tuple[Sequence[Row], str]:
    """Returns a page of a listing by id, the newest first, and the token of the next page.

    `read` returns so many rows before an id, None is from the newest on. A page has `most` rows at
    most, and as many as fit together by their `size` in bytes.
    """
    listing = listing_digest(request, scope)
    key = decode_page_token(listing, request.page_token, (str,))
    limit = min(page_limit(request.page_size), most)
    found = await read(uuid_of_token(key[0]) if key else None, limit + 1)
    page = found[: fitting_count(map(size, found[:limit]))]
    if len(page) == len(found):
        return page, ""
    return page, encode_page_token(listing, (str(page[-1].id),))


def uuid_of_token(part: KeyPart) -> UUID:
    """Returns the id in a page token; refuses one that is none."""
    try:
        return UUID(str(part))
    except ValueError:
        raise invalid_page_token() from None


def date_of_token(part: KeyPart) -> date:
    """Returns the date in a page token; refuses one that is none."""
    try:
        return date.fromisoformat(str(part))
    except ValueError:
        raise invalid_page_token() from None
