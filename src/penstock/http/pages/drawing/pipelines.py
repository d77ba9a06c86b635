"""A pipeline's steps as coordinates: each to the right of what it needs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.flows.pipelines.overview import StepView
from penstock.http.pages.drawing.chains import BOX_HEIGHT, BOX_WIDTH, COLUMN_GAP, ROW_GAP, SIDE

MOST = 120


@dataclass(frozen=True)
class StepBox:
    """A step where it is drawn."""

    step: StepView
    x: int
    y: int


@dataclass(frozen=True)
class PipelineDrawing:
    """Boxes, and curves between them as SVG paths."""

    boxes: tuple[StepBox, ...]
    curves: tuple[str, ...]
    width: int
    height: int


def draw_pipeline(steps: Sequence[StepView]) -> PipelineDrawing | None:
    """Return the drawing of steps that come in an order in which they can run; None where there are too many or none."""
    if not steps or len(steps) > MOST:
        return None
    depth: dict[str, int] = {}
    rows: dict[int, int] = {}
    boxes: dict[str, StepBox] = {}
    for step in steps:
        at = depth[step.address] = 1 + max((depth[need] for need in step.needs), default=-1)
        row = rows.get(at, 0)
        rows[at] = row + 1
        boxes[step.address] = StepBox(
            step, SIDE + at * (BOX_WIDTH + COLUMN_GAP), SIDE + row * (BOX_HEIGHT + ROW_GAP)
        )
    curves = [_curve(boxes[need], boxes[step.address]) for step in steps for need in step.needs]
    width = 2 * SIDE + (max(depth.values()) + 1) * (BOX_WIDTH + COLUMN_GAP) - COLUMN_GAP
    return PipelineDrawing(
        tuple(boxes.values()), tuple(curves), width, 2 * SIDE + max(rows.values()) * (BOX_HEIGHT + ROW_GAP)
    )


def _curve(one: StepBox, other: StepBox) -> str:
    begin, end = one.x + BOX_WIDTH, other.x
    y, to = one.y + BOX_HEIGHT // 2, other.y + BOX_HEIGHT // 2
    middle = (begin + end) // 2
    return f"M{begin},{y} C{middle},{y} {middle},{to} {end},{to}"
