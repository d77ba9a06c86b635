"""A user's own checks and commands: their code is bound to the verdict, and what they do not say clearly never passes."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from penstock.base.errors import Conflict, Invalid
from penstock.registry.gates.catalogue import OWN, find_gate, merge_gates
from penstock.registry.gates.settings import settings_digest
from registry.gates.asking import ask, gates

MINE = """\
from gates.lib import LIMIT
from penstock.registry.gates.check import Outcome

def plain(evidence): return True
def no(evidence): return False
def told(evidence, settings): return {"passed": settings["n"] > LIMIT, "sentence": "counted", "observed": 4.5, "n": 3, "interval": (1, 2)}
def outcome(evidence): return Outcome("pass", "fine")
def nothing(evidence): pass
def odd(evidence): return {"passed": 1}
def more(evidence): return {"passed": True, "colour": "red"}
def fails(evidence): raise KeyError("x")
def leaves(evidence): raise SystemExit(0)
def wrong(evidence): return Outcome("good", "fine")
def numpys(evidence): import numpy; return numpy.float64(2) > 1
def numbered(evidence): import numpy; return {"passed": numpy.bool_(False)}
def hangs(evidence): import time; time.sleep(60); return True
def half(evidence): return {"passed": True, "interval": [1]}
def prints(evidence): print("noise"); return {"passed": True, "sentence": "one\\ntwo"}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "gates").mkdir()
    (tmp_path / "gates/mine.py").write_text(MINE)
    (tmp_path / "gates/lib.py").write_text("LIMIT = 3\n")
    return tmp_path


def test_only_a_clear_yes_of_a_users_check_passes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = {
        "plain": "pass", "no": "fail", "outcome": "pass", "nothing": "error", "odd": "error", "more": "error",
        "fails": "error", "leaves": "error", "wrong": "error", "absent": "error",
        "numpys": "pass", "numbered": "fail", "half": "error", "prints": "pass",
    }  # fmt: skip
    for name, status in said.items():
        assert ask(f"python: gates/mine.py:{name}", root=root).status == status, name
    assert ask("python: gates/none.py:check", root=root).status == "error"
    assert ask("python: gates/mine.py:prints", root=root).sentence == "one two"
    assert capsys.readouterr().out == ""
    hung = ask("python: {check: 'gates/mine.py:hangs', timeout_s: 0.1}", root=root)
    assert (hung.status, "no answer in 0.1 s" in hung.sentence) == ("error", True)
    absent = "python: {check: 'gates/mine.py:plain', files: [gates/libb.py]}"
    assert ask(absent, root=root).status == "error", "a verdict would be bound to a file that is not there"
    found = ask("python: {check: 'gates/mine.py:told', settings: {n: 4}}", root=root)
    assert (found.status, found.sentence, found.observed, found.n, found.interval) == (
        "pass",
        "counted",
        4.5,
        3,
        (1.0, 2.0),
    )
    assert ask("python: {check: 'gates/mine.py:told', settings: {n: 3}}", root=root).status == "fail"
    assert "KeyError: 'x'" in ask("python: gates/mine.py:fails", root=root).sentence


def test_one_byte_of_a_gates_code_is_another_gate(root: Path) -> None:
    (root / "schema.json").write_text('{"columns": {}}')
    asked = {
        "gates/mine.py": "python: gates/mine.py:plain",
        "gates/lib.py": "python: {check: 'gates/mine.py:plain', files: [gates/lib.py]}",
        "schema.json": "schema: {table: t.csv, schema: schema.json}",
    }
    for file, text in asked.items():
        entry = gates(f"  - {text}")
        before = settings_digest(entry, root)
        assert before == settings_digest(entry, root)
        whole = (root / file).read_text()
        (root / file).write_text(whole + " ")
        assert settings_digest(entry, root) != before, file
        (root / file).unlink()
        assert settings_digest(entry, root) != before, file
        (root / file).write_text(whole)
        assert settings_digest(entry, root) == before, file
    command = gates("  - command: {run: sh check.sh, files: [gates/lib.py]}")
    before = settings_digest(command, root)
    (root / "gates/lib.py").write_text("LIMIT = 4\n")
    assert settings_digest(command, root) != before


