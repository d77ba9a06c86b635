"""`leakage`: the held-out rows are not among those trained on, no column tells the label alone, and time goes forwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from penstock.base.errors import Invalid
from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import Evidence, Floats, Gate, Outcome
from penstock.registry.gates.times import require_times, shown_time
from penstock.stats.significance import score

if TYPE_CHECKING:
    import polars as pl

CODED_VALUES = 1000


class LeakageGate(msgspec.Struct, frozen=True, kw_only=True):
    """Limits on what the held-out table may share with the training table (`train`, default: the model's reference).

    `max_overlap` is the ratio of held-out rows whose inputs and label are a training row too; `max_auc` what one column
    alone may reach as ROC AUC of a label of 0 and 1 (None: is not asked); with `time` no held-out row is earlier than
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
        Invalid: a table or column is not named, or not there; a row has no time, or none that can be read.
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
    if gate.max_auc is not None and set(test[label].drop_nulls().cast(str).unique().to_list()) <= {
        "0",
        "1",
        "0.0",
        "1.0",
    }:
        alone = {name: _alone(train, test, name, label) for name in names}
        kept["auc_alone"] = dict(sorted(alone.items(), key=lambda one: -one[1])[:20])
        found += [
            f"{name} alone tells the label (ROC AUC {auc:.3f})"
            for name, auc in alone.items()
            if auc > gate.max_auc
        ]
    if latest is not None:
        kept["early_rows"] = early
        words = f"{early} held-out rows are earlier than the last training row, {shown_time(latest)}"
        found += [words] if early else []
    return Outcome(
        "fail" if found else "pass",
        "; ".join(found)
        or f"nothing leaks: {shared} of {test.height} held-out rows are training rows too, in the columns that are looked at",
        observed=overlap,
        expected=f"at most {gate.max_overlap:g} of the rows shared"
        + (f", no column with a ROC AUC above {gate.max_auc:g}" if gate.max_auc is not None else "")
        + (", no row of the past" if gate.time else ""),
        n=test.height,
        evidence=kept,
    )


def _alone(train: pl.DataFrame, test: pl.DataFrame, name: str, label: str) -> float:
    """Return the ROC AUC of one column, either way round; of text, of its values' shares of 1 in the training table."""
    truth = test[label].cast(float).fill_null(0.0).to_numpy()
    values: Floats
    if test[name].dtype.is_numeric() and test[name].n_unique() > 2:
        raw = test[name].cast(float).fill_null(float("nan")).to_numpy()
        values = np.nan_to_num(raw, nan=float(np.nanmedian(raw)) if not np.isnan(raw).all() else 0.0)
    else:
        shares = train.group_by(name).agg(_mean(label))
        if shares.height > CODED_VALUES:
            return 0.5
        known = dict(zip(shares[name].cast(str).to_list(), shares["_share"].to_list(), strict=True))
        values = np.array([known.get(one, 0.5) for one in test[name].cast(str).to_list()], dtype=np.float64)
    found = score("roc_auc", truth, values)
    return max(found, 1 - found) if found == found else 0.5  # noqa: PLR0124 - NaN where there is one class


def _mean(label: str) -> pl.Expr:
    import polars as pl  # loaded with the table already

    return pl.col(label).cast(pl.Float64).mean().alias("_share")


GATE = Gate(
    settings=LeakageGate,
    check=check_leakage,
    title=lambda gate: "held-out rows",
    tables=lambda gate: (gate.train,) if gate.train else (),
    weighed=weigh(train="any", max_overlap="higher", max_auc="higher", time="any", columns="any"),
)
