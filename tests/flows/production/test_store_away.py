"""An artifact store that is away says nothing of the files in it: no door and no check calls them changed."""

from __future__ import annotations

import json

import pytest

from penstock.flows.models.verifying import verify_versions
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from projects import PENSTOCK_YAML, Sample
from servers.forking import run_penstock
from servers.ports import reserve

PLAIN = "  plain:\n    model: late@champion\n    guardrails:\n      - errors: {max_ratio: 0.05}\nci:\n"


@pytest.mark.slow
def test_doors_and_checks_say_that_files_cannot_be_read(released: Sample) -> None:
    (released.root / "penstock.yaml").write_text(PENSTOCK_YAML.replace("ci:\n", PLAIN))
    project = released.project
    for endpoint in ("delay", "plain"):
        apply_deployment(project, plan_deployment(project, endpoint, "late@champion"))
    assert all(one.is_intact for one in verify_versions(project))
    released.close()
    away = {
        "PENSTOCK_ARTIFACTS": "s3://arts/fl",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{reserve()}",
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
    }
    for words in (("deploy", "delay", "--model", "late/1"), ("model", "verify", "late/1")):
        done = run_penstock(released.root, *words, **away)
        said = done.stdout + done.stderr
        assert done.returncode == 5, said
        assert (
            "cannot be read, so they were not compared" in said and "not those that were judged" not in said
        )
        assert "penstock doctor" in said
    found = json.loads(run_penstock(released.root, "monitor", "status", "--json", **away).stdout)
    problems = {one["name"]: one["problem"] for one in found}
    assert "the reference profile of late/1 cannot be read" in problems["delay"]
    assert problems["plain"] == ""
