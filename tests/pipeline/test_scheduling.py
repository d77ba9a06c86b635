"""Stages that do not need each other run at once, as far as there is room, and one thread writes what they made."""

from __future__ import annotations

import pytest

from penstock.base.errors import Invalid, PenstockError, Refused
from penstock.pipeline.definition import load_stages
from penstock.pipeline.lockfile import load_lock
from penstock.pipeline.running.conditions import Conditions, Resources
from stories.live import is_running, wait_until

from .conftest import Line

ALONE = "mkdir held && sleep 0.05 && rmdir held"  # fails beside another that does the same


def stages(**commands: str) -> str:
    """Return a definition: a stage that reads `in` and makes a file of its own name for each command."""
    lines = [
        f"  {name}:\n    cmd: {text} && cp in {name}.out\n    deps: [in]\n    outs: [{name}.out]\n"
        for name, text in commands.items()
    ]
    return "stages:\n" + "".join(lines)


def with_meta(definition: str, meta: str) -> str:
    """Give each stage of a definition the same conditions."""
    return definition.replace("    deps:", f"    meta: {{penstock: {meta}}}\n    deps:")


def wait_for(name: str) -> str:
    """Return a command that ends when a file is there, and fails when it never comes."""
    return f"for i in $(seq 30000); do [ -e {name} ] && break; sleep 0.01; done; [ -e {name} ]"


def test_independent_stages_run_at_once_and_the_lock_keeps_the_order_of_the_plan(line: Line) -> None:
    meet = stages(
        a=f"touch a.up && {wait_for('b.up')} && {wait_for('b.down')}", b=f"touch b.up && {wait_for('a.up')}"
    )
    after = "  c:\n    cmd: cat a.out b.out > c.out\n    deps: [a.out, b.out]\n    outs: [c.out]\n"
    line.put(**{"in": "1", "dvc_yaml": meet.replace("cp in b.out", "cp in b.out && touch b.down") + after})
    assert line.repro(jobs=2) == {"a": "ran", "b": "ran", "c": "ran"}
    assert list(load_lock(line.root)) == ["a", "b", "c"]
    assert line.repro(jobs=2) == {"a": "up to date", "b": "up to date", "c": "up to date"}
    assert (line.root / ".dvc/tmp/rwlock").read_text() == "{}"


def test_after_a_failure_what_runs_is_finished_and_the_rest_named(line: Line) -> None:
    # what a stage uses is given up when its end is seen, so b ends after that
    until_seen = "for i in $(seq 30000); do grep -q a.out .dvc/tmp/rwlock || break; sleep 0.01; done"
    fails = stages(a=f"{wait_for('b.up')} && false", b=f"touch b.up && {until_seen}", d="true")
    line.put(**{"in": "1", "dvc_yaml": fails + "  c: {cmd: cp a.out c.out, deps: [a.out], outs: [c.out]}\n"})
    with pytest.raises(Refused, match="stage `a` failed") as caught:
        line.repro(jobs=2)
    assert set(load_lock(line.root)) == {"b"}
    assert caught.value.fields["not_run"] == ["d", "c"]
    assert caught.value.hint is not None and "not run: d, c" in caught.value.hint
    with pytest.raises(Refused, match="stage `a` failed") as caught:
        line.repro(jobs=2, on_error="keep going")
    assert set(load_lock(line.root)) == {"b", "d"}
    assert caught.value.fields["skipped"] == ["c"]


def test_what_shares_a_mutex_or_asks_for_every_processor_runs_alone(line: Line) -> None:
    for meta in ("{mutex: port}", "{mutex: [x, port]}", "{resources: {cpus: 3}}"):
        line.put(**{"in": meta, "dvc_yaml": with_meta(stages(a=ALONE, b=ALONE, c=ALONE), meta)})
        assert set(line.repro(jobs=3).values()) == {"ran"}


def test_a_stage_is_tried_again_as_often_as_it_says(line: Line) -> None:
    flaky = "echo x >> tries; [ ! -e a.out ] && touch a.out && test $(wc -l < tries) -ge 3"
    line.put(**{"in": "1", "dvc_yaml": with_meta(stages(a=flaky), "{retries: 2}")})
    assert line.repro() == {"a": "ran"}
    line.put(**{"in": "2", "tries": ""})
    line.put(dvc_yaml=with_meta(stages(a=flaky), "{retries: 1}"))
    with pytest.raises(Refused, match=r"exited with 1 \(2 attempts\)"):
        line.repro()


def test_a_stage_out_of_time_is_ended_with_all_it_started(line: Line) -> None:
    slow = "(while true; do sleep 0.05; done) & echo $! > child; wait"
    line.put(**{"in": "1", "dvc_yaml": with_meta(stages(a=slow), "{timeout: 2}")})
    with pytest.raises(Refused, match=r"was ended after 2 s"):
        line.repro()
    child = line.root / "child"  # time may be up before it is written
    wait_until(
        lambda: not child.exists() or not any(is_running(int(pid)) for pid in child.read_text().split())
    )


