"""GitHub Actions: a neutral job as a workflow file.

The token of the job that runs the repository's code can only read; that of the job that comments the report runs nothing of
it; actions are pinned by commit in one table; nothing from an event is put into a
shell line. Source: docs.github.com "Workflow syntax for GitHub Actions".
"""

from __future__ import annotations

from penstock.ci.jobs import JUNIT_FILE, MARKDOWN_FILE, SIGNING_KEY, Job
from penstock.ci.render.quoting import escaped, github_text

WORKFLOW_FILE = ".github/workflows/penstock.yml"
FORKS_FILE = ".github/workflows/penstock-forks.yml"
_OWN = "github.event.pull_request.head.repo.full_name == github.repository"
ACTIONS = {
    "checkout": "actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0",
    "python": "actions/setup-python@e797f83bcb11b83ae66e0230d6156d7c80228e7c # v6.0.0",
    "aws": "aws-actions/configure-aws-credentials@8df5847569e6427dd6c4fb1cf565c83acfa8afa7 # v6.0.0",
    "download": "actions/download-artifact@37930b1c2abaa49bbe596cd826c3c89aef350131 # v7.0.0",
    "upload": "actions/upload-artifact@b7c566a772e6b6bfb58ed0dc250532a479d7789f # v6.0.0",
}
"""Each by its commit: a tag can be moved. All of them run on Node 24."""
_GLOB = r"\*?[]+!"
"""What patterns of branches and of files read otherwise."""
DATA_EVENT = "penstock-data"
"""The event that who changes data sends: GitHub sees none itself."""


def render_github(job: Job) -> str:
    """Render a workflow that runs the job on each push to the default branch and on pull requests; same job, same bytes.

    A branch is validated by its pull request: a run of its push too would be the same run twice.
    """
    lines = [
        "# Made by `penstock ci init github`; run it again after changing penstock.yaml.",
        "name: penstock",
        "on:",
        "  push:",
        f"    branches: [{github_text(escaped(job.branch, _GLOB))}]",
        "  pull_request:",
        *_triggers(job),
        "permissions:",
        "  contents: read",
        "concurrency:",
        "  group: penstock-${{ github.workflow }}-${{ github.ref }}",
        "  cancel-in-progress: true",
        "jobs:",
        "  validate:",
        "    name: Validate",
        f"    runs-on: {'self-hosted' if job.is_self_hosted else 'ubuntu-latest'}",
        f"    timeout-minutes: {job.timeout_min}",
        *(_ROLE_RIGHTS if job.role is not None else ()),
        "    defaults:",
        "      run:",
        "        shell: bash",
        f"        working-directory: {github_text(job.root)}",
        "    # Set these secrets: without the shared store a runner knows no champion to compare with,",
        "    # and what it registers is gone with it. An empty one counts as not set.",
        "    env:",
        *(f"      {name}: ${{{{ secrets.{name} }}}}" for name in job.secrets if name != SIGNING_KEY),
        *(_flags(job) if job.watches_data else ()),
        "    steps:",
        f"      - uses: {ACTIONS['checkout']}",
        "        with:",
        "          fetch-depth: 0",
        "          persist-credentials: false",
        *(("          submodules: recursive",) if job.has_submodules else ()),
        f"      - uses: {ACTIONS['python']}",
        "        with:",
        f"          python-version: '{job.python}'",
        *_credentials(job),
        *_step("Install", job.install),
        *_validation(job),
        *_step("Report", (*job.reports, f'cat {MARKDOWN_FILE} >> "$GITHUB_STEP_SUMMARY"'), always=True),
        "      - name: Keep the report",
        "        if: always()",
        f"        uses: {ACTIONS['upload']}",
        "        with:",
        "          name: penstock-report",
        "          path: |",
        *(f"            {_below(job.root, name)}" for name in (*job.pages, JUNIT_FILE)),
        "          if-no-files-found: ignore",
        *(_comment_job(job, job.program) if job.program is not None else ()),
    ]
    return "\n".join(lines) + "\n"


