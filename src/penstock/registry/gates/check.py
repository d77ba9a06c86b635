"""The role of a gate, what its check may look at, and what it answers.

A gate is an object `GATE` in a file of its own; `penstock.registry.gates.catalogue` finds it by its name.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import msgspec

from penstock.base.errors import Invalid
from penstock.registry.entities import CheckStatus
from penstock.registry.gates.asking import Weigh, weigh_by_name

if TYPE_CHECKING:  # settings are read by every command, and neither is soon imported
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float64]"


class HeldOut(Protocol):
    """The held-out rows, scored by the candidate and by the champion. Each is computed when first asked."""

    def labels(self) -> Floats:
        """Return the truth, (n_rows,)."""
        ...

    def candidate_scores(self) -> Floats:
        """Return the candidate's scores, (n_rows,)."""
        ...

    def champion_scores(self) -> Floats | None:
        """Return the champion's scores on the same rows; None without one, or when the candidate is it."""
        ...

    def of_classes(self, metric: str) -> tuple[Floats, Floats, Floats | None] | None:
        """Return truth and both models' scores so that a metric of two classes gives that of the models' own.

        None where there is nothing to compare, and where the labels are 0 and 1 or numbers.

        Raises:
            Invalid: the metric says nothing of so many classes, or a label is none of them.
        """
        ...

    def require_columns(self, *names: str) -> None:
        """Make sure that table and label are named and there, and the table has these columns too, though no row is compared.

        Raises:
            Invalid: a table or column is not there, or a row has no label.
        """
        ...

    def groups(self, column: str) -> NDArray[np.int64]:
        """Return the number of each row's group, (n_rows,): rows with one value in a column are one.

        Raises:
            Invalid: the table has no such column.
        """
        ...

    def scored(self, metric: str) -> tuple[Floats, Floats, Floats | None]:
        """Return truth, the candidate's scores, and those of another champion, as the metric takes them.

        Of a classifier whose classes are not 0 and 1: as of its own classes.

        Raises:
            Invalid: the metric says nothing of so many classes, a label is none of them, or the candidate gives no number.
        """
        ...

    def scored_alone(self, metric: str) -> tuple[Floats, Floats]:
        """Return truth and the candidate's scores, as the metric takes them; no champion is asked.

        Raises:
            Invalid: the metric says nothing of so many classes, a label is none of them, or the candidate gives no number.
        """
        ...

    def beside_constant(
        self, metric: str, training: Mapping[str, int], table: str
    ) -> tuple[Floats, Floats, Floats, str]:
        """Return truth, the scores of a classifier, those of one answer to every row, and that answer in words.

        The answer is learned from the training labels of `table`, counted by their names.

        Raises:
            Invalid: the metric says nothing of so many classes, a label is none of them, or the candidate gives no number.
        """
        ...

    @property
    def champion(self) -> str | None:
        """The champion's name, `model/number`, or None."""
        ...


@dataclass(frozen=True)
class ServedApart:
    """What a real server did with requests: when it was ready, how long answers took, what failed, its memory at the end."""

    ready_s: float
    latencies_ms: Floats
    errors: tuple[str, ...]
    memory_mb: float


class Subject(Protocol):
    """A model that is judged, or the champion beside it: its files, and two ways to ask it."""

    @property
    def name(self) -> str:
        """What sentences call it."""
        ...

    @property
    def size_bytes(self) -> int:
        """How large its files are together."""
        ...

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        ...

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that it takes, empty for a single matrix."""
        ...

    def predict(self, frame: pl.DataFrame) -> Mapping[str, NDArray[Any]]:
        """Return its outputs on a table's rows by the library alone, as a training program would ask it."""
        ...

    def serve(self, frame: pl.DataFrame) -> Mapping[str, NDArray[Any]]:
        """Return its outputs on rows sent as a request of the Open Inference Protocol through the serving engine."""
        ...

    def replay(self, inputs: pl.DataFrame) -> tuple[Mapping[str, NDArray[Any]], float]:
        """Return its outputs on a recorded request's inputs through the serving engine, and the seconds from bytes to bytes.

        Raises:
            PenstockError: the request is none that it takes.
        """
        ...

    def serve_apart(self, frame: pl.DataFrame, ready_s: float) -> ServedApart:
        """Return what a server process of its own does with each row as a request.

        Raises:
            PenstockError: it is not ready in `ready_s`, or ended.
        """
        ...

    def latencies_ms(self, frame: pl.DataFrame, warmup: int) -> Floats:
        """Return how long each row took alone through the serving engine, from bytes to bytes; the first `warmup` are left out."""
        ...


class Facts(Protocol):
    """What the repository knows of the candidate's origin. Each is computed when first asked."""

    def missing_provenance(self) -> Mapping[str, str]:
        """Return what is not known of where the candidate came from: a name for each, and why."""
        ...

    def data_time_ms(self) -> int | str:
        """Return when the data that the model was trained on were last committed, or why nobody knows."""
        ...

    def now_ms(self) -> int:
        """Return the time."""
        ...


@dataclass(frozen=True)
class RecordedRequest:
    """A request that an endpoint answered: its rows, and the answer that the version gave then, by output."""

    id: str
    version: int
    time_ms: int
    latency_s: float
    inputs: pl.DataFrame
    outputs: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Retrained:
    """The metrics of each run, and which data nobody can say to be the same, in sentences."""

    metrics: tuple[Mapping[str, float], ...]
    undetermined: tuple[str, ...] = ()


class Retraining(Protocol):
    """The pipeline, run again."""

    def retrain(self, times: int, seed: str | None) -> Retrained:
        """Return what so many runs from the same commit and data gave; the parameter `seed` is another each time.

        Raises:
            PenstockError: it cannot be run.
        """
        ...


