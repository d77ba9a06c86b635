"""Prometheus rules from the policies in the store, and promtool's word on them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from penstock.base.errors import NotFound, Refused
from penstock.base.files import write_atomic
from penstock.monitoring.policies import policy_or_none_yet
from penstock.monitoring.prometheus.writing import RuleFile, make_rules
from penstock.project.project import Project
from penstock.serving.deployments import get_revision, list_endpoints
from penstock.serving.workers import list_batch_endpoints

NAME = "penstock.rules.yml"
MAX_SAID = 4000


def rules_of(project: Project, names: Sequence[str] = (), server_url: str = "") -> RuleFile:
    """Return the rules of some endpoints, or of all.

    Raises:
        NotFound: no such endpoint.
    """
    with project.database.read() as connection:
        revisions = [get_revision(connection, one) for one in names] or list_endpoints(connection)
        policies = {
            one.endpoint: policy_or_none_yet(connection, one.endpoint, one.model) for one in revisions
        }
        batch = list_batch_endpoints(connection)
    return make_rules(
        {name: one.settings for name, one in policies.items()},
        server_url,
        batch=batch,
        unwatched={name for name in batch if name in policies and not policies[name].number},
    )


def tests_beside(rules: Path) -> Path:
    """Return where the tests of a file of rules are written.

    Example:
        >>> str(tests_beside(Path("etc/penstock.rules.yml")))
        'etc/penstock.rules.test.yml'
    """
    return rules.with_name(f"{rules.stem}.test{rules.suffix or '.yml'}")


def write_rules(rules: RuleFile, place: Path, *, with_tests: bool) -> None:
    """Write the file of rules, and beside it that of their tests."""
    write_atomic(place, rules.text.encode())
    if with_tests:
        write_atomic(tests_beside(place), rules.render_tests(place.name).encode())


def prove_rules(rules: RuleFile, place: Path | None = None) -> int:
    """Let promtool check the rules and run their tests; return how many cases held.

    Args:
        place: where `write_rules` wrote them; None uses a directory that is removed again.

    Raises:
        NotFound: promtool is not installed.
        Refused: a rule does not do what its cases say.
    """
    promtool = shutil.which("promtool")
    if promtool is None:
        raise NotFound(
            "promtool is not installed; it comes with Prometheus",
            code="monitoring.promtool_missing",
            hint="apt-get install prometheus",
        )
    if place is None:
        with tempfile.TemporaryDirectory(prefix="penstock-rules-") as folder:
            inside = Path(folder) / NAME
            write_rules(rules, inside, with_tests=True)
            return prove_rules(rules, inside)
    for words in (["check", "rules", place.name], ["test", "rules", tests_beside(place).name]):
        done = subprocess.run(
            [promtool, *words],
            cwd=place.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Refused(
                f"promtool {' '.join(words)} failed: {done.stdout.strip()[:MAX_SAID]}",
                code="monitoring.rules_failed",
                hint="penstock monitor rules writes them anew from the policies",
            )
    return sum(len(one.cases) for one in rules.alerts)
