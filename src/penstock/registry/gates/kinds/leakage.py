"""`leakage`: the held-out rows are not among those trained on, no column tells the label alone, and time goes forwards."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.base.errors import Invalid
from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import Evidence, Gate, Outcome
from penstock.registry.gates.columns_alone import alike, tell_alone
from penstock.registry.gates.times import require_times, shown_time


class LeakageGate(msgspec.Struct, frozen=True, kw_only=True):
    """Limits on what the held-out table may share with the training table (`train`, default: the model's reference).

    `max_overlap` is the ratio of held-out rows whose inputs and label are a training row too; `max_auc` what one column
    alone, or whether its value is missing, may reach as ROC AUC of one class against the rest (None: is not asked); with `time` no held-out row is earlier than
    the last training row, and each row of both tables has one (`times.read_times` says what is one).
    """

    train: str | None = None
    max_overlap: float = 0.0
    max_auc: float | None = 0.99
    time: str | None = None
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if not 0 <= self.max_overlap < 1 or (self.max_auc is not None and not 0.5 < self.max_auc < 1):
            raise ValueError("`max_overlap` is in [0, 1), `max_auc` in (0.5, 1)")


def check_leakage(gate: LeakageGate, evidence: Evidence) -> Outcome:
    """Look for the three.

    Raises:
        Invalid: a table or column is not named, or not there, or of types that cannot be compared; a row has no time, or
            none that can be read; a held-out row has no label, or all have the same, where columns are tested alone.
    """
    label = evidence.require("label")
    trained = gate.train or evidence.require("reference")
    train = evidence.table(trained)
    test = evidence.test_table()
    names = gate.columns or (evidence.candidate.inputs if evidence.candidate else ())
    names = tuple(name for name in (names or test.columns) if name != label)
    for frame, what in ((train, trained), (test, evidence.named.test)):
        lost = [
            name for name in (*names, label, *([gate.time] if gate.time else [])) if name not in frame.columns
        ]
        if lost:
            raise Invalid(
                f"{what} has no column {lost[0]!r}",
                code="gate.no_such_column",
                hint="name the columns to look at as `columns:` of the leakage gate",
                column=lost[0],
            )
    if not test.height or not train.height:
        return Outcome("error", "a table has no rows", n=test.height)
    early, latest = 0, None
    if gate.time is not None:
        latest = int(require_times(train, gate.time, trained).max())  # type: ignore[arg-type]
        early = int((require_times(test, gate.time, evidence.require("test")) < latest).sum())
    train, test = alike(train, test, (*names, label), (trained, str(evidence.named.test)))
    shared = test.join(
        train.select(*names, label).unique(), on=[*names, label], how="semi", nulls_equal=True
    ).height
    overlap = shared / test.height
    found = (
        [f"{shared} of {test.height} held-out rows are training rows too, in the columns that are looked at"]
        if overlap > gate.max_overlap
        else []
    )
    kept: dict[str, Any] = {"overlap_ratio": overlap, "shared_rows": shared}
    untold = ""
    if gate.max_auc is not None:
        alone, untold = tell_alone(train, test, names, label, str(evidence.named.test))
        auc = {name: max(of) for name, of in alone.items()}
        kept["auc_alone"] = dict(sorted(auc.items(), key=lambda one: -one[1])[:20])
        for name, (value, missing) in alone.items():
            if max(value, missing) > gate.max_auc:
                what = name if value >= missing else f"whether {name} is missing"
                found.append(f"{what} alone tells the label (ROC AUC {auc[name]:.3f})")
    if latest is not None:
        kept["early_rows"] = early
        words = f"{early} held-out rows are earlier than the last training row, {shown_time(latest)}"
        found += [words] if early else []
    return Outcome(
        "fail" if found else "pass",
        (
            "; ".join(found)
            or f"nothing leaks: {shared} of {test.height} held-out rows are training rows too, in the columns that are looked at"
        )
        + untold,
        observed=overlap,
        expected=f"at most {gate.max_overlap:g} of the rows shared"
        + (f", no column with a ROC AUC above {gate.max_auc:g}" if gate.max_auc is not None else "")
        + (", no row of the past" if gate.time else ""),
        n=test.height,
        evidence=kept,
    )


GATE = Gate(
    settings=LeakageGate,
    check=check_leakage,
    title=lambda gate: "held-out rows",
    tables=lambda gate: (gate.train,) if gate.train else (),
    weighed=weigh(train="any", max_overlap="higher", max_auc="higher", time="any", columns="any"),
)
