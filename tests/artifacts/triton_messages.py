"""The messages of Triton's model_config.proto that a configuration of ours consists of, and their text format's reader.

What is not in them is refused. tests/reference/check_triton.py asks Triton's own, all of it.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory, text_format

Field = descriptor_pb2.FieldDescriptorProto
TYPES = ("INVALID", "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32")

# Name, type (a scalar's, or a message's name) and whether it is repeated, by message.
TENSOR = [
    ("name", Field.TYPE_STRING, False),
    ("data_type", "DataType", False),
    ("dims", Field.TYPE_INT64, True),
    ("reshape", "ModelTensorReshape", False),
]
MESSAGES: dict[str, list[tuple[str, Any, bool]]] = {
    "ModelTensorReshape": [("shape", Field.TYPE_INT64, True)],
    "ModelInput": TENSOR,
    "ModelOutput": [*TENSOR, ("label_filename", Field.TYPE_STRING, False)],
    "ModelDynamicBatching": [("preferred_batch_size", Field.TYPE_INT32, True)],
    "ModelConfig": [
        ("name", Field.TYPE_STRING, False),
        ("platform", Field.TYPE_STRING, False),
        ("backend", Field.TYPE_STRING, False),
        ("max_batch_size", Field.TYPE_INT32, False),
        ("input", "ModelInput", True),
        ("output", "ModelOutput", True),
        ("dynamic_batching", "ModelDynamicBatching", False),
    ],
}


def _model_config() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", package="triton", syntax="proto3")
    kinds = file.enum_type.add(name="DataType")
    for number, name in enumerate(TYPES):
        kinds.value.add(name=f"TYPE_{name}", number=number)
    for message, fields in MESSAGES.items():
        described = file.message_type.add(name=message)
        for number, (name, kind, repeated) in enumerate(fields, 1):
            field = described.field.add(name=name, number=number)
            field.label = Field.LABEL_REPEATED if repeated else Field.LABEL_OPTIONAL
            if isinstance(kind, str):
                field.type = Field.TYPE_ENUM if kind == "DataType" else Field.TYPE_MESSAGE
                field.type_name = f".triton.{kind}"
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("triton.ModelConfig"))


MODEL_CONFIG = _model_config()


def read_configuration(text: str) -> dict[str, Any]:
    """The fields that are set; whole numbers of 64 bits are strings, as in protobuf's JSON."""
    return json_format.MessageToDict(text_format.Parse(text, MODEL_CONFIG()), preserving_proto_field_name=True)
