"""What the text of an address names: a subject of the chain, a model version."""

from __future__ import annotations

from penstock.base.errors import Invalid
from penstock.flows.chain.lineage import NAMED, explain
from penstock.flows.chain.links import Explanation
from penstock.flows.models.views import VersionView, view_version
from penstock.project.project import Project
from penstock.registry.cards import no_version

MAX_SUBJECT = 500
MAX_DIGITS = 9


def explain_subject(project: Project, subject: str, most: int | None = None) -> Explanation:
    """Return the chain of a subject that came in a request, with at most so many versions.

    Raises:
        Invalid: no subject can look so: empty, too long, or with control characters.
        NotFound: nothing is called so.
    """
    if not subject or len(subject) > MAX_SUBJECT or not subject.isprintable():
        raise Invalid(
            f"a subject is 1 to {MAX_SUBJECT} printable characters",
            code="http.bad_subject",
            hint=f"name {NAMED}",
        )
    return explain(project, subject, most)


def named_version(project: Project, model: str, number: str) -> VersionView:
    """Return a version by the text of its number.

    Raises:
        NotFound: there is none.
    """
    if not (number.isascii() and number.isdigit() and len(number) <= MAX_DIGITS):
        raise no_version(model, number[:40])
    return view_version(project, model, int(number))
