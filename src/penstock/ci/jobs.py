"""CI jobs without a CI system: what is run, on what, with which rights. Renderers write them down."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Step:
    """One command of a job; `always` runs it after a failure too."""

    name: str
    command: str
    always: bool = False


@dataclass(frozen=True)
class Job:
    """Steps on a fresh machine with the repository's full history.

    `secrets` are names of environment variables the CI system fills; `root` is where the project lies
    in the repository.
    """

    name: str
    python: str
    timeout_min: int
    steps: tuple[Step, ...]
    root: str = "."
    secrets: tuple[str, ...] = field(default_factory=tuple)


STORE_SECRETS = ("PENSTOCK_STORE", "PENSTOCK_ARTIFACTS")
"""Where the registry is: without them a runner begins with an empty one and compares with no champion."""
REMOTE_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def validation_job(*, python: str, requirement: str, has_remote: bool, root: str = ".") -> Job:
    """Return the job that validates every push: one `penstock ci run`, as on a developer's machine."""
    install = f"python -m pip install {requirement}"
    return Job(
        name="validate",
        python=python,
        timeout_min=60,
        root=root,
        secrets=(*STORE_SECRETS, *(REMOTE_SECRETS if has_remote else ())),
        steps=(
            Step("Install", install),
            Step("Validate", "penstock ci run --rev HEAD" + (" --push" if has_remote else "")),
            Step("Report", 'penstock ci report >> "$GITHUB_STEP_SUMMARY"', always=True),
        ),
    )
