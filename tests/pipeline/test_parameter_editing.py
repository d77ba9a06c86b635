from __future__ import annotations

from pathlib import Path

import pytest

from penstock.base.errors import Invalid, NotFound
from penstock.pipeline.overriding.overrides import parse_override
from penstock.pipeline.overriding.writing import apply_overrides
from penstock.pipeline.parameter_editing import set_values
from penstock.pipeline.parameters import load_values

CHANGES = {"train.rate": 0.5, "layers.1": 7, "a.new.key": [1, 2], "name": "é"}


def test_values_are_set_in_every_kind_of_file_and_comments_stay(tmp_path: Path) -> None:
    texts = {
        "params.yaml": "# why\ntrain: {rate: 0.1, keep: yes}  # fast\nlayers: [1, 2]\nname: x\n",
        "params.toml": '# why\nname = "x"\nlayers = [1, 2]\n[train] # fast\nrate = 0.1\nkeep = "yes"\n',
        "params.json": '{"train": {"rate": 0.1, "keep": "yes"}, "layers": [1, 2], "name": "x"}',
    }
    for name, text in texts.items():
        path = tmp_path / name
        path.write_text(text)
        set_values(path, CHANGES)
        assert load_values(path) == {
            "train": {"rate": 0.5, "keep": "yes"},
            "layers": [1, 7],
            "a": {"new": {"key": [1, 2]}},
            "name": "é",
        }, name
        if name != "params.json":
            assert "# why" in path.read_text()
            assert "# fast" in path.read_text()


def test_a_key_with_a_dot_in_its_name_is_that_key(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("a.b: 1\n")
    set_values(path, {"a.b": 2})
    assert path.read_text() == "a.b: 2\n"


def test_what_cannot_be_set_is_told_and_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    text = "a: 1\nlist: [1]\n"
    path.write_text(text)
    for key, problem in (("a.b", Invalid), ("list.3", NotFound), ("list.x.y", NotFound)):
        with pytest.raises(problem):
            set_values(path, {key: 1})
        assert path.read_text() == text
    with pytest.raises(NotFound):
        set_values(tmp_path / "none.yaml", {"a": 1})
    python = tmp_path / "params.py"
    python.write_text("a = 1\n")
    with pytest.raises(Invalid, match="no YAML, TOML or JSON"):
        set_values(python, {"a": 2})


FLAT = "# c\nname: abc # hi\n\n# about b\nb: true\n# end\n"
NESTED = """\
# head

train:
  rate: 0.1 # fast

  # of each layer
  sizes: [8, 4] # flow
steps:
# the first
- 1 # one

- name: a # two
  done: no
text: |
  kept
  whole
# end
"""
TOML = """\
# head
name = "abc" # hi

sizes = [
  8, # first
  4,
]
[train] # fast
rate = 0.10 # r
# end
"""


@pytest.mark.parametrize(
    ("file", "text", "key", "before", "after"),
    [
        ("params.yaml", FLAT, "name", "name: abc # hi", "name: xyz # hi"),
        ("params.yaml", FLAT, "b", "b: true", "b: xyz"),
        ("params.yaml", NESTED, "train.rate", "rate: 0.1 # fast", "rate: xyz # fast"),
        ("params.yaml", NESTED, "train.sizes.1", "[8, 4]", "[8, xyz]"),
        ("params.yaml", NESTED, "steps.0", "- 1 # one", "- xyz # one"),
        ("params.yaml", NESTED, "steps.1.name", "name: a # two", "name: xyz # two"),
        ("params.toml", TOML, "name", '"abc" # hi', '"xyz" # hi'),
        ("params.toml", TOML, "sizes.0", "8, # first", '"xyz", # first'),
        ("params.toml", TOML, "train.rate", "0.10 # r", '"xyz" # r'),
    ],
)
def test_a_value_is_changed_and_every_other_character_stays(
    tmp_path: Path, file: str, text: str, key: str, before: str, after: str
) -> None:
    path = tmp_path / file
    path.write_text(text)
    set_values(path, {key: "xyz"})
    assert path.read_text() == text.replace(before, after)
    (override,) = parse_override(f"{key}=xyz")
    assert apply_overrides(text, file, [override]) == text.replace(before, after)


def test_a_value_of_json_is_changed_and_order_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "params.json"
    text = '{\n    "b": {\n        "z": null,\n        "a": 1.5\n    },\n    "a": "é"\n}\n'
    path.write_text(text)
    set_values(path, {"b.z": True})
    assert path.read_text() == text.replace("null", "true")
