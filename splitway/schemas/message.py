"""The base of all models of requests and answers, and the JSON Schemas that are made from them.

No request is validated by these models, and no answer is built from them on the way of a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar, Self, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import CoreSchema, core_schema

from splitway.errors import printable

Count = Annotated[int, Field(ge=0)]
Milliseconds = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
JsonSchema = dict[str, Any]
_Value = TypeVar("_Value")


class _NeverNull:
    """Marks a field that is not null in any answer; readers see None where an older gateway leaves it out."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        schema: JsonSchema = handler(core)["anyOf"][0]
        return schema


Told = Annotated[_Value | None, _NeverNull()]
DEEPEST = 64
"""Levels of an answer that is read: no answer of ours comes near."""
PREFIX = "#/components/schemas/"
"""Where an API description keeps its schemas."""


class RequestSchema(BaseModel):
    """A request or a part of one. Fields that are not named here may stand in it too."""

    model_config = ConfigDict(frozen=True, defer_build=True, allow_inf_nan=False)


class AnswerSchema(RequestSchema):
    """An answer or a part of one. Every field is there and no other, but for those in `MAY_LACK`.

    A field has a default where readers can do without it: an older gateway may leave it out. Fields that are not known
    are ignored: a newer gateway may send them.
    """

    MAY_LACK: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def of(cls, described: object) -> Self:
        """From what has the same fields: an object, or a mapping."""
        return cls.model_validate(described, from_attributes=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        schema = handler.resolve_ref_schema(handler(core))
        required = [name for name in cls.model_fields if name not in cls.MAY_LACK]
        return {"additionalProperties": False} | schema | {"required": required}


Read = TypeVar("Read", bound=AnswerSchema)


class _Generator(GenerateJsonSchema):
    """Pydantic's, without a title for every field and without the defaults, which are for readers."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchema:
        return self.generate_inner(schema["schema"])


def json_schemas(names: Iterable[str]) -> dict[str, JsonSchema]:
    """The models of these names as JSON Schema, and those that stand within them."""
    models = {model.__name__: model for model in _below(RequestSchema)}
    _, found = models_json_schema(
        [(models[name], "validation") for name in sorted(set(names))],
        ref_template=PREFIX + "{model}",
        schema_generator=_Generator,
    )
    by_name: dict[str, JsonSchema] = found["$defs"]
    return by_name


def _below(model: type[RequestSchema]) -> Iterator[type[RequestSchema]]:
    for each in model.__subclasses__():
        yield each
        yield from _below(each)


def read_answer(schema: type[Read], body: bytes) -> Read:
    """Read an answer; nothing in it can move a terminal's cursor. Raises ValueError for anything else."""
    return schema.model_validate(readable(orjson.loads(body)))


def readable(said: Any, deepest: int = DEEPEST) -> Any:
    """JSON whose strings a terminal may show. Raises ValueError where it is nested deeper than `deepest` levels."""
    if isinstance(said, str):
        return printable(said)
    if not isinstance(said, list | dict):
        return said
    if deepest == 0:
        raise ValueError(f"nested deeper than {DEEPEST} levels")
    if isinstance(said, list):
        return [readable(each, deepest - 1) for each in said]
    return {printable(key): readable(value, deepest - 1) for key, value in said.items()}
