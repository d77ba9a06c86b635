"""How a process takes over a revision of which a version may have ended processes: it takes nothing else down again.

What is fine is served first. Then a suspect is loaded in a process of its own, and here only where that does not end, alone.
One that ended several is left out for a while: the others are served without it. Who the suspects are says
`penstock.serving.ending.suspects`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from penstock.base.errors import PenstockError
from penstock.flows.production.controlling.unloadable import Proofs
from penstock.processes.known import is_same
from penstock.processes.traffic import told_of_rules
from penstock.serving.deployments import Revision
from penstock.serving.ending.suspects import Suspects, words_of
from penstock.serving.ending.suspicion import Suspicion
from penstock.serving.faults import ENDED, Trial, try_afresh
from penstock.serving.repository import ModelRepository, ServedRevision
from penstock.serving.traffic import Rule
from penstock.serving.workers import State


class LeftOut(NamedTuple):
    """Which versions of a revision are not loaded, and why; what the revision is for that; whether the rest is served.

    It is `waiting` where they are tried next. `rules` tells of versions that only rules name, and that are not loaded either.
    """

    why: Mapping[int, str] = MappingProxyType({})
    state: State = "ready"
    is_rest_served: bool = True
    rules: str = ""

    @property
    def sentence(self) -> str:
        """Say it; empty where nothing is left out."""
        if not self.why:
            return ""
        rest = "the rest is served without it: " if self.is_rest_served else ""
        return rest + "; ".join(self.why.values())


class CarefulLoading:
    """See the module. Thread-safe."""

    def __init__(self, repository: ModelRepository, suspects: Suspects, proofs: Proofs) -> None:
        self._repository, self._suspects, self._proofs = repository, suspects, proofs

    def suspicions_of(self, revision: Revision, rules: tuple[Rule, ...] = ()) -> dict[int, Suspicion]:
        """Return the suspects among what a revision is served with."""
        return self._suspects.of(revision, (*revision.versions, *(rule.version for rule in rules)))

    def must_be_alone(self, revision: Revision, rules: tuple[Rule, ...]) -> bool:
        """Whether a suspect would be loaded now: what is loaded beside it would be a suspect too."""
        found = self.suspicions_of(revision, rules)
        tried = [
            one for one, held in found.items() if not held.is_barred and not self._is_here(revision, one)
        ]
        return bool(tried) and (revision.stable in found or self._is_begun(revision))

    def is_changed(self, served: ServedRevision, revision: Revision, rules: tuple[Rule, ...]) -> bool:
        """Whether something else is to be served than is: also what was left out, and what is to be."""
        is_other = not is_same(served.revision, revision) or served.rules != rules
        return is_other or bool(served.left_out) or self.is_overdue(served)

    def is_overdue(self, served: ServedRevision) -> bool:
        """Whether a version is in memory beside the stable one that has ended so many processes that it is to be left out."""
        found = self.suspicions_of(served.revision, served.rules)
        stable = served.revision.stable
        return any(one != stable and one in served.models and found[one].is_barred for one in found)

    def apply(self, revision: Revision, rules: tuple[Rule, ...], *, is_asked: bool) -> LeftOut:
        """Load and serve a revision, or what of it ends no process; return what is left out.

        Args:
            is_asked: somebody asks for it now, however many processes ended lately.

        Raises:
            PenstockError: a model cannot be had, does not load or fails its self-test.
        """
        found = self.suspicions_of(revision, rules)
        if found and revision.stable not in found and not self._is_begun(revision):
            served = self._repository.apply(revision, rules, frozenset(found))
            why = {one: f"{words_of(one, found[one])}; it is tried alone first" for one in found}
            return LeftOut(why, "waiting", rules=told_of_rules(served))
        why = {}
        for version, suspicion in found.items():
            is_here = self._is_here(revision, version)
            if suspicion.is_barred and not is_asked and not (is_here and version == revision.stable):
                words = words_of(version, suspicion)
                why[version] = f"{words}; it is left out for {suspicion.apart_s:g} s"
            elif not is_here:
                tried = self._try(revision, version)
                if tried.end in ENDED:
                    again = self.suspicions_of(revision, rules).get(version, suspicion)
                    why[version] = f"{words_of(version, again)}; {tried.why}"
        is_rest_served = revision.stable not in why
        told = ""
        if is_rest_served:
            self._serve_first(revision, rules, frozenset(why))
            told = told_of_rules(self._repository.apply(revision, rules, frozenset(why)))
        if not why:
            return LeftOut(rules=told)
        state = self._proofs.state_of_left(revision, why, self.suspicions_of(revision, rules))
        return LeftOut(why, state, is_rest_served, told)

    def _serve_first(self, revision: Revision, rules: tuple[Rule, ...], without: frozenset[int]) -> None:
        """Serve a new revision before versions are loaded that only rules name: one that hangs must not keep it away."""
        served = self._repository.served.get(revision.endpoint)
        here = served.models if served is not None and served.revision.model == revision.model else {}
        late = {rule.version for rule in rules} - {*revision.versions, *here, *without}
        if late and not self._is_begun(revision):
            at_once = tuple(rule for rule in rules if rule.version not in late)
            self._repository.apply(revision, at_once, without)

    def _is_begun(self, revision: Revision) -> bool:
        served = self._repository.served.get(revision.endpoint)
        return served is not None and is_same(served.revision, revision)

    def _is_here(self, revision: Revision, version: int) -> bool:
        served = self._repository.served.get(revision.endpoint)
        return served is not None and is_same(served.revision, revision) and version in served.models

    def _try(self, revision: Revision, version: int) -> Trial:
        try:
            files = self._repository.fetch(revision.model, version)
        except PenstockError as error:
            if version in revision.versions:
                raise
            return Trial("hindered", error.message)  # only rules name it, and the rest is served without it
        tried = try_afresh(files)
        if tried.end in ENDED:
            self._suspects.note_apart(revision.endpoint, version, was_killed=tried.end == "killed")
        return tried
