"""Which commit the pipeline is run again at, when a gate asks for it."""

from __future__ import annotations

import pytest

from penstock.base.errors import Invalid
from penstock.flows.models.evidence.retraining import commit_of
from penstock.workspace import open_workspace
from projects import Sample


def test_a_change_of_penstock_yaml_alone_made_nothing_of_the_model_and_others_are_named(
    sample: Sample,
) -> None:
    project = open_workspace(sample.root)
    head = project.git.head()
    settings = sample.root / "penstock.yaml"
    settings.write_text(settings.read_text() + "# another gate\n")
    assert commit_of(project, None) == head
    (sample.root / "params.yaml").write_text("features: [hour]\nstrength: 3.0\n")
    with pytest.raises(Invalid, match=r"not committed is params\.yaml"):
        commit_of(project, None)
    settings.rename(sample.root / "other.yaml")
    with pytest.raises(Invalid, match=r"not committed is other\.yaml, params\.yaml"):
        commit_of(project, None)
    project.close()
