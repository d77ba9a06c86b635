"""GitHub Actions: a neutral job as a workflow file.

The token can only read; actions are pinned by commit in one table; nothing from an event is put into a
shell line. Source: docs.github.com "Workflow syntax for GitHub Actions".
"""

from __future__ import annotations

import json

from penstock.ci.jobs import JUNIT_FILE, MARKDOWN_FILE, Job

WORKFLOW_FILE = ".github/workflows/penstock.yml"
ACTIONS = {
    "checkout": "actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0",
    "python": "actions/setup-python@e797f83bcb11b83ae66e0230d6156d7c80228e7c # v6.0.0",
    "upload": "actions/upload-artifact@b7c566a772e6b6bfb58ed0dc250532a479d7789f # v6.0.0",
}
"""Each by its commit: a tag can be moved. All of them run on Node 24."""
DATA_EVENT = "penstock-data"
"""The event that who changes data sends: GitHub sees none itself."""


def render_github(job: Job) -> str:
    """Render a workflow that runs the job on every push and pull request; same job, same bytes."""
    lines = [
        "# Made by `penstock ci init github`; run it again after changing penstock.yaml.",
        "name: penstock",
        "on:",
        "  push:",
        "    branches: ['**']",
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
        "    defaults:",
        "      run:",
        "        shell: bash",
        f"        working-directory: {json.dumps(job.root)}",
        "    # Set these secrets: without the shared store a runner knows no champion to compare with,",
        "    # and what it registers is gone with it. An empty one counts as not set.",
        "    env:",
        *(f"      {name}: ${{{{ secrets.{name} }}}}" for name in job.secrets),
        *(_flags(job) if job.watches_data else ()),
        "    steps:",
        f"      - uses: {ACTIONS['checkout']}",
        "        with:",
        "          fetch-depth: 0",
        "          persist-credentials: false",
        f"      - uses: {ACTIONS['python']}",
        "        with:",
        f"          python-version: '{job.python}'",
        *_step("Install", job.install),
        *_step("Validate", (f"{job.validate} $NEW_DATA" if job.watches_data else job.validate,)),
        *_step("Report", (*job.reports, f'cat {MARKDOWN_FILE} >> "$GITHUB_STEP_SUMMARY"'), always=True),
        "      - name: Keep the report",
        "        if: always()",
        f"        uses: {ACTIONS['upload']}",
        "        with:",
        "          name: penstock-report",
        "          path: |",
        *(f"            {_below(job.root, name)}" for name in (*job.pages, JUNIT_FILE)),
        "          if-no-files-found: ignore",
    ]
    return "\n".join(lines) + "\n"


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


def _below(root: str, name: str) -> str:
    return name if root == "." else f"{root}/{name}"
