"""Paging of listings (AIP-158)."""

import hashlib
from datetime import date
from uuid import UUID

from google.protobuf.message import Message

from training_service.caller import Scope
from training_service.domain.paging import KeyPart, invalid_page_token

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
