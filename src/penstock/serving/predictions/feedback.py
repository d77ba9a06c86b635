"""Labels that clients send: read, checked to be of the endpoint, and handed to whoever joins them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from penstock.base.errors import Invalid
from penstock.records.classes import LARGEST, is_beyond_outputs
from penstock.serving.codecs import plain_words
from penstock.serving.deployments import Revision
from penstock.serving.predictions.ids import UNKNOWN_ENDPOINT, PredictionId, parse_prediction_id
from penstock.serving.recorder import Label, LabelCounts, Labels


class LabelItem(msgspec.Struct, frozen=True):
    """One entry of a feedback request: the truth about one prediction.

    `label` is a number, text or boolean, or a list with one entry (null: not known) for each row. `by` is
    who says so, for the history of a label that is corrected.
    """

    prediction_id: str
    label: Any
    by: Annotated[str, msgspec.Meta(max_length=128)] | None = None


class BadItem(msgspec.Struct, frozen=True):
    """An entry of a feedback request that is none, and why."""

    error: str


_labels = msgspec.json.Decoder(list[LabelItem])
_label = msgspec.json.Decoder(LabelItem)
_parts = msgspec.json.Decoder(list[msgspec.Raw])


def decode_feedback(body: bytes) -> list[LabelItem | BadItem]:
    """Read a feedback body: a JSON list of `{"prediction_id": …, "label": …}`; what is no such entry is told of by itself.

    Raises:
        Invalid: it is no JSON list.
    """
    try:
        try:
            return [*_labels.decode(body)]
        except msgspec.ValidationError:
            return [_item(one) for one in _parts.decode(body)]
    except RecursionError:
        raise Invalid("the feedback is nested too deeply", code="serving.bad_feedback") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(
            f"not a feedback request: {plain_words(error)}",
            code="serving.bad_feedback",
            hint='send [{"prediction_id": "…", "label": 1}]',
        ) from None


def _item(raw: msgspec.Raw) -> LabelItem | BadItem:
    try:
        return _label.decode(raw)
    except msgspec.ValidationError as error:
        return BadItem(f'{plain_words(error)}, and an entry is {{"prediction_id": "…", "label": 1}}')


class FeedbackResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a feedback request, what was wrong with the entries refused, and why the first misfits are."""

    accepted: int
    corrected: int
    waiting: int
    unknown: int
    duplicate: int
    misfit: int
    rejected: list[dict[str, Any]]
    reasons: dict[str, str] = {}


def take_feedback(
    revision: Revision, items: Sequence[LabelItem | BadItem], labels: Labels, sender: str | None = None
) -> FeedbackResult:
    """Take labels for predictions of a revision's endpoint; wrong entries are told, the others taken.

    Args:
        sender: who sent entries that name nobody.

    Raises:
        Invalid: there are entries and none of them is one of a prediction of the endpoint.
        Unavailable: the store cannot be reached.
    """
    good: list[Label] = []
    rejected: list[dict[str, Any]] = []
    for index, item in enumerate(items):
        if isinstance(item, BadItem):
            rejected.append({"index": index, "error": item.error})
            continue
        try:
            identity = parse_prediction_id(item.prediction_id)
            _check_owner(identity, revision, item)
            values = item.label if isinstance(item.label, list) else [item.label]
            _check_values(values)
        except Invalid as error:
            rejected.append({"index": index, "error": error.message})
        else:
            good.append(Label(identity, identity.encode(), values, item.by or sender))
    if rejected and not good:
        first = rejected[0]["error"]
        none = f"none of the {len(rejected)} entries was taken; the first: {first}"
        raise Invalid(first if len(rejected) == 1 else none, code="serving.bad_feedback")
    counts = labels.add_labels(revision.endpoint, good) if good else LabelCounts()
    return FeedbackResult(
        accepted=counts.accepted,
        corrected=counts.corrected,
        waiting=counts.waiting,
        unknown=counts.unknown,
        duplicate=counts.duplicate,
        misfit=counts.misfit,
        rejected=rejected,
        reasons=counts.reasons,
    )


def _check_owner(identity: PredictionId, revision: Revision, item: LabelItem) -> None:
    if identity.endpoint_id not in (UNKNOWN_ENDPOINT, revision.endpoint_id & 0xFFFFFF):
        raise Invalid(
            f"prediction {item.prediction_id} is unknown: it was not made by endpoint {revision.endpoint}",
            code="serving.foreign_prediction",
        )


def _check_values(values: list[Any]) -> None:
    if not values or not all(value is None or isinstance(value, str | int | float) for value in values):
        raise Invalid(
            "a label is a number, text or boolean, or a list of them with one entry a row",
            code="serving.bad_label",
        )
    if any(map(is_beyond_outputs, values)):
        raise Invalid(
            f"a label is a whole number beyond {LARGEST:.2g}, the largest that a prediction can be",
            code="serving.bad_label",
        )
