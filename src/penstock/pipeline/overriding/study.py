"""A search that learns from what it found: Optuna's sampler (TPE) asked for values, and told what they gave.

The study's state is a journal in a file, written at each ask and tell, so that a search that was killed goes on from
there: what was under way is asked for again. Optuna is an optional dependency; nothing else imports it.
"""

from __future__ import annotations

import itertools
import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple

from penstock.base.digest import digest_value
from penstock.base.errors import Conflict, Unavailable
from penstock.pipeline.overriding.drawing import MISSES, Dimension, Interval
from penstock.pipeline.overriding.overrides import Override

Direction = Literal["maximize", "minimize"]
_SPACE = "penstock.space"
_LOST = "penstock.lost"


class Trial(NamedTuple):
    """One combination to be tried, by its number in the study."""

    number: int
    overrides: tuple[Override, ...]


class Best(NamedTuple):
    """The best of what was tried, the first of those that gave its value; `shared_count` is how many did."""

    number: int
    value: float
    values: dict[str, Any]
    shared_count: int = 1


class Study:
    """What was asked and told so far. One process at a time goes on with a study.

    Raises:
        Unavailable: Optuna is not installed.
        Conflict: the study was begun with other values, another metric or direction.
    """

    def __init__(
        self, file: Path, space: Sequence[Dimension], metric: str, direction: Direction, *, seed: int
    ) -> None:
        try:
            optuna = import_module("optuna")
            journal = import_module("optuna.storages.journal")
        except ImportError:
            raise Unavailable(
                "--search optuna:N needs Optuna, which is not installed",
                code="experiments.no_optuna",
                hint="pip install 'penstock[optuna]', or --search random:N",
            ) from None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna, self._space = optuna, list(space)
        file.parent.mkdir(parents=True, exist_ok=True)
        storage = optuna.storages.JournalStorage(journal.JournalFileBackend(str(file)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # trials at once keep apart by what Optuna calls experimental
            self._study = optuna.create_study(
                study_name=file.stem, storage=storage, direction=direction, load_if_exists=True
            )
            told = len(self._study.get_trials(deepcopy=False))
            self._study.sampler = optuna.samplers.TPESampler(seed=seed + told, constant_liar=True)
        described = digest_space(space, metric, direction)
        known = self._study.user_attrs.get(_SPACE)
        if known not in (None, described):
            raise Conflict(
                f"the search {file.stem} was begun with other values, another metric or direction",
                code="experiments.other_search",
                hint="give it another --name, or the same -S, --metric and --direction",
                study=file.stem,
            )
        if known is None:
            self._study.set_user_attr(_SPACE, described)
        self._ask_again()
        self._tried: dict[tuple[str, ...], int] = {}
        for one in self._trials():
            if one.state.is_finished() and not self._is_lost(one):
                self._tried.setdefault(_told(self._overrides(one.params)), one.number)
        self.repeated_count = 0
        """How often the sampler chose again what was tried, since this was opened: that is left out."""

    @property
    def done_count(self) -> int:
        """How many trials ended, with a value or without."""
        return sum(one.state.is_finished() and not self._is_lost(one) for one in self._trials())

    @property
    def parent(self) -> str | None:
        """The run that the trials belong to, as it was noted."""
        found = self._study.user_attrs.get("parent")
        return None if found is None else str(found)

    def note_parent(self, run_id: str) -> None:
        """Note the run that the trials belong to."""
        self._study.set_user_attr("parent", run_id)

    def ask(self) -> Trial | None:
        """Return a combination to try next, one that was not tried; None where there is no other.

        The sampler may choose one again, which would tell nothing new. It is asked for others then; where it gives none
        in `MISSES` attempts, it is given one that is left.
        """
        for _ in range(MISSES):
            trial = self._asked()
            if self._is_new(trial):
                return trial
        for params in self._combinations():
            if _told(self._overrides(params)) not in self._tried:
                self._study.enqueue_trial(params)
                trial = self._asked()
                return trial if self._is_new(trial) else None
        return None

    def _asked(self) -> Trial:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = self._study.ask(self._distributions())
        return Trial(trial.number, self._overrides(trial.params))

    def _is_new(self, trial: Trial) -> bool:
        """Note a combination as tried; one that was is taken out of the study, and counts for nothing."""
        first = self._tried.setdefault(_told(trial.overrides), trial.number)
        if first == trial.number:
            return True
        self.repeated_count += 1
        self._lose([trial.number])
        self._study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)
        return False

    def _combinations(self) -> Iterator[dict[str, Any]]:
        """Yield all there are, in Optuna's words; none where a parameter may be any number between two."""
        values: list[Sequence[Any]] = []
        for distribution in self._distributions().values():
            if hasattr(distribution, "choices"):
                values.append(distribution.choices)
            elif isinstance(distribution.low, int):
                values.append(range(distribution.low, distribution.high + 1))
            else:
                return
        for chosen in itertools.product(*values):
            yield dict(zip(self._distributions(), chosen, strict=True))

    def tell(self, number: int, value: float | None) -> None:
        """Tell what a combination gave; None, or what is no number, is that it gave nothing."""
        if value is None or not math.isfinite(value):
            self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(number, value)

    def best(self) -> Best | None:
        """Return the best combination, None where none gave a value."""
        try:
            found = self._study.best_trial
        except ValueError:
            return None
        values = {
            name: override.value
            for (name, _), override in zip(self._named(), self._overrides(found.params), strict=True)
            if name in found.params
        }
        shared = sum(one.value == found.value for one in self._trials())
        return Best(found.number, float(found.value), values, shared)

    def _trials(self) -> list[Any]:
        return list(self._study.get_trials(deepcopy=False))

    def _ask_again(self) -> None:
        """Let what a killed process had under way be asked for again."""
        states = self._optuna.trial.TrialState
        running = [one for one in self._trials() if one.state == states.RUNNING]
        if running:
            self._lose([one.number for one in running])  # before they end: they never count as done
        for one in running:
            self._study.enqueue_trial(one.params)
            self._study.tell(one.number, state=states.FAIL)

    def _lose(self, numbers: Sequence[int]) -> None:
        """Let trials never count as done."""
        self._study.set_user_attr(_LOST, sorted({*self._study.user_attrs.get(_LOST, ()), *numbers}))

    def _is_lost(self, trial: Any) -> bool:
        """Whether a trial was given up; studies of earlier versions say it of the trial itself."""
        return trial.number in self._study.user_attrs.get(_LOST, ()) or bool(trial.user_attrs.get("lost"))

    def _overrides(self, params: Mapping[str, Any]) -> tuple[Override, ...]:
        """Return what a trial's parameters mean."""
        return tuple(
            one.at(params[name]) if isinstance(one, Interval) else self._chosen(one, params)
            for name, one in self._named()
        )

    def _chosen(self, choices: Sequence[Override], params: Mapping[str, Any]) -> Override:
        name = _name(choices)
        return choices[json.loads(params[name])[0] if name in params else 0]

    def _named(self) -> list[tuple[str, Dimension]]:
        return [(_name(one), one) for one in self._space]

    def _distributions(self) -> dict[str, Any]:
        """Return what may vary, in Optuna's words; a choice is its place and how it is told."""
        kinds = self._optuna.distributions
        found: dict[str, Any] = {}
        for name, one in self._named():
            if isinstance(one, Interval):
                kind = kinds.IntDistribution if one.is_whole else kinds.FloatDistribution
                low, high = (int(one.low), int(one.high)) if one.is_whole else (one.low, one.high)
                found[name] = kind(low, high, log=one.is_log)
            elif len(one) > 1:
                found[name] = kinds.CategoricalDistribution(_labels(one))
        return found


def digest_space(space: Sequence[Dimension], metric: str, direction: Direction) -> str:
    """Return a digest of what is searched, by which a search is known again."""
    told = [[repr(one)] if isinstance(one, Interval) else [_name(one), *_labels(one)] for one in space]
    return digest_value({"space": told, "metric": metric, "direction": direction})


def _told(overrides: Sequence[Override]) -> tuple[str, ...]:
    return tuple(one.text for one in overrides)


def _name(dimension: Dimension) -> str:
    one = dimension.to if isinstance(dimension, Interval) else dimension[0]
    return f"{one.file}:{one.key}"


def _labels(choices: Sequence[Override]) -> list[str]:
    return [json.dumps([place, one.text]) for place, one in enumerate(choices)]
