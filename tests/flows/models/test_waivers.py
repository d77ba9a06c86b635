from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid, Refused
from penstock.flows.models import proving
from penstock.flows.models.aliases import apply_promotion, plan_promotion
from penstock.flows.models.judging import run_gate
from penstock.flows.models.registering import register_model
from penstock.registry.entities import CheckResult, Verdict, Waiver
from penstock.registry.tables import verdicts
from penstock.workspace import open_workspace
from projects import Sample

TODAY = datetime.now(UTC).date()
IMPOSSIBLE = "  - metric: {name: roc_auc, min: 0.999}\n"


def judge(sample: Sample, waiver: str, entry: str = IMPOSSIBLE) -> Verdict:
    """Judge with one gate that fails and a waiver beside it."""
    settings = sample.root / "penstock.yaml"
    text = sample.git.run("show", "HEAD:penstock.yaml") + "\n"
    settings.write_text(text.replace("gates:\n", f"gates:\n{entry}{waiver}"))
    sample.project = open_workspace(sample.root)
    return run_gate(sample.project)


def written(until: object, by: str = "ada", reason: str = "labels are being mended") -> str:
    return f"    waiver: {{by: {by}, reason: {reason}, until: {until}}}\n"


def test_a_waived_failure_passes_and_says_so_until_its_day_is_over(
    trained: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = judge(trained, written(TODAY))
    failed = verdict.checks[0]
    assert (verdict.passed, failed.status, failed.is_blocking) == (True, "fail", False)
    assert failed.sentence.endswith(f"waived by ada until {TODAY}: labels are being mended")
    assert "1 waived" in verdict.summary
    project = trained.project
    version, _ = register_model(project)
    apply_promotion(project, plan_promotion(project, version.ref))

    after = now_ms() + int(timedelta(days=1).total_seconds() * 1000)
    monkeypatch.setattr(proving, "now_ms", lambda: after)
    with pytest.raises(Refused, match=f"waiver ended on {TODAY}"):
        plan_promotion(project, version.ref)


def test_a_waiver_that_ended_or_covers_an_error_lets_nothing_pass(trained: Sample) -> None:
    ended = judge(trained, written(TODAY - timedelta(days=1)))
    assert not ended.passed
    assert "its waiver ended on" in ended.checks[0].sentence
    error = judge(trained, written(TODAY), "  - metric: {name: nosuch, min: 0.5}\n")
    assert (error.passed, error.checks[0].waiver) == (False, None)
    assert "not for what could not be checked" in error.checks[0].sentence


def test_a_waiver_names_who_why_and_a_day(trained: Sample) -> None:
    for waiver in (written("soon"), written(TODAY, by="''"), "    waiver: {by: ada}\n"):
        with pytest.raises(Invalid, match=r"penstock\.yaml"):
            judge(trained, waiver)


def test_a_waiver_is_signed_and_a_forged_one_is_noticed(trained: Sample) -> None:
    verdict = judge(trained, written(TODAY))
    project = trained.project
    version, _ = register_model(project)
    forged = [msgspec.to_builtins(check) for check in verdict.checks]
    forged[0]["waiver"]["by"] = "somebody else"
    with project.database.write() as connection:
        connection.execute(sa.update(verdicts).values(checks=forged))
    with pytest.raises(
        Refused, match="its verdict is no proof: its field `checks` was changed after it was signed"
    ):
        plan_promotion(project, version.ref)


def test_a_check_without_a_waiver_is_signed_as_before_there_were_any() -> None:
    check = CheckResult(kind="metric", name="x", status="pass", severity="block", sentence="")
    assert check.waiver is None
    waiver = msgspec.convert({"by": "a", "reason": "b", "until": "2026-12-31"}, Waiver)
    assert msgspec.to_builtins(waiver)["until"] == "2026-12-31"
