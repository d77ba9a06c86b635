"""A user's own checks and commands: their code is bound to the verdict, and what they do not say clearly never passes."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from penstock.base.errors import Conflict, Invalid, Unavailable
from penstock.registry.gates.catalogue import OWN, find_gate, list_gates, merge_gates
from penstock.registry.gates.settings import settings_digest, unbound_codes
from registry.gates.asking import Scored, ask, gates

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
def crashes(evidence): import os, signal; os.kill(os.getpid(), signal.SIGSEGV)
def quits(evidence): import os; os._exit(0)
def hungry(evidence): import numpy; return bool(numpy.ones(1 << 28).sum() > 0)
def secret(evidence): import os; return "PENSTOCK_SIGNING_KEY" not in os.environ
def looks(evidence):
    rows, held = evidence.test_table(), evidence.held_out
    assert held.champion == "m/1" and evidence.candidate is None
    ours = abs(held.labels() - held.candidate_scores()).mean()
    return {"passed": ours < abs(held.labels() - held.champion_scores()).mean(), "n": rows.height, "observed": ours}
def asks(evidence): return evidence.held_out.groups("nosuch")
def counts(evidence): return {"passed": True, "observed": 3, "n": 7.0}
def miscounts(evidence): return {"passed": True, "n": "many"}
def half(evidence): return {"passed": True, "interval": [1]}
def prints(evidence): print("noise"); return {"passed": True, "sentence": "one\\ntwo"}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "gates").mkdir()
    (tmp_path / "gates/mine.py").write_text(MINE)
    (tmp_path / "gates/lib.py").write_text("LIMIT = 3\n")
    return tmp_path


def test_modules_beside_the_file_and_in_src_are_found_and_bound_to(root: Path) -> None:
    (root / "src").mkdir()
    (root / "src/limits.py").write_text("LEAST = 1\n")
    (root / "gates/beside.py").write_text("from limits import LEAST\nYES = LEAST == 1\n")
    (root / "gates/asking.py").write_text("from beside import YES\n\ndef check(evidence): return YES\n")
    assert ask("python: gates/asking.py:check", root=root).status == "pass"
    entries = gates("- python: gates/asking.py:check")
    digests = {settings_digest(entries, root)}
    for name in ("src/limits.py", "gates/beside.py", "gates/asking.py"):
        (root / name).write_text((root / name).read_text() + "# more\n")
        digests.add(settings_digest(entries, root))
    assert len(digests) == 4


def test_only_a_clear_yes_of_a_users_check_passes(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = {
        "plain": "pass", "no": "fail", "outcome": "pass", "nothing": "error", "odd": "error", "more": "error",
        "fails": "error", "leaves": "error", "wrong": "error", "absent": "error", "quits": "error",
        "numpys": "pass", "numbered": "fail", "half": "error",
        "miscounts": "error",
    }  # fmt: skip
    for name, status in said.items():
        assert ask(f"python: gates/mine.py:{name}", root=root).status == status, name
    assert ask("python: gates/none.py:check", root=root).status == "error"
    counted = ask("python: gates/mine.py:counts", root=root)
    assert [type(one) for one in (counted.observed, counted.n)] == [float, int], (
        "as the store gives them back"
    )
    printed = ask("python: gates/mine.py:prints", root=root)
    assert (printed.status, printed.sentence, printed.evidence["output"]) == ("pass", "one two", ["noise"])
    assert capfd.readouterr().out == ""
    hung = ask("python: {check: 'gates/mine.py:hangs', timeout_s: 0.1}", root=root)
    assert (hung.status, "no answer in 0.1 s" in hung.sentence) == ("error", True)
    crashed = ask("python: gates/mine.py:crashes", root=root)
    assert (crashed.status, "ended by SIGSEGV" in crashed.sentence) == ("error", True)
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


def test_a_users_check_has_bounds_no_key_and_sees_what_the_gate_sees(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_SIGNING_KEY", "secret")
    hungry = ask("python: {check: 'gates/mine.py:hungry', memory_mb: 1024}", root=root)
    assert hungry.status == "error"
    assert "MemoryError" in hungry.sentence
    assert ask("python: gates/mine.py:secret", root=root).status == "pass"
    labels = np.arange(300) % 2.0
    frame = pl.DataFrame({"y": labels})
    rows = Scored(labels, labels + 0.1, frame, labels + 0.2)
    found = ask("python: gates/mine.py:looks", root=root, tables={"test": frame}, rows=rows)
    assert (found.status, found.n) == ("pass", 300), found.sentence
    assert found.observed == pytest.approx(0.1)
    wrong = ask("python: gates/mine.py:asks", root=root, rows=rows)
    assert wrong.status == "error"
    assert "nosuch" in wrong.sentence


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


def test_what_a_gates_code_imports_is_bound_with_it_and_what_cannot_be_told_is_said(root: Path) -> None:
    files = {
        "gates/__init__.py": "",
        "gates/deep.py": "from . import lib as ours\nfrom .lib import LIMIT\nimport pandas.io\n",
        "gates/mine.py": "from gates import deep\nimport json\ndef check(evidence):\n    import shop.prices\n",
        "gates/shown.py": "import importlib\nimportlib.import_module('shop.prices')\n",
        "gates/stray.py": "import sys\nsys.path.insert(0, 'elsewhere')\nimport far\n",
        "src/shop/prices.py": "P = 1\n",
        "src/shop/__init__.py": "",
        "tests/unit/test_it.py": "import near\nfrom gates import deep\n",
        "tests/unit/near.py": "N = 1\n",
        "tests/conftest.py": "import beside\n",
        "tests/beside.py": "",
        "check.py": "import gates.lib\n",
        "unread.py": "",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    gate = {"gates/lib.py", "gates/deep.py", "gates/__init__.py"}
    shop = {"src/shop/prices.py", "src/shop/__init__.py"}
    tests = {"tests/unit/test_it.py", "tests/unit/near.py", "tests/conftest.py", "tests/beside.py"}
    asked = {
        "python: gates/mine.py:check": gate | shop | {"gates/mine.py"},
        "python: gates/shown.py:check": shop | {"gates/shown.py"},
        "pytest: {tests: [tests/unit/test_it.py]}": gate | tests,
        "command: {run: python check.py, files: [check.py]}": {
            "check.py",
            "gates/lib.py",
            "gates/__init__.py",
        },
    }
    for text, bound in asked.items():
        entry = gates(f"  - {text}")
        before = settings_digest(entry, root)
        for name in (*files, "gates/lib.py"):
            whole = (root / name).read_text()
            (root / name).write_text(f"{whole}\nX = 1\n")
            assert (settings_digest(entry, root) != before) == (name in bound), (text, name)
            (root / name).write_text(whole)
        assert settings_digest(entry, root) == before
        assert unbound_codes(root, entry) == []
    (told,) = unbound_codes(root, gates("  - python: gates/stray.py:check"))
    assert told.startswith("gates/stray.py:2 runs code that it does not name in an `import`")
    assert unbound_codes(root, gates("  - python: {check: 'gates/stray.py:check', files: [unread.py]}")) == []


def test_a_command_passes_by_its_exit_code_unless_it_says_otherwise(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_SIGNING_KEY", "secret")
    assert ask("command: {run: 'true'}", root=root).status == "pass"
    failed = ask("command: {run: 'echo so it is; exit 3'}", root=root)
    assert (failed.status, failed.sentence) == ("fail", "`echo so it is; exit 3` ended with 3: so it is")
    said = ask(
        """command: {run: 'echo "{\\"sentence\\": \\"fine\\", \\"observed\\": 0.5, \\"n\\": 7}"'}""",
        root=root,
    )
    assert (said.status, said.sentence.endswith(": fine"), said.observed, said.n) == ("pass", True, 0.5, 7)
    otherwise = ask("""command: {run: 'echo "{\\"passed\\": false}"'}""", root=root)
    assert (otherwise.status, "says that it has not passed" in otherwise.sentence) == ("error", True)
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
    wrong |= {
        "python: {check: 'a.py:b', memory_mb: 1}": "`memory_mb` is at least 256",
        "replay: {requests: 5}": "at most `requests`",
        "replay: {max_changed_ratio: 1}": "are in [0, 1)",
        "pytest: {tests: [tests]}": "no file of tests",
        "pytest: {tests: []}": "needs `tests`",
        "approval: {people: 2, of: [ada]}": "at most as many as `of` names",
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


LUCKY = """\
import msgspec
from penstock.registry.gates.check import Gate, Outcome