def test_a_command_passes_by_its_exit_code_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_SIGNING_KEY", "secret")
    assert ask("command: {run: 'true'}", root=root).status == "pass"
    failed = ask("command: {run: 'echo so it is; exit 3'}", root=root)
    assert (failed.status, failed.sentence) == ("fail", "`echo so it is; exit 3` ended with 3: so it is")
    said = ask(
        """command: {run: 'echo "{\\"sentence\\": \\"fine\\", \\"observed\\": 0.5, \\"n\\": 7}"'}""",
        root=root,
    )
    assert (said.status, said.sentence.endswith(": fine"), said.observed, said.n) == ("pass", True, 0.5, 7)
    assert ask("command: {run: 'no-such-program-here'}", root=root).status == "fail"
    assert ask("command: {run: test -z $PENSTOCK_SIGNING_KEY}", root=root).status == "pass"
    assert ask("command: {run: 'sleep 600 & sleep 600', timeout_s: 0.2}", root=root).status == "error"


def test_settings_that_cannot_be_meant_are_refused_where_they_stand() -> None:
    wrong = {
        "python: gates/mine.py": "`FILE.py:FUNCTION`",
        "python: ../mine.py:check": "does not lie in the repository",
        "python: /mine.py:check": "does not lie in the repository",
        "python: {check: 'a.py:b', files: [../x]}": "does not lie in the repository",
        "command: {run: ''}": "needs `run`",
        "slices: {columns: [], metric: roc_auc, max_drop: 0.1}": "needs `columns`",
        "slices: {columns: [a], metric: roc_auc}": "needs `columns`",
        "slices: {columns: [a], metric: f2, max_drop: 0.1}": "roc_auc",
        "drift: {psi_max: 0}": "`psi_max` is above 0",
        "leakage: {max_overlap: 1}": "`max_overlap` is in [0, 1)",
        "calibration: {}": "needs `max_error` or `max_brier`",
        "baseline: {metric: mae, min_gain: -1}": "`min_gain` is at least 0",
        "robustness: {noise: 0}": "`noise` and `tolerance` are above 0",
        "latency: {}": "needs `p50_ms`",
        "latency: {p95_ms: 5, requests: 3}": "`requests` is at least 20",
        "size: {}": "needs `max_mb` or `max_ratio`",
        "parity: {rows: 0}": "`rows` is at least 1",
        "provenance: {require: [luck]}": "not luck",
        "staleness: {max_days: 3, table: t.csv}": "`table` needs `time`",
        "latency: {p95: 5}": "did you mean `p95_ms`?",
        "paritty: {rows: 5}": "did you mean `parity`?",
    }
    for text, said in wrong.items():
        with pytest.raises(Invalid) as caught:
            gates(f"  - metric: {{name: a, min: 0}}\n  - {text}")
        assert said in f"{caught.value.message} {caught.value.hint}", text
        assert caught.value.message.startswith("penstock.yaml:4"), text


def test_other_packages_add_gates_and_take_no_name_that_is_taken() -> None:
    point = EntryPoint("luck", "lucky.gates:GATE", "penstock.gates")
    assert merge_gates([point])["luck"] == "lucky.gates:GATE"
    for wrong in ("metric", "severity"):
        with pytest.raises(Conflict, match=f"the gate '{wrong}' is given by"):
            merge_gates([EntryPoint(wrong, "lucky.gates:GATE", "penstock.gates")])
    with pytest.raises(Conflict):
        merge_gates([point, EntryPoint("luck", "other:GATE", "penstock.gates")])
    with pytest.raises(Invalid, match="there is no gate 'luck'"):
        find_gate("luck")
    assert all(find_gate(name).settings for name in OWN)
    described = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
    assert described["project"]["entry-points"]["penstock.gates"] == OWN
