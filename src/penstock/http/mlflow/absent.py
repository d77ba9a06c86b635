"""What MLflow's API has and this server does not: told apart from what exists nowhere, in MLflow's form."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.base.errors import NotFound, PenstockError, Refused

PROMPT_TAGS = "mlflow.prompt."
FAMILIES: dict[str, str] = {
    "traces": "traces",
    "unified-traces": "traces",
    "get-online-trace-details": "traces",
    "assessments": "assessments of traces",
    "datasets": "evaluation data sets",
    "demo": "demonstrations",
    "gateway": "gateways to language models",
    "genai": "evaluations of language models",
    "issues": "issues of traces",
    "jobs": "jobs",
    "label-schemas": "label schemas",
    "prompt-optimization": "prompts",
    "review-queues": "review queues",
    "scorer": "scorers",
    "scorers": "scorers",
    "workspaces": "workspaces",
}
"""The first part of a path below `/api/N.0/mlflow` that is not here, and what it is about."""


def no_endpoint(method: str, path: str) -> PenstockError:
    """Return the error for a path below `/api/N.0/mlflow` that no endpoint has.

    Example:
        >>> no_endpoint("POST", "traces/search").message
        'Penstock keeps no traces; it is about models, not about calls of language models'
    """
    family = FAMILIES.get(path.strip("/").partition("/")[0])
    if family is not None:
        return not_kept(family)
    return NotFound(f"there is no endpoint {method} {path[:200]}", code="http.no_endpoint")


def check_no_prompt(tags: Mapping[str, str]) -> None:
    """Refuse what MLflow keeps as a model or version, but is a prompt.

    Raises:
        Refused: a tag says so.
    """
    if any(key.startswith(PROMPT_TAGS) for key in tags):
        raise not_kept("prompts")


def not_kept(what: str) -> Refused:
    """Make the error for what MLflow keeps and this server does not."""
    return Refused(
        f"Penstock keeps no {what}; it is about models, not about calls of language models",
        code="http.not_implemented",
        hint="docs/reference/mlflow-clients.md says what works",
    )