class Luck(msgspec.Struct, frozen=True, kw_only=True):
    share: float

    def __post_init__(self):
        if not 0 < self.share < 1:
            raise ValueError("`share` is in (0, 1)")

def check(gate, evidence):
    return Outcome("pass" if gate.share > 0.4 else "fail", f"luck of {gate.share}", observed=gate.share)

GATE = Gate(settings=Luck, check=check, title=lambda gate: "luck")
WRONG = Gate(settings=Luck, check=lambda gate, evidence: Outcome("waiting", "later"), title=lambda gate: "luck")
"""


def test_a_gate_of_a_foreign_package_is_asked_like_one_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    (site / "lucky-0.1.dist-info").mkdir(parents=True)
    (site / "lucky-0.1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: lucky\nVersion: 0.1\n")
    (site / "lucky-0.1.dist-info/entry_points.txt").write_text(
        "[penstock.gates]\nluck = lucky:GATE\nputs_off = lucky:WRONG\nabsent = lucky_not_there:GATE\nnone = lucky:check\n"
    )
    (site / "lucky.py").write_text(LUCKY)
    monkeypatch.syspath_prepend(str(site))
    for cached in (list_gates, find_gate):
        cached.cache_clear()
    try:
        assert ask("luck: {share: 0.5}").status == "pass"
        unlucky = ask("luck: {share: 0.1}")
        assert (unlucky.status, unlucky.sentence, unlucky.asked) == ("fail", "luck of 0.1", {"share": 0.1})
        assert ask("puts_off: {share: 0.5}").status == "error"  # only approvals may wait
        for text, said in (
            ("luck: {share: 2}", "`share` is in (0, 1)"),
            ("luck: {shar: 0.5}", "did you mean `share`?"),
            ("lucc: {share: 0.5}", "did you mean `luck`?"),
        ):
            with pytest.raises(Invalid) as caught:
                gates(f"  - {text}")
            assert said in f"{caught.value.message} {caught.value.hint}", text
        with pytest.raises(Unavailable, match="lucky_not_there, which is not installed"):
            find_gate("absent")
        with pytest.raises(Invalid, match="lucky:check is no gate"):
            find_gate("none")
    finally:
        monkeypatch.undo()
        for cached in (list_gates, find_gate):
            cached.cache_clear()
