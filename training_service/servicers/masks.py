"""Update masks (AIP-134)."""

from collections.abc import Collection
from typing import TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from training_service.errors import Reason, bad_reference

AnyMessage = TypeVar("AnyMessage", bound=Message)


def masked_fields(mask: FieldMask, changeable: Collection[str]) -> list[str]:
    """Returns the fields a mask names; "*" is all that can be changed.

    Raises INVALID_UPDATE_MASK for an empty mask and for a field that can't be changed.
    """
    if not mask.paths:
        raise bad_reference(Reason.INVALID_UPDATE_MASK, "update_mask", "must name a field")
    if list(mask.paths) == ["*"]:
        return list(changeable)
    for path in mask.paths:
        if path not in changeable:
            raise bad_reference(
                Reason.INVALID_UPDATE_MASK, "update_mask", f"can't change {path[:100]!r}"
            )
    return list(dict.fromkeys(mask.paths))


def merged(current: AnyMessage, changes: AnyMessage, fields: Collection[str]) -> AnyMessage:
    """Returns the current message with the named fields as they are in the changes."""
    result = type(current)()
    result.CopyFrom(current)
    mask = FieldMask(paths=fields)
    mask.MergeMessage(changes, result, replace_message_field=True, replace_repeated_field=True)
    return result


def check_etag(given: str, current: str, path: str) -> None:
    """Refuses an etag that is given, in this field, and is not the current one."""
    if given and given != current:
        raise bad_reference(Reason.ETAG_MISMATCH, path, "is not that of the current version")
