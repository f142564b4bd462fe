"""Answers made of stored records, without reading them.

A record is the message as it was acknowledged. On the wire an embedded message and bytes look
alike, so a response whose message fields are declared as bytes takes records as they are.
"""

from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass


def of_records(descriptor: Descriptor) -> Any:
    """Returns the message type that differs from a given one in that each field which holds a
    message holds its serialized form instead, and each enum its number."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{descriptor.name}.records", package="records", syntax="proto3"
    )
    twin = file.message_type.add()
    descriptor.CopyToProto(twin)
    for field in twin.field:
        field.ClearField("options")
        if field.type == field.TYPE_MESSAGE:
            field.type = field.TYPE_BYTES
            field.ClearField("type_name")
        elif field.type == field.TYPE_ENUM:
            field.type = field.TYPE_INT32
            field.ClearField("type_name")
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(f"records.{descriptor.name}"))
