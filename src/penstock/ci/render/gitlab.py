"""GitLab CI: a neutral job as `.gitlab-ci.yml`.

One job for branches and merge requests, never both for one commit. Source: docs.gitlab.com "CI/CD YAML
syntax reference".
"""

from __future__ import annotations

from penstock.ci.jobs import GITLAB_TOKEN, JUNIT_FILE, MARKDOWN_FILE, SIGNING_KEY, Job
from penstock.ci.render.quoting import any_character, shell_path, yaml_text

PIPELINE_FILE = ".gitlab-ci.yml"
_ID_FILE = "/tmp/penstock-id-token"


def render_gitlab(job: Job) -> str:
    """Render a pipeline of one job with its report, and one that comments it; same job, same bytes."""
    role = job.role
    enter = () if job.root == "." else (f"cd {shell_path(job.root)}",)
    where = "" if job.root == "." else f"{job.root}/"
    lines = [
        "# Made by `penstock ci init gitlab`; run it again after changing penstock.yaml.",
        "# Set these masked variables of the project: without the shared store a runner knows no champion to",
        f"# compare with, and what it registers is gone with it: {', '.join(job.secrets)}.",
        f"# Protect {SIGNING_KEY} too, so that pipelines of protected branches alone have it.",
        *_told(job),
        "workflow:",
        "  rules:",
        *_triggers(job),
        '    - if: $CI_PIPELINE_SOURCE == "merge_request_event"',
        "    - if: $CI_COMMIT_BRANCH && $CI_OPEN_MERGE_REQUESTS",
        "      when: never",
        "    - if: $CI_COMMIT_BRANCH",
        "penstock:",
        f"  image: python:{job.python}",
        f"  timeout: {job.timeout_min} minutes",
        "  interruptible: true",
        "  variables:",
        '    GIT_DEPTH: "0"',
        *(("    GIT_SUBMODULE_STRATEGY: recursive",) if job.has_submodules else ()),
        '    PIP_CACHE_DIR: "$CI_PROJECT_DIR/.cache/pip"',
        *(
            (
                f"    AWS_ROLE_ARN: {yaml_text(role.arn)}",
                f"    AWS_REGION: {yaml_text(role.region)}",
                f"    AWS_WEB_IDENTITY_TOKEN_FILE: {_ID_FILE}",
                "  id_tokens:",
                "    PENSTOCK_ID_TOKEN:",
                "      aud: $CI_SERVER_URL",
            )
            if role is not None
            else ()
        ),
        "  cache:",
        "    key: penstock-pip",
        "    paths: [.cache/pip]",
        "  before_script:",
        *_commands((*_withheld(job), *enter, *(() if role is None else (_KEEP_ID,)), *job.install)),
        "  script:",
        *_commands((f"{job.validate} $NEW_DATA" if job.watches_data else job.validate,)),
        "  after_script:",
        *_commands((*_withheld(job), *enter, *job.reports)),
        "  artifacts:",
        "    when: always",
        "    expire_in: 30 days",
        "    paths:",
        *(f"      - {_pattern(where + name)}" for name in job.pages),
        "    reports:",
        f"      junit: {_pattern(where + JUNIT_FILE)}",
        *(_comment_job(job, where, job.program) if job.program is not None else ()),
    ]
    return "\n".join(lines) + "\n"


def _comment_job(job: Job, where: str, program: str) -> list[str]:
    return [
        "penstock-comment:",
        "  stage: .post",
        f"  image: python:{job.python}",
        "  timeout: 10 minutes",
        "  allow_failure: true",
        "  needs: [penstock]",
        "  rules:",
        f'    - if: $CI_PIPELINE_SOURCE == "merge_request_event" && ${GITLAB_TOKEN}',
        "      when: always",
        "  variables:",
        "    GIT_STRATEGY: none",
        "  script:",
        *_commands((program, f"penstock ci comment {shell_path(where + MARKDOWN_FILE)}")),
    ]


_KEEP_ID = f'(umask 077; printf %s "$PENSTOCK_ID_TOKEN" > {_ID_FILE})'


_UNREVIEWED = f'if [ "$CI_COMMIT_REF_PROTECTED" != true ]; then unset {SIGNING_KEY}; fi'
"""The key signs what was reviewed: a merge request and a branch that is not protected do not see it."""


def _withheld(job: Job) -> tuple[str, ...]:
    return (_UNREVIEWED,) if SIGNING_KEY in job.secrets else ()


def _pattern(path: str) -> str:
    """Return the pattern of a path, in which GitLab expands no variable."""
    return yaml_text(any_character(path, r"\*?[]{}$"))


def _told(job: Job) -> list[str]:
    """Return what has to be set in GitLab's pages, as no file can say it."""
    lines = [
        f"# With a project access token (Reporter, scope api) in {GITLAB_TOKEN}, masked, merge requests get the report",
        "# as a comment. A fork has no such token: there the report is an artifact.",
    ]
    if job.schedule:
        lines.append(
            f"# Build > Pipeline schedules: a new schedule with the interval `{job.schedule}`, time zone UTC."
        )
    if job.watches_data:
        lines.append(
            "# Settings > CI/CD > Pipeline trigger tokens: who changes data posts one, as GitLab sees no data."
        )
    return lines


def _triggers(job: Job) -> list[str]:
    sources = ['$CI_PIPELINE_SOURCE == "schedule"'] if job.schedule else []
    sources += ['$CI_PIPELINE_SOURCE == "trigger"'] if job.watches_data else []
    if not sources:
        return []
    lines = [f"    - if: {' || '.join(sources)}"]
    if job.watches_data:
        lines += ["      variables:", f'        NEW_DATA: "{job.takes_new_data}"']
    return lines


def _commands(commands: tuple[str, ...]) -> list[str]:
    return [f"    - {yaml_text(command)}" for command in commands]
