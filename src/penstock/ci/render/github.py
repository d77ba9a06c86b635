"""GitHub Actions: a neutral job as a workflow file.

The token can only read; actions are pinned to a major in one table; nothing from an event is put into a
shell line. Source: docs.github.com "Workflow syntax for GitHub Actions".
"""

from __future__ import annotations

import json

from penstock.ci.jobs import Job, Step

WORKFLOW_FILE = ".github/workflows/penstock.yml"
ACTIONS = {"checkout": "actions/checkout@v5", "python": "actions/setup-python@v6"}


def render_github(job: Job) -> str:
    """Render a workflow that runs the job on every push and pull request; same job, same bytes."""
    lines = [
        "# Made by `penstock ci init github`; run it again after changing penstock.yaml.",
        "name: penstock",
        "on:",
        "  push:",
        "    branches: ['**']",
        "  pull_request:",
        "permissions:",
        "  contents: read",
        "concurrency:",
        "  group: penstock-${{ github.workflow }}-${{ github.ref }}",
        "  cancel-in-progress: true",
        "jobs:",
        f"  {job.name}:",
        "    runs-on: ubuntu-latest",
        f"    timeout-minutes: {job.timeout_min}",
        "    defaults:",
        "      run:",
        "        shell: bash",
        f"        working-directory: {json.dumps(job.root)}",
    ]
    if job.secrets:
        lines += [
            "    # Set these secrets: without the shared store a runner knows no champion to compare with,",
            "    # and what it registers is gone with it. An empty one counts as not set.",
            "    env:",
        ]
        lines += [f"      {name}: ${{{{ secrets.{name} }}}}" for name in job.secrets]
    lines += [
        "    steps:",
        f"      - uses: {ACTIONS['checkout']}",
        "        with:",
        "          fetch-depth: 0",
        "          persist-credentials: false",
        f"      - uses: {ACTIONS['python']}",
        "        with:",
        f"          python-version: '{job.python}'",
    ]
    for step in job.steps:
        lines += _step(step)
    return "\n".join(lines) + "\n"


def _step(step: Step) -> list[str]:
    lines = [f"      - name: {step.name}"]
    if step.always:
        lines.append("        if: always()")
    return [*lines, "        run: |", *(f"          {line}" for line in step.command.splitlines())]
