"""`penstock artifacts get`: a registered version of what another repository declares."""

from __future__ import annotations

from typing import Unpack

import click

from penstock.cli.data.imports import FORCE, JOBS, GetFlags, override_options, overrides_of, target_of
from penstock.cli.many_values import ManyValues
from penstock.cli.output import Session, json_option, pass_session


@click.group()
def artifacts() -> None:
    """Download registered artifacts of DVC repositories."""


class ArtifactFlags(GetFlags):
    """The options of `artifacts get`."""

    version: str | None
    stage: str | None


@artifacts.command(cls=ManyValues)
@click.argument("url")
@click.argument("name")
@click.option(
    "--rev", "version", metavar="VERSION", help="The version, such as v1.2.0 (default: the highest)."
)
@click.option("--stage", help="What is in this stage now.")
@click.option("-o", "--out", type=click.Path(), help="Where to put it.")
@click.option("--show-url", is_flag=True, help="Print where the data are stored, and download nothing.")
@override_options
@FORCE
@JOBS
@json_option
@pass_session
def get(session: Session, /, url: str, name: str, out: str | None, **options: Unpack[ArtifactFlags]) -> None:
    """Download a registered version of an artifact: an entry under `artifacts` in the dvc.yaml of a repository.

    Versions and stages are annotated git tags, as DVC and GTO make them: NAME@v1.2.0 and NAME#STAGE.
    """
    from penstock.flows.sources.artifacts import artifact_path, find_commit
    from penstock.flows.sources.getting import get_path, storage_url
    from penstock.flows.sources.repositories import open_source

    version, stage = options["version"], options["stage"]
    if version and stage:
        raise click.UsageError("--rev and --stage exclude each other")
    commit = find_commit(url, name, session.directory, version=version, stage=stage)
    with open_source(url, commit, base=session.directory, overrides=overrides_of(options)) as source:
        path = artifact_path(source, name)
        if options["show_url"]:
            found = storage_url(source, path)
            session.emit({"url": found}, found)
            return
        target = target_of(session, path, out)
        get_path(source, path, target, force=options["force"], jobs=options["jobs"])
    session.emit({"path": str(target), "commit": commit}, "")
