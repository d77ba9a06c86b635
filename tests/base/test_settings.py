"""Settings errors say what, where and what to do."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import Invalid
from penstock.base.settings import load_settings, parse_settings
from penstock.pipeline.definition import DefinitionSettings
from penstock.project.settings import ProjectSettings


class Inner(msgspec.Struct, frozen=True):
    limit: float
    name: str | None = None


class Outer(msgspec.Struct, frozen=True):
    title: str
    parts: dict[str, Inner] = {}
    steps: tuple[int, ...] = ()


def read(text: str) -> Outer:
    return parse_settings(text, Outer, "x.yaml")


def test_a_valid_document_becomes_the_struct() -> None:
    found = read("title: a\nparts:\n  one: {limit: 2}\nsteps: [1, 2]\n")
    assert found == Outer("a", {"one": Inner(2.0)}, (1, 2))


@pytest.mark.parametrize(
    ("text", "line", "said", "hint"),
    [
        ("title: a\ntitel: b\n", 2, "unknown key `titel`", "did you mean `title`?"),
        ("title: a\nparts:\n  one:\n    limitt: 1\n", 4, "unknown key `limitt` in `parts.one`", "`limit`"),
        ("title: a\nparts:\n  one: {}\n", 3, "missing key `limit` in `parts.one`", "x.yaml"),
        ("title: a\nsteps:\n  - 1\n  - no\n", 4, "in `steps[1]`", "x.yaml"),
        ("title: a\ntitle: b\n", 2, "stands twice", "x.yaml"),
        ("title: a\nparts: [1]\n", 2, "expected `object`, got `array`", "x.yaml"),
        ("", 1, "missing key `title`", "x.yaml"),
    ],
)
def test_an_error_names_line_field_and_remedy(text: str, line: int, said: str, hint: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(text)
    assert caught.value.message.startswith(f"x.yaml:{line}: ")
    assert said in caught.value.message
    assert hint in (caught.value.hint or "")


def test_text_that_is_not_yaml_is_refused_with_its_line() -> None:
    with pytest.raises(Invalid, match=r"x.yaml:3: not valid YAML"):
        read("title: a\nparts: {\n")


def test_a_day_that_the_calendar_does_not_have_is_refused_with_its_line() -> None:
    for day in ("2026-02-30", "2026-13-01T25:61:00Z"):
        with pytest.raises(Invalid, match=r"x.yaml:2: "):
            read(f"parts: {{}}\ntitle: {day}\n")


@given(
    st.dictionaries(
        st.text("abc", min_size=1, max_size=3), st.floats(allow_nan=False, allow_infinity=False), max_size=4
    ),
    st.lists(st.integers(-100, 100), max_size=4),
)
def test_what_is_written_is_read_back(parts: dict[str, float], steps: list[int]) -> None:
    document = {
        "title": "t",
        "parts": {key: {"limit": value} for key, value in parts.items()},
        "steps": steps,
    }
    found = read(yaml.safe_dump(document))
    assert {key: item.limit for key, item in found.parts.items()} == parts
    assert list(found.steps) == steps


@pytest.mark.parametrize("data", [b"title: \xff\xfe", b"title: a\x00b", b"title: \x80"])
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.yaml").write_bytes(data)
    with pytest.raises(Invalid, match=r"x\.yaml"):
        load_settings(tmp_path / "x.yaml", Outer)


def test_no_number_of_penstock_yaml_is_nan_or_endless_wherever_it_stands() -> None:
    endpoint = "endpoints:\n  e:\n    model: m@champion\n    "
    places = {
        "gates: [\n  drift: {psi_max: %s}]": "gates[0].drift.psi_max",
        "gates: [\n  slices: {columns: [a], metric: roc_auc, max_drop: %s}]": "gates[0].slices.max_drop",
        "gates: [\n  champion: {metric: roc_auc, max_drop: %s}]": "gates[0].champion.max_drop",
        "gates: [\n  metric: {name: a, min: %s}]": "gates[0].metric.min",
        "gates: [\n  baseline: {metric: mae, min_gain: %s}]": "gates[0].baseline.min_gain",
        "gates: [\n  python: {check: 'a.py:b', settings: {limit: %s}}]": "gates[0].python.settings.limit",
        "gates: [\n  python: {check: 'a.py:b', settings: {deep: [1, {x: %s}]}}]": "settings.deep[1].x",
        "gates: [\n  python: {check: 'a.py:b', settings: {deep: [{%s: 1}]}}]": "settings.deep[0]",
        "retention: {\n  windows_days: %s}": "retention.windows_days",
        f"{endpoint}monitor: {{window_s: %s}}": "endpoints.e.monitor.window_s",
        f"{endpoint}monitor: {{nonfinite_max_ratio: %s}}": "endpoints.e.monitor.nonfinite_max_ratio",
        f"{endpoint}guardrails: [{{drift: {{psi_max: %s}}}}]": "endpoints.e.guardrails[0].drift.psi_max",
        f"{endpoint}rollout: {{steps: [5, %s]}}": "endpoints.e.rollout.steps[1]",
        f"{endpoint}traffic: {{timeout_s: %s}}": "endpoints.e.traffic.timeout_s",
    }
    for place, field in places.items():
        for number in (".nan", ".inf", "-.INF", "1e999", '!!float "nan"'):
            text = f"project: p\n{place}" % number
            with pytest.raises(Invalid) as caught:
                parse_settings(text, ProjectSettings, "penstock.yaml")
            line = text[: text.index(number)].count("\n") + 1
            assert caught.value.message.startswith(f"penstock.yaml:{line}: `"), caught.value.message
            assert "is no finite number in `" in caught.value.message, caught.value.message
            assert str(caught.value.fields["field"]).endswith(field), text


def test_values_of_a_pipeline_may_be_endless_and_text_stays_text() -> None:
    found = parse_settings("vars: [{a: .inf}]\nstages: {}\n", DefinitionSettings, "dvc.yaml", is_finite=False)
    assert found.vars == [{"a": float("inf")}]
    text = "project: p\ngates: [{python: {check: 'a.py:b', settings: {word: '.nan', n: 1e308}}}]"
    assert parse_settings(text, ProjectSettings, "penstock.yaml").gates[0].settings.settings["word"] == ".nan"
