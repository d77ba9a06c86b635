"""`robustness`: small errors in the inputs change few answers, and a missing value is answered or refused, never a failure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from penstock.base.errors import Invalid, PenstockError
from penstock.base.numbers import counted
from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import Evidence, Gate, Outcome

if TYPE_CHECKING:
    import polars as pl


class RobustnessGate(msgspec.Struct, frozen=True, kw_only=True):
    """`noise` standard deviations are added to each numeric column of `rows` held-out rows.

    At most `max_changed` of the answers may change: another class, or a number that moves by more than `tolerance` times
    the answers' own standard deviation. With `missing` each column is once left without values as well.
    """

    noise: float = 0.01
    max_changed: float = 0.05
    tolerance: float = 0.1
    rows: int = 500
    missing: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.noise <= 0 or not 0 <= self.max_changed < 1 or self.tolerance <= 0 or self.rows < 1:
            raise ValueError(
                "`noise` and `tolerance` are above 0, `max_changed` in [0, 1), `rows` at least 1"
            )


def check_robustness(gate: RobustnessGate, evidence: Evidence) -> Outcome:
    """Ask with noise, and with each column missing.

    Raises:
        PenstockError: the unchanged rows are not answered.
    """
    frame = evidence.test_table().head(gate.rows)
    if not frame.height:
        return Outcome("error", "the held-out table has no rows", n=0)
    model = evidence.require_candidate()
    names = [name for name in (model.inputs or frame.columns) if name in frame.columns]
    before = _answers(model.serve(frame))
    after = _answers(model.serve(_noisy(gate, frame, names)))
    changed = float(_changed(gate, before, after).mean())
    broken, refused = [], []
    for name in names if gate.missing else []:
        try:
            model.serve(frame.head(20).with_columns(_nothing(frame, name)))
        except Invalid:
            refused.append(name)
        except PenstockError as error:
            broken.append(f"{name}: {error.message}")
    sentence = f"{changed:.1%} of {counted(frame.height, 'answer')} change with noise of {gate.noise:g} standard deviations"
    if broken:
        sentence += (
            f"; it fails without {len(broken)} of {counted(len(names), 'column')}, such as {broken[0]}"
        )
    return Outcome(
        "fail" if changed > gate.max_changed or broken else "pass",
        sentence,
        observed=changed,
        expected=f"at most {gate.max_changed:g} of the answers changed"
        + (", a missing value answered or refused" if gate.missing else ""),
        n=frame.height,
        evidence={"failed_without": broken, "refused_without": refused, "seed": gate.seed},
    )


def _answers(outputs: Mapping[str, Any]) -> Any:
    return np.asarray(outputs.get("prediction", next(iter(outputs.values()))))


def _changed(gate: RobustnessGate, before: Any, after: Any) -> Any:
    if before.dtype.kind == "f" and after.dtype.kind == "f":
        is_same = (before == after) | (np.isnan(before) & np.isnan(after))
        with np.errstate(invalid="ignore"):  # infinity less infinity
            far = ~(is_same | (np.abs(before - after) <= gate.tolerance * _spread(before)))
    else:
        far = before != after
    return far.reshape(len(before), -1).any(axis=1)


def _spread(values: Any) -> float:
    """Return the standard deviation of the values that are numbers; 1 where they do not differ."""
    finite = values[np.isfinite(values)]
    return (float(finite.std()) if len(finite) else 0.0) or 1.0


def _noisy(gate: RobustnessGate, frame: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Return the table with noise in its columns of numbers; whole numbers stay whole."""
    import polars as pl  # loaded with the table already

    generator = np.random.default_rng(gate.seed)
    noisy = []
    for name in names:
        column = frame[name]
        if not column.dtype.is_numeric():
            continue
        values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        moved = values + generator.normal(0, gate.noise * _spread(values), len(values))
        noisy.append(_within(pl.Series(name, moved).fill_nan(None), column.dtype))
    return frame.with_columns(noisy)


def _within(moved: pl.Series, kind: pl.DataType) -> pl.Series:
    """Return numbers in the type of their column; what noise moved beyond a type of whole numbers stays at its end."""
    import polars as pl

    if not kind.is_integer():
        return moved.cast(kind)
    whole = moved.round().cast(kind, strict=False)
    low, high = pl.select(low=kind.min(), high=kind.max()).row(0)  # type: ignore[attr-defined]
    is_beyond = whole.is_null() & moved.is_not_null()
    return whole.set(is_beyond & (moved < 0), low).set(is_beyond & (moved > 0), high)


def _nothing(frame: pl.DataFrame, name: str) -> pl.Expr:
    import polars as pl

    return pl.lit(None, dtype=frame[name].dtype).alias(name)


GATE = Gate(
    settings=RobustnessGate,
    check=check_robustness,
    title=lambda gate: f"noise {gate.noise:g}",
    weighed=weigh(
        noise="lower",
        max_changed="higher",
        tolerance="higher",
        rows="lower",
        missing={True: 0, False: 1},
        seed="any",
    ),
)
