"""OpenTelemetry's own messages: prints the log records of the request in FILE as JSON."""

import json
import sys

from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

with open(sys.argv[1], "rb") as file:
    request = ExportLogsServiceRequest.FromString(file.read())


def plain(value):
    return getattr(value, value.WhichOneof("value"))


def unknown(message):
    """Number of fields in a message, and in all messages in it, that its definition does not have."""
    count = len(UnknownFieldSet(message))
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            count += sum(map(unknown, value if hasattr(value, "append") else [value]))
    return count


records = []
for of_resource in request.resource_logs:
    for of_scope in of_resource.scope_logs:
        for record in of_scope.log_records:
            records.append(
                {
                    "attributes": {pair.key: plain(pair.value) for pair in record.attributes},
                    "body": plain(record.body),
                    "event_name": record.event_name,
                    "severity_text": record.severity_text,
                    "time": record.time_unix_nano,
                    "unknown_fields": unknown(request),
                }
            )
json.dump(records, sys.stdout)
