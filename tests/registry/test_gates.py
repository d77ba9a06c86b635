"""Gates find what they should, say it with numbers, and never pass what could not be checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from penstock.base.errors import Invalid
from penstock.base.settings import parse_settings
from penstock.project.settings import ProjectSettings
from penstock.registry.gates.catalogue import find_gate, list_gates
from penstock.registry.gates.check import Evidence
from penstock.registry.gates.judge import make_verdict, run_checks
from penstock.registry.gates.settings import GateEntry, settings_digest
from penstock.registry.table_schema import TableSchema, load_schema, validate

Floats = NDArray[np.float64]


class Rows:
    """Held-out rows with known skill: the scores are the truth plus noise."""

    def __init__(self, candidate_noise: float, champion_noise: float | None, count: int = 2000) -> None:
        generator = np.random.default_rng(1)
        self._labels = generator.integers(0, 2, count).astype(np.float64)
        self._candidate = self._labels + generator.normal(0, candidate_noise, count)
        self._champion = (
            None if champion_noise is None else self._labels + generator.normal(0, champion_noise, count)
        )
        self.champion = None if champion_noise is None else "m/1"

    def labels(self) -> Floats:
        return self._labels

    def of_classes(self, metric: str) -> None:
        return None

    def require_columns(self, *names: str) -> None:
        for name in names:
            self.groups(name)

    def groups(self, column: str) -> NDArray[np.int64]:
        return np.arange(len(self._labels), dtype=np.int64) // {"hour": 20, "day": 500}[column]

    def scored(self, metric: str) -> tuple[Floats, Floats, Floats | None]:
        return self._labels, self._candidate, self._champion

    def scored_alone(self, metric: str) -> tuple[Floats, Floats]:
        return self._labels, self._candidate

    def beside_constant(
        self, metric: str, training: Mapping[str, int], table: str
    ) -> tuple[Floats, Floats, Floats, str]:
        raise NotImplementedError

    def candidate_scores(self) -> Floats:
        return self._candidate

    def champion_scores(self) -> Floats | None:
        return self._champion


def gates(text: str) -> tuple[GateEntry, ...]:
    return parse_settings(f"project: p\ngates:\n{text}", ProjectSettings, "penstock.yaml").gates


def judge(
    text: str, rows: Rows | None = None, root: Path = Path(), metrics: dict[str, float] | None = None
) -> list[str]:
    evidence = Evidence(root, metrics or {}, rows or Rows(1, None))
    return [check.status for check in run_checks(gates(text), evidence)]


@pytest.mark.parametrize(
    ("limit", "value", "status"),
    [
        ("min: 0.7", 0.7, "pass"),
        ("min: 0.7", 0.69, "fail"),
        ("max: 0.2", 0.3, "fail"),
        ("min: 0.7", float("nan"), "error"),
    ],
)
def test_a_metric_is_held_to_its_limits(limit: str, value: float, status: str) -> None:
    assert judge(f"  - metric: {{name: auc, {limit}}}", metrics={"auc": value}) == [status]


def test_an_absent_metric_could_not_be_checked() -> None:
    assert judge("  - metric: {name: auc, min: 0.1}") == ["error"]


CHAMPION = "  - champion: {metric: roc_auc, max_drop: 0.01, resamples: 300}"


def champion_sentence(text: str, rows: Rows) -> str:
    (found,) = run_checks(gates(text), Evidence(Path(), {}, rows))
    assert found.status == "error"
    return found.sentence


def test_the_champion_check_says_what_does_not_allow_it() -> None:
    few = Rows(0.5, 0.5)
    few._labels[:] = 0
    few._labels[:7] = 1
    assert "7 held-out rows of the rarer class are too few, 20 are needed" in champion_sentence(CHAMPION, few)
    grouped = "  - champion: {metric: brier, group: day}"
    assert "4 groups are too few" in champion_sentence(grouped, Rows(0.5, 0.5))
    hard = Rows(0.5, 0.5)
    hard._champion = (hard._labels > 0.5).astype(float)
    assert "roc_auc needs scores, but m/1 gives classes only" in champion_sentence(CHAMPION, hard)
    assert judge("  - champion: {metric: roc_auc, group: hour, max_drop: 0.2}", Rows(0.5, 0.5)) == ["pass"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("mode", ["", ", mode: not_worse", ", mode: non_inferior"])
def test_what_is_too_large_to_be_compared_does_not_pass(mode: str) -> None:
    huge = Rows(0.5, 0.5)
    huge._candidate, huge._champion = huge._candidate * 1e300, huge._labels * 1e299
    assert "brier inf against inf is no number" in champion_sentence(
        f"  - champion: {{metric: brier{mode}}}", huge
    )


def test_the_champion_check_compares_several_metrics_in_two_modes_alone_and_in_groups() -> None:
    both = "metric: [accuracy, roc_auc]"
    for rows, not_worse, non_inferior in (
        (Rows(1.0, 1.5), "pass", "pass"),
        (Rows(1.5, 1.0), "fail", "fail"),
        (Rows(1.0, 1.0, count=300), "pass", "fail"),  # too few to be sure either way
    ):
        for group in ("", ", group: hour"):
            asked = [f"{both}, mode: not_worse{group}", f"{both}, mode: non_inferior, margin: 0.02{group}"]
            found = [judge(f"  - champion: {{{one}}}", rows) for one in asked]
            assert found == [[not_worse], [non_inferior]], (rows._candidate[:2], group)
    (worse,) = run_checks(
        gates(f"  - champion: {{{both}, mode: not_worse}}"), Evidence(Path(), {}, Rows(1.5, 1))
    )
    assert "surely worse (p " in worse.sentence
    assert "after Holm over 2 metrics" in worse.expected
    kept = worse.evidence["metrics"]
    assert (kept["accuracy"]["test"], kept["roc_auc"]["test"]) == ("mcnemar", "delong")
    assert kept["accuracy"]["p_adjusted"] >= kept["accuracy"]["p_worse"]
    lacking = Rows(0.5, 0.5)
    lacking._candidate = np.where(np.arange(2000) == 3, np.nan, lacking._candidate)
    assert "the candidate gives no number" in champion_sentence(f"  - champion: {{{both}}}", lacking)


def test_a_model_with_the_champions_own_scores_passes_without_any_margin() -> None:
    same = Rows(0.5, 0.5)
    same._champion = same._candidate
    assert judge("  - champion: {metric: roc_auc, max_drop: 0}", same) == ["pass"]


def test_gate_settings_that_came_later_leave_older_verdicts_alone() -> None:
    plain = settings_digest(gates(CHAMPION), Path())
    assert plain == settings_digest(gates(CHAMPION.replace("}", ", min_groups: 10}")), Path())
    assert plain != settings_digest(gates(CHAMPION.replace("}", ", group: hour}")), Path())
    assert plain != settings_digest(gates(CHAMPION.replace("}", ", mode: non_inferior}")), Path())
    # as it was signed before there were modes
    digest = "c4942981812167a6a5c4d6b28544416e840032032a7e6393867e6246396f5de1"
    assert plain == digest


def test_the_champion_check_tells_better_equal_and_worse_apart() -> None:
    assert judge(CHAMPION, Rows(1.0, 1.5)) == ["pass"]
    assert judge(CHAMPION, Rows(1.5, 1.0)) == ["fail"]
    assert judge(CHAMPION, Rows(1.0, None)) == ["pass"]


def test_too_few_rows_do_not_pass() -> None:
    assert judge(CHAMPION, Rows(0.1, 1.5, count=50)) == ["error"]


def test_what_cannot_be_checked_is_an_error_and_does_not_pass(tmp_path: Path) -> None:
    text = "  - schema: {table: none.csv, schema: none.json}"
    checks = run_checks(gates(text), Evidence(tmp_path, {}, Rows(1, None)))
    assert [check.status for check in checks] == ["error"]
    assert not make_verdict("m", "d", gates(text), checks, {}, "me", root=Path()).passed


def test_a_warning_does_not_block() -> None:
    text = "  - metric: {name: auc, min: 0.9}\n    severity: warn"
    checks = run_checks(gates(text), Evidence(Path(), {"auc": 0.1}, Rows(1, None)))
    assert make_verdict("m", "d", gates(text), checks, {}, "me", root=Path()).passed


def test_other_gates_have_another_digest() -> None:
    digests = [settings_digest(gates(f"  - metric: {{name: auc, min: {low}}}"), Path()) for low in (0.9, 0.8)]
    assert digests[0] != digests[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  - {}", "exactly one of"),
        ("  - metric: {name: a}", "needs `min` or `max`"),
        (
            "  - metric: {name: a, min: 0.9, max: 0.1}",
            "no number is at least `min` 0.9 and at most `max` 0.1",
        ),
        ("  - metric: {name: a, min: 1, severity: warn}", "`severity` belongs one level up"),
        ("  - approval: {people: 1, waiver: {by: a}}", "`waiver` belongs one level up"),
        ("  - champion: {metric: f1}", "roc_auc"),
        ("  - metric: {name: a, min: 1}\n    champion: {metric: brier}", "exactly one of"),
        ("  - metrik: {name: a, min: 1}", "did you mean `metric`?"),
        ("  - champion: {metric: roc_auc, alpha: 2}", "alpha"),
        ("  - champion: {metric: [roc_auc, f1]}", "roc_auc"),
        ("  - champion: {metric: []}", "one metric, or several"),
        ("  - champion: {metric: mae, mode: not_worse, margin: 0.1}", "has no `margin`"),
        ("  - champion: {metric: mae, max_drop: 0.1, margin: 0.1}", "another word"),
        ("  - champion: {metric: mae, mode: not_worse, test: paired_bootstrap}", "test: by_metric"),
    ],
)
def test_a_gate_that_means_nothing_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        gates(text)
    assert said in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.message.startswith("penstock.yaml:3")


TABLE = pl.DataFrame({"n": [1.0, 2.0, 300.0], "t": ["a", "b", None], "k": [1, 2, 3]})


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"n": {"type": "number", "max": 100}}, ["n: 1 of 3 values break «at most 100», such as 300.0"]),
        ({"n": {"type": "number", "min": 1.5}}, ["n: 1 of 3 values break «at least 1.5», such as 1.0"]),
        ({"n": {"type": "number", "mean_max": 50}}, ["n: the mean is 101, at most 50 expected"]),
        ({"t": {"type": "string"}}, ["t: 1 of 3 values are missing"]),
        ({"t": {"type": "string", "max_missing_ratio": 0.5}}, []),
        (
            {"t": {"type": "string", "max_missing_ratio": 0.1}},
            ["t: 33.3% of the values are missing, at most 10.0% may be"],
        ),
        (
            {"t": {"type": "string", "nullable": True, "values": ["a"]}},
            ["t: 1 of 3 values break «one of the known values», such as 'b'"],
        ),
        ({"k": {"type": "number"}}, []),
        ({"k": {"type": "string"}}, ["k: is Int64, must be string"]),
        ({"z": {"type": "number"}}, ["z: the column is missing"]),
        ({"z": {"type": "number", "required": False}}, []),
    ],
)
def test_every_broken_rule_is_told_in_a_sentence(
    columns: dict[str, object], said: list[str], tmp_path: Path
) -> None:
    (tmp_path / "s.json").write_text(json.dumps({"columns": columns}))
    schema: TableSchema = load_schema(tmp_path / "s.json")
    assert [finding["sentence"] for finding in validate(TABLE, schema)] == said


def test_a_schema_with_an_unknown_rule_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"columns": {"a": {"type": "number", "maximum": 3}}}')
    with pytest.raises(Invalid, match="maximum"):
        load_schema(tmp_path / "s.json")


def test_every_kind_of_an_entry_has_its_check_and_the_refusal_names_them_all() -> None:
    assert all(find_gate(name).check for name in list_gates())
    with pytest.raises(Invalid, match="exactly one of `metric`, `champion`, `schema`"):
        gates("  - severity: warn")


def test_an_approval_that_only_warns_says_that_doors_open_without_it(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path, {}, Rows(1, None))
    asked = gates("  - {approval: {people: 1}}\n  - {approval: {people: 1}, severity: warn}\n")
    blocks, warns = run_checks(asked, evidence)
    assert blocks.sentence == "no door opens before 1 person other than the author approved it"
    assert (
        warns.sentence
        == "not yet approved by 1 person other than the author; it only warns: doors open without"
    )
