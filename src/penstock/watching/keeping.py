"""What is kept of arguments and results at the moment of a call, and its plain form later, in the background.

A call pays for a copy that nothing changes any more: a microsecond for a mapping of twenty values. What a value
means is found out when it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np

Kept = tuple[Any, int]
"""A copy, and about how many bytes it takes."""
SIMPLE = frozenset({int, float, bool, type(None)})
_TEXTS = SIMPLE | {str}
OF_A_MAPPING, OF_A_VALUE = 200, 100
FIELDS_MAX = 10_000


def keep(value: Any) -> Kept:
    """Return a copy of a value that later changes of it do not reach.

    Cost: 1 us for a mapping of 20 numbers; arrays and frames of pandas before version 3 are copied, those of polars shared.
    """
    kind = type(value)
    if kind is dict:
        return _keep_mapping(value)
    if kind in SIMPLE:
        return value, OF_A_VALUE
    keeper = _KEEPERS.get(kind)
    if keeper is None:
        keeper = _KEEPERS[kind] = _find_keeper(kind)
    return keeper(value)


def _keep_mapping(value: Mapping[Any, Any]) -> Kept:
    kinds = set(map(type, value.values()))
    size = OF_A_MAPPING + OF_A_VALUE * len(value)
    if kinds <= SIMPLE:
        return value.copy() if type(value) is dict else dict(value), size
    if kinds <= _TEXTS:
        size += sum([len(one) for one in value.values() if type(one) is str])
        return value.copy() if type(value) is dict else dict(value), size
    kept = {key: keep(one) for key, one in value.items()}
    return {key: one for key, (one, _) in kept.items()}, OF_A_MAPPING + sum(one for _, one in kept.values())


def _keep_list(value: Any) -> Kept:
    kinds = set(map(type, value))
    if kinds <= SIMPLE:
        return list(value), OF_A_MAPPING + 40 * len(value)
    kept = [keep(one) for one in value]
    return [one for one, _ in kept], OF_A_MAPPING + sum([size for _, size in kept])


def _keep_text(value: Any) -> Kept:
    return value, OF_A_VALUE + len(value)


def _keep_array(value: Any) -> Kept:
    return value.copy(), OF_A_MAPPING + int(value.nbytes)


def _keep_polars(value: Any) -> Kept:
    return value.clone(), OF_A_MAPPING + int(value.estimated_size())


def _keep_pandas(value: Any) -> Kept:
    return value.copy(), OF_A_MAPPING + 16 * int(value.size)


def _keep_newer_pandas(value: Any) -> Kept:
    """Share what is copied when it is written to, since pandas 3."""
    return value.copy(deep=False), OF_A_MAPPING + 16 * int(value.size)


def _keep_struct(value: Any) -> Kept:
    return _keep_mapping({name: getattr(value, name) for name in value.__struct_fields__})


def _keep_fields(value: Any) -> Kept:
    """Keep what an object has: of dataclasses, models of pydantic and the like their fields."""
    fields = {name: one for name, one in vars(value).items() if not name.startswith("_")}
    return _keep_mapping(fields)


def _keep_shown(value: Any) -> Kept:
    text = str(value)
    return text, OF_A_VALUE + len(text)


def _keep_number(value: Any) -> Kept:
    return value.item(), OF_A_VALUE


_KEEPERS: dict[type, Callable[[Any], Kept]] = {
    dict: _keep_mapping,
    list: _keep_list,
    tuple: _keep_list,
    str: _keep_text,
    bytes: lambda value: (None, len(value)),
}


def _find_keeper(kind: type) -> Callable[[Any], Kept]:
    """Return how values of a type are kept; looked up once a type."""
    library, name = kind.__module__.partition(".")[0], kind.__name__
    if library == "numpy":
        return _keep_array if name == "ndarray" else _keep_number
    if library == "polars" and name in {"DataFrame", "Series"}:
        return _keep_polars
    if library == "pandas" and name in {"DataFrame", "Series"}:
        return _keep_newer_pandas if int(version("pandas").partition(".")[0]) >= 3 else _keep_pandas
    if issubclass(kind, Mapping):
        return _keep_mapping
    if issubclass(kind, list | tuple):
        return _keep_list
    if issubclass(kind, str):
        return _keep_text
    if hasattr(kind, "__struct_fields__"):
        return _keep_struct
    if hasattr(kind, "__dataclass_fields__") or hasattr(kind, "model_fields"):
        return _keep_fields
    if hasattr(kind, "__array__"):
        return lambda value: _keep_array(_as_array(value))
    return _keep_shown


def _as_array(value: Any) -> Any:
    return np.array(value)


def plain(value: Any) -> Any:
    """Return what was kept as numbers, texts, lists and mappings."""
    kind = type(value)
    if kind in _TEXTS:
        return value
    if kind is dict:
        if set(map(type, value.values())) <= _TEXTS:
            return value
        return {str(key): plain(one) for key, one in value.items()}
    if kind is list:
        return value if set(map(type, value)) <= _TEXTS else [plain(one) for one in value]
    library = kind.__module__.partition(".")[0]
    if library == "numpy":
        return value.tolist()
    if library == "polars":
        return value.to_list() if kind.__name__ == "Series" else value.to_dict(as_series=False)
    if library == "pandas":
        return value.tolist() if kind.__name__ == "Series" else _of_pandas(value)
    return value


def _of_pandas(frame: Any) -> dict[str, Any]:
    """Return a frame's columns; by its matrix, since a column at a time takes twenty times as long."""
    return dict(zip(map(str, frame.columns), frame.to_numpy().T.tolist(), strict=True))


def show(value: Any) -> Any:
    """Return what the encoder does not know as what it does, for its hook."""
    if hasattr(value, "item"):
        return value.item()
    if value is None or value != value:  # noqa: PLR0124 - pandas' NaT and NA are not what they are
        return None
    return str(value)


encoder = msgspec.msgpack.Encoder(enc_hook=show)
