"""The text of a proposed penstock.yaml, with a comment for what may be added, and its way to the disk."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from penstock.base.errors import Conflict
from penstock.base.files import write_atomic
from penstock.base.settings import parse_settings
from penstock.flows.models.wrapping import FLAVOUR_OF_SUFFIX
from penstock.flows.setup.proposing import Findings
from penstock.project.places import SETTINGS_FILE
from penstock.project.settings import ProjectSettings
from penstock.stats.metric_names import Compared

_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


@dataclass(frozen=True)
class SettingsPlan:
    """The file that would be written; `notes` are what was not found, and how it is mended."""

    path: Path
    text: str
    notes: tuple[str, ...]
    replaces: bool
    has_model: bool = True
    stubs: tuple[str, ...] = ()
    """What stands there after this was written while nothing was known of a model: it is replaced without a word."""


def plan_settings(root: Path, found: Findings) -> SettingsPlan:
    """Return the penstock.yaml that these findings give; it is read back before it is returned."""
    text = "\n".join(_lines(found)) + "\n"
    path = root / SETTINGS_FILE
    parse_settings(text, ProjectSettings, str(path))
    bare = Findings(project=found.project, model=found.project)
    stubs = tuple("\n".join(_lines(replace(bare, has_tests=one))) + "\n" for one in (False, True))
    return SettingsPlan(
        path, text, found.notes, replaces=path.exists(), has_model=found.path is not None, stubs=stubs
    )


def apply_settings(plan: SettingsPlan, *, force: bool = False) -> None:
    """Write the file.

    Raises:
        Conflict: there is one already, and `force` was not given.
    """
    if plan.path.exists() and not force and plan.path.read_text(errors="replace") not in plan.stubs:
        raise Conflict(
            f"{plan.path} exists already",
            code="settings.exists",
            hint="penstock start --force replaces it",
            path=str(plan.path),
        )
    write_atomic(plan.path, plan.text.encode())


def _lines(found: Findings) -> Iterator[str]:
    yield "# What Penstock does with this repository. All keys: docs/reference/settings.md"
    yield f"project: {_scalar(found.project)}"
    yield ""
    yield from _model(found)
    yield ""
    yield from _gates(found)
    yield ""
    yield from _endpoints(found)
    yield ""
    yield "# Who is told of a breach."
    yield "# alerts:"
    yield "#   webhooks: [{url: http://127.0.0.1:9093/hook}]"
    if found.has_tests:
        yield ""
        yield "# What `penstock ci run` runs before the pipeline."
        yield "ci:"
        yield "  tests: python -m pytest -q tests"


def _model(found: Findings) -> Iterator[str]:
    if found.path is None:
        yield "# The model that the pipeline makes: a folder that penstock.save_model wrote."
        yield "# model:"
        yield f"#   name: {_scalar(found.model)}"
        yield f"#   path: models/{_scalar(found.model)}"
        return
    made_by = f", made by stage `{found.stage}`" if found.stage and found.is_folder else ""
    is_file = Path(found.path).suffix in FLAVOUR_OF_SUFFIX
    what = "one file of a library" if is_file else "a folder that penstock.save_model wrote"
    yield f"# The model: {what}{made_by}."
    yield "model:"
    yield f"  name: {_scalar(found.model)}"
    yield f"  path: {_scalar(found.path)}"
    yield from _known("reference", found.reference, "data/train.csv", "live traffic is compared with it")
    yield from _known("metrics", found.metrics_file, "metrics.json", "what the pipeline measured")
    has_truth = found.test is not None and found.label is not None
    test, label = (found.test, found.label) if has_truth else (None, None)
    yield from _known("test", test, found.test or "data/test.csv", "the held-out table")
    yield from _known("label", label, "COLUMN", "its column that holds the truth")


def _known(key: str, value: str | None, example: str, what: str) -> Iterator[str]:
    yield f"  {key}: {_scalar(value)}  # {what}" if value else f"  # {key}: {_scalar(example)}  # {what}"


def _gates(found: Findings) -> Iterator[str]:
    yield "# A version must pass all of these before `champion` may point at it and an endpoint may serve it."
    gates = []
    if found.path and found.metrics_file and found.metric and found.is_known and _is_usual(found.value):
        side = "max" if found.is_loss else "min"
        gates.append(
            f"  - metric: {{name: {_scalar(found.metric)}, {side}: {_limit(found):g}}}  # now {found.value:.4g}"
        )
        if found.test and found.label and found.metric in get_args(Compared):
            gates.append(
                f"  - champion: {{metric: {found.metric}, max_drop: {_margin(found):g}}}  # not worse than the champion"
            )
    yield "gates:" if gates else "# gates:"
    yield from gates
    if not gates:
        name = found.metric or "roc_auc"
        yield f"#   - metric: {{name: {_scalar(name)}, min: 0.7}}  # max: where less is better"


def _is_usual(value: float | None) -> bool:
    """Whether a limit near the value says something; one of 1e300 or NaN is a mistake to be looked at."""
    return value is not None and (value == 0 or 1e-6 <= abs(value) <= 1e9)


def _limit(found: Findings) -> float:
    """Return a limit a little worse than the value now: a twentieth, rounded away from it."""
    value = found.value or 0.0
    slack = abs(value) / 20
    digits = 10 ** (2 - math.floor(math.log10(abs(value)))) if value else 100.0
    worse = value + slack if found.is_loss else value - slack
    return (math.ceil if found.is_loss else math.floor)(worse * digits) / digits


def _endpoints(found: Findings) -> Iterator[str]:
    yield "# What is served, how a new version goes out, and what takes it back."
    mark = "" if found.path else "# "
    yield f"{mark}endpoints:"
    yield f"{mark}  {_scalar(found.model)}:"
    yield f"{mark}    model: {_scalar(found.model + '@champion')}"
    yield f"{mark}    rollout: {{steps: [5, 25, 100], min_requests: 500, hold_s: 60}}"
    yield f"{mark}    guardrails:"
    yield f"{mark}      - errors: {{max_ratio: 0.01}}"
    yield f"{mark}      - latency: {{p99_ms: 200}}"
    drift = mark if found.reference else "# "
    yield f"{drift}      - drift: {{features: any, psi_max: 0.25, action: alert}}"
    if found.path and found.is_known:
        yield f"      - quality: {{metric: {found.metric}, max_drop: {_drop(found):g}}}"
    yield f"{mark}    on_breach: [rollback, alert]"


def _drop(found: Findings) -> float:
    """Return the drop that is allowed live: 0.05 of a ratio, a tenth of an error in the label's unit."""
    return (
        0.05 if found.metric not in {"mae", "rmse"} else max(float(f"{abs(found.value or 0) / 10:.1g}"), 0.01)
    )


def _margin(found: Findings) -> float:
    """Return how much worse than the champion a version may be: 0.005 of a ratio, a hundredth of an error."""
    is_error = found.metric in {"mae", "rmse", "log_loss"}
    return max(float(f"{abs(found.value or 0) / 100:.1g}"), 0.005) if is_error else 0.005


def _scalar(text: str) -> str:
    """Return a text as YAML reads it back, quoted where it would be something else."""
    is_plain = _PLAIN.fullmatch(text.replace("@", "_")) and text.lower() not in _WORDS
    return text if is_plain and not text.startswith("@") else json.dumps(text, ensure_ascii=False)
