"""Page tokens: opaque to callers, valid for one listing with one set of filters."""

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from training_service.errors import Reason, TrainingError

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000

MAX_PAGE_BYTES = 3_000_000
"""Most bytes of records on a page: gRPC clients refuse messages above 4 MiB by default."""

KeyPart = str | int
T = TypeVar("T")


def page_limit(page_size: int) -> int:
    """Returns how many items a page holds: 0 is the default, too many is the most (AIP-158)."""
    return min(page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def fitting_count(sizes_bytes: Iterable[int], max_bytes: int = MAX_PAGE_BYTES) -> int:
    """Returns how many of the items, one at least, fit on a page together."""
    total = 0
    count = 0
    for size in sizes_bytes:
        total += size
        if count and total > max_bytes:
            break
        count += 1
    return count


def parts(items: Sequence[T], max_bytes: int, size: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """Yields all items in runs of at most `max_bytes`, each of one item at least."""
    begin = 0
    while begin < len(items):
        rest = items[begin:]
        count = fitting_count((size(item) for item in rest), max_bytes)
        yield rest[:count]
        begin += count


def encode_page_token(listing: str, key: tuple[KeyPart, ...]) -> str:
    """Returns the token for the page after the item with this sort key.

    `listing` is a digest of the request's filters.
    """
    text = json.dumps([listing, *key], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_page_token(
    listing: str, token: str, shape: tuple[type, ...]
) -> tuple[KeyPart, ...] | None:
    """Returns the sort key in a token, or None for an empty token.

    `shape` gives the type of each part. Raises INVALID_PAGE_TOKEN for a token that was not made
    by `encode_page_token` for this listing.
    """
    if not token:
        return None
    try:
        padded = token + "=" * (-len(token) % 4)
        found, *key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        json.dumps(key, ensure_ascii=False).encode()  # refuses half a surrogate pair
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise invalid_page_token() from None
    if found != listing or tuple(type(part) for part in key) != shape:
        raise invalid_page_token()
    return tuple(key)


def invalid_page_token() -> TrainingError:
    """Returns the refusal of a token that this service did not make for the listing."""
    return TrainingError(
        Reason.INVALID_PAGE_TOKEN, "the page token does not belong to a listing with these filters"
    )
