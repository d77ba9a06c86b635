"""Values that a request gives for parameters of the model itself, as the `params` of MLflow's scoring protocol."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from penstock.base.errors import Invalid
from penstock.serving.loaders.model import Columns, Parametrised
from penstock.serving.repository import LoadedModel, ServedRevision


def with_params(
    model: LoadedModel, columns: Columns, params: Mapping[str, Any], served: ServedRevision | None
) -> Columns:
    """Return columns with values for the model's parameters, as it takes them; without any, the columns themselves.

    Args:
        served: the revision whose versions the request may reach, None where it names one: what only others of them
            take is left out, since clients cannot know which one answers.

    Raises:
        Invalid: the model takes no such parameter, or not this value.
    """
    foreign = served.foreign_parameters(model) if served is not None else ()
    given = {name: value for name, value in params.items() if name not in foreign}
    if not given:
        return columns
    taken = model.parameters
    if not taken:
        raise _bad(f"the model takes no parameters, and the request has some: {_names(given)}")
    checked = {}
    for name, value in given.items():
        if name not in taken:
            raise _bad(f"the model takes no parameter {name[:64]!r}; it takes {_names(taken)}")
        try:
            checked[name] = taken[name](value)
        except ValueError as error:
            raise _bad(f"parameter {name!r}: {error}") from error
    return Parametrised(columns, checked, given)


def _names(named: Collection[str]) -> str:
    return ", ".join(name[:64] for name in list(named)[:10])


def _bad(message: str) -> Invalid:
    return Invalid(
        message,
        code="scoring.bad_params",
        hint="`params` hold what the params of the model's signature name; leave out what it does not take",
    )
