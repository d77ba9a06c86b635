"""Every kind of change that lets out more is held at a push, said in words, let out by an acceptance, and by that alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from projects import Sample
from stories.office import Office

KEY = "ed25519:" + "A" * 43 + "="
METRIC, SCHEMA = (
    "  - metric: {name: roc_auc, min: 0.6}\n",
    "  - schema: {table: data/train.csv, schema: schema.json}\n",
)
DRIFT = "      - drift: {features: any, psi_max: 0.25, action: alert}\n"


class Edit(NamedTuple):
    """A change of one text in a file (before an anchor where it is empty), and what the report says why it is held."""

    old: str
    new: str
    told: str
    file: str = "penstock.yaml"


LOOSER = (
    Edit('"max": 100', '"max": 9000', "lets more pass: schema schema.json: wind max 100.0 → 9000.0", "schema.json"),
    Edit(SCHEMA, "", "1 gate was removed: schema data/train.csv"),
    Edit("min: 0.6", "min: 0.5", "lets more pass: metric roc_auc (min 0.6 → 0.5)"),
    Edit(", min_rows: 50}", ", min_rows: 50}\n    severity: warn", "no longer refuses, only warns: champion roc_auc"),
    Edit("deploy: rollout", "deploy: full", "ci.deploy was raised: rollout → full"),
    Edit("gates:\n", f"trusted_keys: ['{KEY} mallory']\ngates:\n", f"a key is trusted that was not: {KEY}"),
    Edit("metrics: metrics.json", "metrics: fake.json", "judges by fake.json, before metrics.json"),
    Edit("test: data/test.csv", "test: data/train.csv", "judges on the held-out rows of data/train.csv, before data/test.csv"),
    Edit("label: late\n", "label: wind\n", "takes wind for the truth, before late"),
    Edit("label: wind\n", "label: wind\n  time: hour\n", "orders rows by hour, before nothing"),
    Edit("reference: data/train.csv", "reference: data/test.csv", "compares with data/test.csv, before data/train.csv"),
    Edit("max_ratio: 0.05", "max_ratio: 0.5", "a guardrail of delay lets more pass: errors (max_ratio 0.05 → 0.5)"),
    Edit(DRIFT, "", "a guardrail of delay was removed: drift"),
    Edit("on_breach: [rollback, alert]\n", "on_breach: [rollback, alert]\n    retrain: {on: drift, command: ./mine}\n", "a finding on delay begins a command: `./mine`"),
    Edit("  delay:\n", "  flights:\n", "endpoint delay is no longer declared, and guarded by nothing; a finding on flights begins a command: `./mine`"),
)  # fmt: skip
STRICTER = (
    ("min: 0.5", "min: 0.61"),
    ("max_ratio: 0.5", "max_ratio: 0.01"),
    ("deploy: full", "deploy: promote"),
    ("gates:\n", f"gates:\n{SCHEMA}"),
    (f"trusted_keys: ['{KEY} mallory']\n", ""),
)


def test_each_change_that_lets_out_more_is_held_until_it_alone_is_accepted(
    released: Sample, tmp_path: Path
) -> None:
    """Each report names this one change, so that those before it, which were accepted, are held no more."""
    office = Office.open(released, tmp_path)
    work = office.at_work
    work.write("fake.json", '{"roc_auc": 0.99}')

    def edit(file: str, change: Callable[[str], str]) -> None:
        before = (work.root / file).read_text()
        work.write(file, change(before))
        assert (work.root / file).read_text() != before, file

    for one in LOOSER:
        edit(one.file, lambda text, one=one: text.replace(one.old, one.new, 1))  # type: ignore[misc]
        report = office.report(one.told)
        assert report.passed, (one.told, report.steps)
        assert report.held is not None, one.told
        why, _, what_next = report.held.partition("; penstock ci accept ")
        assert why == one.told
        assert what_next.startswith(report.commit[:10])
        step = report.steps[-1]
        assert (step.name, step.status, step.sentence) == (
            "deploy",
            "skipped",
            f"not released: {report.held}",
        )
        office.accept()
    office.penstock("ci", "run", "--rev", work.git.head() or "", "--deploy")

    edit("params.yaml", lambda text: text + "# a note\n")
    report = office.report("A note")
    assert (report.passed, report.held) == (True, None)

    def tighten(text: str) -> str:
        for old, new in STRICTER:
            assert old in text
            text = text.replace(old, new, 1)
        return text

    edit("penstock.yaml", tighten)
    report = office.report("Ask for more")
    assert (report.passed, report.held) == (True, None)
