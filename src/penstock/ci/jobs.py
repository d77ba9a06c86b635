"""CI jobs without a CI system: what is run, on what, with which rights. Renderers write them down."""

from __future__ import annotations

from dataclasses import dataclass, field

from penstock.ci.cron import numeric_cron
from penstock.ci.installing import Installation

MARKDOWN_FILE = "penstock-report.md"
JUNIT_FILE = "penstock-junit.xml"
GITLAB_TOKEN = "PENSTOCK_GITLAB_TOKEN"
"""A project's access token (role Reporter, scope api): what GitLab gives to jobs cannot comment."""
SIGNING_KEY = "PENSTOCK_SIGNING_KEY"
"""What verdicts are signed with: a job of a branch that nobody reviewed yet does not see it."""
PLOTS_FILE = "penstock-plots.html"
ENVIRONMENT = ".penstock-ci"
"""The virtual environment in a checkout whose machine shares its Python."""


@dataclass(frozen=True)
class AwsRole:
    """A role that the CI system's own token is taken for, instead of keys that last."""

    arn: str
    region: str


@dataclass(frozen=True)
class Job:
    """One validation on a fresh machine with the repository's full history.

    Args:
        python: the version of Python, `3.11`.
        install: commands that make the machine fit for it.
        validate: the command that decides; it ends with other than 0 to refuse.
        root: where the project lies in the repository.
        secrets: names of environment variables that the CI system fills.
        is_self_hosted: the machine is the team's own.
        schedule: when it runs without a push, as cron's five numeric fields in UTC.
        has_plots: the pipeline declares plots, which are drawn for the report.
        program: the command that installs Penstock alone, for the job that comments the report; None leaves that job out.
        role: whose rights the job has on AWS, where it has no keys.
        has_submodules: the repository has some, which the machine needs too.
        branch: the default branch, for a system that has to be told it.
        watches_data: it runs when told that data changed, too; such a run and one on schedule take new data in.
    """

    python: str
    timeout_min: int
    install: tuple[str, ...]
    validate: str
    root: str = "."
    secrets: tuple[str, ...] = field(default_factory=tuple)
    is_self_hosted: bool = False
    schedule: str | None = None
    watches_data: bool = False
    has_plots: bool = False
    program: str | None = None
    role: AwsRole | None = None
    has_submodules: bool = False
    branch: str = "main"

    @property
    def takes_new_data(self) -> str:
        """The flag of `validate` for a run that no push began; empty where nothing is watched."""
        return "--new-data" if self.watches_data else ""

    @property
    def reports(self) -> tuple[str, ...]:
        """Commands that write the report's files, also after a refusal."""
        return (
            f"penstock ci report > {MARKDOWN_FILE}",
            f"penstock ci report --junit {JUNIT_FILE}",
            *((f"penstock ci report --plots {PLOTS_FILE} || true",) if self.has_plots else ()),
        )

    @property
    def pages(self) -> tuple[str, ...]:
        """The files of the report that people read, relative to the project."""
        return (MARKDOWN_FILE, *((PLOTS_FILE,) if self.has_plots else ()))


STORE_SECRETS = ("PENSTOCK_STORE", "PENSTOCK_ARTIFACTS", SIGNING_KEY)
"""Where the registry is: without them a runner begins with an empty one and compares with no champion."""
REMOTE_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def validation_job(
    *,
    python: str,
    install: Installation,
    has_remote: bool,
    root: str = ".",
    is_self_hosted: bool = False,
    schedule: str | None = None,
    watches_data: bool = False,
    role: AwsRole | None = None,
) -> Job:
    """Return the job that validates every push: one `penstock ci run`, as on a developer's machine."""
    return Job(
        python=python,
        timeout_min=60,
        install=install.commands,
        program=install.program,
        validate="penstock ci run --rev HEAD" + (" --push" if has_remote else ""),
        root=root,
        secrets=(*STORE_SECRETS, *(REMOTE_SECRETS if has_remote and role is None else ())),
        is_self_hosted=is_self_hosted,
        schedule=None if schedule is None else numeric_cron(schedule),
        watches_data=watches_data,
        role=role,
    )
