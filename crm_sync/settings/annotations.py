"""What the fields of a model are made of."""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def fields_by_key(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model under the keys that the file uses."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def types_in(annotation: Any) -> Iterator[type]:
    """The classes that an annotation mentions: `list[Path] | None` gives list, Path and None's."""
    if isinstance(annotation, type) and not get_args(annotation):
        yield annotation
    for part in get_args(annotation):
        yield from types_in(part)


def mentions(field: FieldInfo, wanted: type) -> bool:
    """Whether a field may hold a `wanted`."""
    return any(issubclass(found, wanted) for found in types_in(field.annotation))


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation mentions."""
    return [found for found in types_in(annotation) if issubclass(found, BaseModel)]
