"""Paging of listings (AIP-158)."""

import hashlib

from google.protobuf.message import Message


def listing_digest(request: Message) -> str:
    """Returns what ties a page token to its listing: all of the request but the page itself."""
    filters = type(request)()
    filters.CopyFrom(request)
    filters.ClearField("page_size")
    filters.ClearField("page_token")
    tag = filters.DESCRIPTOR.full_name.encode()
    data = tag + filters.SerializeToString(deterministic=True)
    return hashlib.blake2b(data, digest_size=9).hexdigest()
