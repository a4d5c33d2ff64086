"""``tf.train.Example``: lists of floats, whole numbers or bytes by their keys; no TensorFlow.

The message is described here as tensorflow's ``core/example/{example,feature}.proto`` describe it,
and decoded by protobuf's own runtime.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

FLOATS, WHOLE, BYTES = "float_list", "int64_list", "bytes_list"
_PACKAGE = "ambient_policy.example"
_Field = descriptor_pb2.FieldDescriptorProto
_LISTS = {BYTES: _Field.TYPE_BYTES, FLOATS: _Field.TYPE_FLOAT, WHOLE: _Field.TYPE_INT64}


def _describe() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="ambient_policy/example.proto", package=_PACKAGE, syntax="proto3"
    )
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, kind) in enumerate(_LISTS.items(), start=1):
        values = file.message_type.add(name=name)
        values.field.add(name="value", number=1, label=_Field.LABEL_REPEATED, type=kind)
        _add(feature, name, number, name).oneof_index = 0
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_STRING)
    _add(entry, "value", 2, "Feature")
    _add(features, "feature", 1, "Features.FeatureEntry").label = _Field.LABEL_REPEATED
    _add(file.message_type.add(name="Example"), "features", 1, "Features")
    return file


def _add(message: Any, name: str, number: int, kind: str) -> Any:
    """A field that holds a message of ours."""
    return message.field.add(
        name=name,
        number=number,
        label=_Field.LABEL_OPTIONAL,
        type=_Field.TYPE_MESSAGE,
        type_name=f".{_PACKAGE}.{kind}",
    )


def _message() -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_describe())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Example"))


_Example = _message()


def decode_example(data: bytes) -> Mapping[str, Any]:
    """Features by their keys, for ``values``.

    Raises:
        ValueError: if the bytes are no such message.
    """
    try:
        features: Mapping[str, Any] = _Example.FromString(data).features.feature
    except DecodeError as error:
        raise ValueError(str(error)) from error
    return features


def values(feature: Any) -> tuple[str, Sequence[Any]]:
    """Which list a feature holds (``FLOATS``, ``WHOLE``, ``BYTES``, "" for none) and its items."""
    kind = feature.WhichOneof("kind")
    return (kind, getattr(feature, kind).value) if kind else ("", ())