def test_conditions_reach_the_command_and_do_not_make_it_stale(line: Line) -> None:
    plain = stages(a="echo $GREETING > said")
    line.put(**{"in": "1", "dvc_yaml": with_meta(plain, "{env: {GREETING: hello, N: 1}}")})
    assert line.repro() == {"a": "ran"}
    assert line.read("said") == "hello\n"
    line.put(dvc_yaml=plain)
    assert line.repro() == {"a": "up to date"}


def test_what_no_machine_has_is_refused_before_anything_runs(line: Line) -> None:
    line.put(**{"in": "1", "dvc_yaml": with_meta(stages(a="touch ran"), "{resources: {memory: 900TB}}")})
    with pytest.raises(
        Refused, match=r"stage `a` asks for 900000\.0 GB of memory: this machine has"
    ) as caught:
        line.repro()
    assert caught.value.code == "pipeline.infeasible"
    assert not (line.root / "ran").exists()


def test_a_failed_stage_names_its_log_and_how_to_run_it_alone(line: Line) -> None:
    line.put(**{"in": "1", "dvc_yaml": stages(a="seq 30 && echo last && exit 3")})
    with pytest.raises(Refused) as caught:
        line.repro(logs=line.root / "logs")
    assert (line.root / "logs/a.log").read_text().splitlines() == [*map(str, range(1, 31)), "last"]
    assert caught.value.hint is not None
    assert str(line.root / "logs/a.log") in caught.value.hint
    assert "penstock repro -s a" in caught.value.hint


def test_conditions_are_read_with_their_units(line: Line) -> None:
    meta = (
        "{retries: 2, timeout: 1.5m, env: {A: 1}, mutex: gpu, resources: {cpus: 0.5, memory: 2GiB, gpus: 1}}"
    )
    line.put(dvc_yaml=with_meta(stages(a="true"), meta))
    (stage,) = load_stages(line.root)
    assert stage.conditions == Conditions(2, 90.0, {"A": "1"}, Resources(0.5, 2 << 30, 1.0), ("gpu",))


def test_wrong_conditions_name_file_and_line(line: Line) -> None:
    wrong = [
        ("retrys: 1", "unknown key `retrys`", "did you mean `retries`?"),
        ("retries: -1", "whole number", ""),
        ("timeout: soon", "a time such as 90s", ""),
        ("timeout: 0", "a time such as 90s", ""),
        ("env: [A]", "expected a mapping", ""),
        ("env: {a-b: 1}", "no name of a variable", ""),
        ("env: {A: [1]}", "quote it", ""),
        ("mutex: [1]", "list of names", ""),
        ("resources: {cpu: 1}", "unknown key `cpu`", "did you mean `cpus`?"),
        ("resources: {memory: much}", "512MB", ""),
        ("resources: {gpus: true}", "0 or more", ""),
    ]
    for text, problem, hint in wrong:
        each = "stages:\n  a:\n    cmd: x\n    meta:\n      other: 1\n      penstock:\n        " + text + "\n"
        many = (
            "stages:\n  a:\n    foreach: [1]\n    do:\n      cmd: x ${item}\n      meta:\n        penstock:\n"
        )
        for definition, at in ((each, 7), (f"{many}          {text}\n", 8)):
            line.put(dvc_yaml=definition)
            with pytest.raises(Invalid, match=problem) as caught:
                load_stages(line.root)
            assert f"dvc.yaml:{at}: stage `a" in caught.value.message, text
            assert hint in (caught.value.hint or "")


def test_an_interruption_ends_what_runs_and_lets_go_of_its_paths(line: Line) -> None:
    class Stop(BaseException):
        pass

    def say(*_: object) -> None:
        raise Stop

    line.put(**{"in": "1", "dvc_yaml": stages(a="echo $$ > pid; echo up; sleep 100", b="sleep 100")})
    line.printed = say  # type: ignore[method-assign]
    with pytest.raises(Stop):
        line.repro(jobs=2)
    assert not is_running(int(line.read("pid")))
    assert (line.root / ".dvc/tmp/rwlock").read_text() == "{}"
    assert load_lock(line.root) == {}


def test_errors_of_several_stages_are_told_together(line: Line) -> None:
    line.put(
        **{"in": "1", "dvc_yaml": stages(a=f"touch a.up; {wait_for('b.up')}; false", b="touch b.up; exit 4")}
    )
    with pytest.raises(PenstockError, match="also failed: `") as caught:
        line.repro(jobs=2)
    assert caught.value.code == "pipeline.command_failed"
