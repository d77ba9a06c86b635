"""Requests and answers as MLflow's clients write and read them.

A request is decoded straight into its type when it is spelled as the protocol's names are. Everything else
takes the long way: camel case, numbers in strings, JSON inside a JSON string, NaN without quotes. One field
spelled two ways is refused, since two readers of the request could believe different ones.

Source: the JSON mapping of Protocol Buffers; differs in that 64-bit numbers are answered as numbers.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from penstock.base.errors import Invalid
from penstock.records.limits import invalid_value, missing_value

MAX_BODY_BYTES = 32 << 20
MAX_DEPTH = 50
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Number = float | str
"""A metric's value: a number, or one of the words NaN, Infinity, -Infinity."""
_HELP = " See the API docs for more information about request parameters."
_CAMEL = re.compile(r"_([a-z0-9])")


class Request(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The base of every request; `required` names the fields that must be there and not empty."""

    required: ClassVar[tuple[str, ...]] = ()


class OfRun(Request, kw_only=True):
    """A request about one run, by either of the names its id has had."""

    run_id: str = ""
    run_uuid: str = ""
    required: ClassVar[tuple[str, ...]] = ("run_id",)

    def __post_init__(self) -> None:
        """Let the older name stand in."""
        if not self.run_id:
            self.run_id = self.run_uuid


R = TypeVar("R", bound=Request)


def decode_body(body: bytes, kind: type[R], path_fields: Mapping[str, str] | None = None) -> R:
    """Return the request in a JSON body; an empty or unreadable one counts as having no fields.

    `path_fields` are what the request's path says; they win.

    Raises:
        Invalid: a field is missing, doubled or has the wrong type; the body is no object or nested too deep.
    """
    if body and not path_fields:
        try:
            request: R = _decoder(kind).decode(body)
            return _complete(request)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    built: R = _build({**(_loose(body) if body else {}), **(path_fields or {})}, kind, "")
    return _complete(built)


def decode_query(pairs: Iterable[tuple[str, str]], kind: type[R], path_fields: Mapping[str, str]) -> R:
    """Return the request that a query string makes; a list's values stand under its repeated name.

    Raises:
        Invalid: a field is missing, doubled or has the wrong type.
    """
    known = _fields(kind)
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in known and _element(known[name][1]) is not None:
            fields.setdefault(name, []).append(value)
        else:
            fields[name] = value
    built: R = _build({**fields, **path_fields}, kind, "")
    return _complete(built)


def number_of(value: Number, path: str) -> float:
    """Return a metric's value.

    Raises:
        Invalid: it is no number.
    """
    if isinstance(value, float):
        return value
    try:
        return float(value)
    except ValueError:
        raise invalid_value(
            path, value, "Please specify value as a valid double (64-bit floating point)"
        ) from None


def number_out(value: float, is_nan: bool = False) -> float | str:
    """Return a metric's value as JSON can say it."""
    return "NaN" if is_nan or math.isnan(value) else value


def missing_field(path: str) -> Invalid:
    """Make the error for a field that a request must have."""
    error = missing_value(path)
    return Invalid(error.message + _HELP, code=error.code, field=path)


def given(**fields: Any) -> dict[str, Any]:
    """Return the fields that are set: neither None nor an empty list."""
    return {name: value for name, value in fields.items() if value is not None and value != []}


@cache
def _decoder(kind: type[R]) -> msgspec.json.Decoder[R]:
    return msgspec.json.Decoder(kind)


def _complete(request: R) -> R:
    for name in type(request).required:
        if getattr(request, name) in ("", None, []):
            raise missing_field(name)
    return request


def _loose(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
        if isinstance(value, str):
            value = json.loads(value)
    except RecursionError:
        raise Invalid("the body is nested too deep", code="request.bad_body") from None
    except UnicodeDecodeError as error:
        raise Invalid(f"the body is not UTF-8 text at byte {error.start}", code="request.bad_body") from None
    except ValueError:
        return {}
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Invalid("the body must be a JSON object", code="request.bad_body")
    return value


@cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, tuple[str, Any]]:
    """Return the field's name and type by every spelling a client may use."""
    hints = get_type_hints(kind, include_extras=True)
    found = {}
    for name in kind.__struct_fields__:
        camel = _CAMEL.sub(lambda match: match.group(1).upper(), name)
        found[name] = found[camel] = (name, hints[name])
    return found


def _build(values: Mapping[str, Any], kind: type[msgspec.Struct], path: str) -> Any:
    known = _fields(kind)
    found: dict[str, Any] = {}
    for spelled, value in values.items():
        name, hint = known.get(spelled, ("", None))
        if not name or value is None:
            continue
        place = f"{path}{name}"
        if name in found:
            raise Invalid(
                f"Field '{place}' is given under two spellings; give it once.",
                code="request.two_spellings",
                field=place,
            )
        found[name] = _value(value, hint, place)
    missing = [name for name in _without_default(kind) if name not in found]
    if missing:
        raise missing_field(f"{path}{missing[0]}")
    return kind(**found)


@cache
def _without_default(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(field.name for field in msgspec.structs.fields(kind) if field.required)


def _value(value: Any, hint: Any, path: str) -> Any:
    inner = _element(hint)
    if inner is not None:
        if not isinstance(value, list | tuple):
            raise _wrong(path, value)
        return [_value(item, inner, f"{path}[{place}]") for place, item in enumerate(value)]
    struct = _struct(hint)
    if struct is not None:
        if not isinstance(value, Mapping):
            raise _wrong(path, value)
        return _build(value, struct, f"{path}.")
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _wrong(path, ascii(value))  # half of a character, which no store and no answer can hold
    if isinstance(value, str) and hint in (str, str | None):
        return value
    if isinstance(value, float) and hint is Number:
        return value
    if isinstance(value, bool) and hint is not bool and hint != bool | None:
        raise _wrong(path, value)
    try:
        return msgspec.convert(value, hint, strict=not isinstance(value, str))
    except (msgspec.ValidationError, OverflowError):
        raise _wrong(path, value) from None


def _element(hint: Any) -> Any:
    """Return the type of a list's items, or None where the type is no list."""
    return get_args(hint)[0] if get_origin(hint) is list else None


def _struct(hint: Any) -> type[msgspec.Struct] | None:
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return next((one for one in options if isinstance(one, type) and issubclass(one, msgspec.Struct)), None)


def _wrong(path: str, value: Any) -> Invalid:
    error = invalid_value(path, value, f" Hint: Value was of type '{type(value).__name__}'.")
    return Invalid(error.message + _HELP, code=error.code, field=path)