def render_forks(job: Job) -> str:
    """Render the workflow that comments the reports on pull requests from forks, whose own runs may not; it takes a program."""
    run = "github.event.workflow_run"
    lines = [
        "# Made by `penstock ci init github-forks`; run it again after changing penstock.yaml. It takes effect on the",
        "# default branch.",
        "name: penstock-forks",
        "on:",
        "  # It checks nothing out and runs nothing of the pull request: the report is text that it hands on.",
        "  workflow_run: # zizmor: ignore[dangerous-triggers]",
        "    workflows: [penstock]",
        "    types: [completed]",
        "permissions: {}",
        "concurrency:",
        f"  group: penstock-forks-${{{{ {run}.head_sha }}}}",
        "  cancel-in-progress: false",
        "jobs:",
        "  comment:",
        "    name: Comment",
        f"    if: {run}.event == 'pull_request' && {run}.head_repository.full_name != github.repository",
        "    runs-on: ubuntu-latest",
        "    timeout-minutes: 10",
        "    permissions:",
        "      actions: read # to fetch the report",
        "      pull-requests: write # to comment",
        "    steps:",
        *_comment(
            job, job.program or "", (f"run-id: ${{{{ {run}.id }}}}", "github-token: ${{ github.token }}")
        ),
    ]
    return "\n".join(lines) + "\n"


def _comment_job(job: Job, program: str) -> list[str]:
    return [
        "  comment:",
        "    name: Comment",
        "    needs: validate",
        "    # The token of a pull request from a fork cannot comment: `penstock ci init github-forks` is for those.",
        f"    if: ${{{{ !cancelled() && github.event_name == 'pull_request' && {_OWN} }}}}",
        "    runs-on: ubuntu-latest",
        "    timeout-minutes: 10",
        "    permissions:",
        "      pull-requests: write # to comment",
        "    steps:",
        *_comment(job, program, ()),
    ]


_ROLE_RIGHTS = (
    "    permissions:",
    "      contents: read",
    "      id-token: write # for the role on AWS",
)


def _credentials(job: Job) -> list[str]:
    """Return the step that takes the run's own token for a role; a fork's run has none."""
    if job.role is None:
        return []
    return [
        "      - name: Take the role",
        f"        if: github.event_name != 'pull_request' || {_OWN}",
        f"        uses: {ACTIONS['aws']}",
        "        with:",
        f"          role-to-assume: {github_text(job.role.arn)}",
        f"          aws-region: {github_text(job.role.region)}",
    ]


def _comment(job: Job, program: str, source: tuple[str, ...]) -> list[str]:
    return [
        f"      - uses: {ACTIONS['download']}",
        "        with:",
        "          name: penstock-report",
        "          path: report",
        *(f"          {line}" for line in source),
        f"      - uses: {ACTIONS['python']}",
        "        with:",
        f"          python-version: '{job.python}'",
        *_step("Install", (program,)),
        "      - name: Comment",
        "        env:",
        "          GITHUB_TOKEN: ${{ github.token }}",
        f"        run: penstock ci comment report/{MARKDOWN_FILE}",
    ]


def _triggers(job: Job) -> list[str]:
    scheduled = ["  schedule:", f"    - cron: '{job.schedule}'"] if job.schedule else []
    told = ["  repository_dispatch:", f"    types: [{DATA_EVENT}]"] if job.watches_data else []
    return scheduled + told


def _flags(job: Job) -> list[str]:
    begun = "github.event_name == 'schedule' || github.event_name == 'repository_dispatch'"
    return [f"      NEW_DATA: ${{{{ ({begun}) && '{job.takes_new_data}' || '' }}}}"]


def _step(name: str, commands: tuple[str, ...], *, always: bool = False) -> list[str]:
    lines = [f"      - name: {name}"]
    if always:
        lines.append("        if: always()")
    return [*lines, "        run: |", *(f"          {line}" for line in commands)]


def _validation(job: Job) -> list[str]:
    """Return the step that decides, with the key to sign with where the branch was reviewed: no pull request gets it."""
    name, *rest = _step("Validate", (f"{job.validate} $NEW_DATA" if job.watches_data else job.validate,))
    if SIGNING_KEY not in job.secrets:
        return [name, *rest]
    given = f"github.event_name != 'pull_request' && secrets.{SIGNING_KEY} || ''"
    return [
        name,
        "        env: # the key signs what was reviewed: code of a pull request does not see it",
        f"          {SIGNING_KEY}: ${{{{ {given} }}}}",
        *rest,
    ]


def _below(root: str, name: str) -> str:
    if root == ".":
        return name
    first = "./" if root[0] in "!#~ -" else ""  # else what is left out, a comment, a home
    return escaped(f"{first}{root}/{name}", r"\*?[]")