class Traffic(Protocol):
    """What endpoints recorded."""

    def recorded(self, endpoint: str | None, count: int) -> tuple[RecordedRequest, ...]:
        """Return the newest requests that were answered, the newest first; of the model's own endpoint unless named.

        Raises:
            PenstockError: nothing was recorded, or it is not clear where.
        """
        ...


@dataclass(frozen=True)
class Named:
    """The tables and columns that penstock.yaml names for the model."""

    test: str | None = None
    label: str | None = None
    reference: str | None = None
    time: str | None = None


@dataclass(frozen=True)
class Evidence:
    """What the checks look at: the tree of the commit, its metrics, and the held-out rows.

    `metrics_from` says where the metrics were read; empty where nothing names such a place; `metrics_note` what is to
    be known of it. `candidate` and `champion`
    are the models themselves; the champion is None where there is none, or the candidate is it. `keep` keeps a file by its
    content and returns the digest. `guard` notes, while its block runs, that a process group (named by a check and by its
    number) runs, so that what a killed process leaves is found and ended.
    """

    root: Path
    metrics: Mapping[str, float]
    held_out: HeldOut
    metrics_from: str = ""
    metrics_note: str = ""
    named: Named = field(default_factory=Named)
    candidate: Subject | None = None
    champion: Subject | None = None
    facts: Facts | None = None
    traffic: Traffic | None = None
    retraining: Retraining | None = None
    keep: Callable[[bytes], str] | None = None
    guard: Callable[[str, int], AbstractContextManager[None]] = lambda _name, _group: nullcontext()

    def keep_file(self, name: str, content: bytes) -> dict[str, str]:
        """Keep a file that shows what a check found; return its name and digest, for `files` of the outcome's evidence."""
        return {} if self.keep is None else {name: self.keep(content)}

    def require_traffic(self) -> Traffic:
        """Return what endpoints recorded.

        Raises:
            Invalid: nobody knows.
        """
        if self.traffic is None:
            raise Invalid(
                "there is no recorded traffic to ask", code="gate.no_traffic", hint="penstock gate run"
            )
        return self.traffic

    def table(self, name: str) -> pl.DataFrame:
        """Return a table of the tree.

        Raises:
            Invalid: it does not exist or cannot be read.
        """
        from penstock.data.formats.tables import load_table  # and with it polars, 0.2 s

        return load_table(self.root / name)

    def test_table(self) -> pl.DataFrame:
        """Return the held-out table.

        Raises:
            Invalid: penstock.yaml names none, or it cannot be read.
        """
        return self.table(self.require("test"))

    def require(self, key: Literal["test", "label", "reference"]) -> str:
        """Return what penstock.yaml names for the model.

        Raises:
            Invalid: it names nothing.
        """
        found: str | None = getattr(self.named, key)
        if found is None:
            raise Invalid(
                f"penstock.yaml names no `{key}:` for the model",
                code="gate.nothing_named",
                hint=f"write `{key}:` under `model:` in penstock.yaml",
            )
        return found

    def require_candidate(self) -> Subject:
        """Return the model that is judged.

        Raises:
            Invalid: there is none to ask.
        """
        if self.candidate is None:
            raise Invalid("there is no model to ask", code="gate.no_model", hint="penstock gate run")
        return self.candidate


@dataclass(frozen=True)
class Outcome:
    """What a check found: a sentence, and what it rests on. `interval` bounds what was observed."""

    status: CheckStatus
    sentence: str
    observed: float | str | None = None
    expected: str = ""
    n: int | None = None
    interval: tuple[float, float] | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


Check = Callable[[Any, Evidence], Outcome]


def read_frame(content: bytes) -> pl.DataFrame:
    """Return a table from its bytes in Arrow's file format."""
    import polars  # 0.2 s, and only where a check sends a table

    return polars.read_ipc(io.BytesIO(content))


def told_of_broken(limits: Sequence[str]) -> str:
    """Return what a sentence says of the limits that did not hold, by the names of their settings; empty for none."""
    return f"; broken: {', '.join(limits)}" if limits else ""


Limits = Callable[[bytes | None, bytes], Sequence[tuple[str, bool]]]
"""What a file of limits asks otherwise than an earlier one, or one that nobody has: in words, and whether it lets more pass."""


def _nothing(_settings: Any) -> tuple[str, ...]:
    return ()


def _nothing_beside(_settings: Any, _root: Path) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Gate:
    """A kind of check.

    Attributes:
        settings: the struct of what penstock.yaml says of it; its `__post_init__` refuses what cannot be meant.
        check: says what of the evidence; what cannot be checked is an `error` or raises, and never passes.
        title: what one check of the kind is called.
        tables: tables of the tree that it reads, which have to be as the pipeline made them.
        files: files of the tree, such as code, whose content is part of the settings that a verdict is bound to; so is
            what Python files among them import.
        beside: further such files that nobody names and that need not be, as pytest's `conftest.py`; given the root.
        written: the settings as a verdict is bound to them.
        short: makes settings of a text where penstock.yaml gives no mapping.
        weighed: what of the settings can ask for less, and how; a release on a commit that does so is held.
        limits: what compares two states of `files`, where these are limits and no code.
    """

    settings: type[msgspec.Struct]
    check: Check
    title: Callable[[Any], str]
    tables: Callable[[Any], tuple[str, ...]] = _nothing
    files: Callable[[Any], tuple[str, ...]] = _nothing
    beside: Callable[[Any, Path], tuple[str, ...]] = _nothing_beside
    written: Callable[[Any], Any] = msgspec.to_builtins
    short: Callable[[str], msgspec.Struct] | None = None
    weighed: Weigh = weigh_by_name
    limits: Limits | None = None
