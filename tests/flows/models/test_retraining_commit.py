"""Which commit the pipeline is run again at, when a gate asks for it."""

from __future__ import annotations

import msgspec
import pytest

from penstock.base.errors import Invalid
from penstock.flows.chain.lineage import explain
from penstock.flows.models.evidence.retraining import commit_of
from penstock.flows.models.registering import describe_version, register_model
from penstock.registry.documents.origins import unknowns
from penstock.registry.versions import add_version
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


def test_a_version_whose_stage_was_not_recorded_yet_is_of_its_commit(trained: Sample) -> None:
    """A former release noted commit, lock, run and data of a model inside an output directory, and no output of its own."""
    now, _ = register_model(trained.project)
    then = msgspec.structs.replace(now.provenance, output=None, tree=None)
    with trained.project.database.write() as connection:
        version = add_version(connection, msgspec.structs.replace(now, model="former", provenance=then))
    assert commit_of(trained.project, version) == now.provenance.commit
    assert describe_version(version).endswith(f" from {(now.provenance.commit or '')[:7]}")
    assert unknowns(version) == {"stage": "which stage made it was not recorded yet"}
    links = explain(trained.project, version.ref).links
    assert not any("no stage made it" in one.text for one in links)
