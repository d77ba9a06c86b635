"""Who may edit penstock.yaml cannot lift a rollback by it: looser gates pass a version, but production refused it."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result

from penstock.cli.main import cli
from projects import Sample
from serving.fixtures import add_version

LOOSER = ("gates: []\n", "gates: [{metric: {name: roc_auc, min: 0.1}}]\n")


def test_judging_again_under_looser_gates_that_are_put_back_lifts_no_rollback(
    released: Sample,
) -> None:
    sample = released
    add_version(sample)

    def penstock(*words: str) -> Result:
        return CliRunner().invoke(cli, ["-C", str(sample.root), *words])

    def refusal(*words: str) -> str:
        ran = penstock(*words)
        assert ran.exit_code != 0, ran.output
        return str(ran.exception)

    for ref in ("late/1", "late/2"):
        ran = penstock("deploy", "delay", "--model", ref)
        assert ran.exit_code == 0, ran.output
    assert penstock("rollback", "delay", "--reason", "it erred").exit_code == 0
    assert "was rolled back" in refusal("deploy", "delay", "--model", "late/2")

    text = (sample.root / "penstock.yaml").read_text()
    begin, end = text.index("gates:"), text.index("endpoints:")
    for looser in LOOSER:
        sample.write("penstock.yaml", text[:begin] + looser + text[end:])
        ran = penstock("gate", "run", "late/2")
        assert ran.exit_code == 0, ran.output
        for now in (None, text):
            if now is not None:
                sample.write("penstock.yaml", now)
            assert "was rolled back" in refusal("deploy", "delay", "--model", "late/2")
            assert "was rolled back" in refusal("promote", "late/2")
            assert "rolled back" in penstock("model", "list", "late").output
    assert json.loads(penstock("log", "--kind", "model.cleared", "--json").output) == []

    assert penstock("gate", "run", "late/2").exit_code == 0
    ran = penstock("deploy", "delay", "--model", "late/2", "--force", "--reason", "the store was at fault")
    assert ran.exit_code == 0, ran.output
    (event,) = json.loads(penstock("log", "--kind", "model.cleared", "--json").output)
    assert "the store was at fault" in event["summary"]
