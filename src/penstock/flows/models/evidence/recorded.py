"""What an endpoint was asked and answered, as the gates' checks replay it: the samples that `payloads:` keeps."""

from __future__ import annotations

import polars as pl

from penstock.base.errors import Invalid, Unavailable
from penstock.flows.production.payloads.reading import read_newest
from penstock.project.project import Project
from penstock.registry.gates.check import RecordedRequest

INPUTS, OUTPUTS = "inputs.", "outputs."


class RecordedTraffic:
    """The recorded requests of the endpoints that a model answers."""

    def __init__(self, project: Project, model: str) -> None:
        self._project, self._model = project, model

    def recorded(self, endpoint: str | None, count: int) -> tuple[RecordedRequest, ...]:
        """Return the newest requests that a version answered, the newest first; of its own endpoint unless named.

        Raises:
            NotFound: there is no such endpoint.
            Invalid: the model has none, or several.
            Unavailable: nothing was recorded.
        """
        name = endpoint or self._endpoint()
        frame = read_newest(self._project, name, count)
        if not frame.height:
            settings = self._project.settings.endpoints.get(name)
            is_off = settings is None or settings.monitor.payloads is None
            raise Unavailable(
                f"no request of {name} that was answered is recorded"
                + (": penstock.yaml keeps no payloads of it" if is_off else ""),
                code="gate.no_payloads",
                hint=f"write `payloads: {{sample: 0.1}}` under endpoints.{name}.monitor in penstock.yaml, and deploy"
                if is_off
                else "wait for traffic",
                endpoint=name,
            )
        parts = frame.partition_by("prediction_id", maintain_order=True)
        return tuple(_request(one) for one in parts[:count])

    def _endpoint(self) -> str:
        names = [
            name for name, one in self._project.settings.endpoints.items() if one.model_name == self._model
        ]
        if len(names) != 1:
            has = f"several endpoints ({', '.join(names)})" if names else "no endpoint"
            raise Invalid(
                f"{self._model} has {has} in penstock.yaml",
                code="gate.which_endpoint",
                hint="write `endpoint:` in the gate",
            )
        return names[0]


def _request(rows: pl.DataFrame) -> RecordedRequest:
    rows = rows.sort("row")
    inputs, outputs = (
        {name[len(start) :]: rows[name] for name in rows.columns if name.startswith(start)}
        for start in (INPUTS, OUTPUTS)
    )
    return RecordedRequest(
        id=str(rows["prediction_id"][0]),
        version=int(rows["version"][0]),
        time_ms=int(rows["time"].dt.epoch("ms")[0]),
        latency_s=float(rows["latency_s"][0]),
        # what no row has was not sent: another request of the endpoint had it
        inputs=pl.DataFrame({name: one for name, one in inputs.items() if one.null_count() < rows.height}),
        outputs={name: one.to_numpy() for name, one in outputs.items() if one.null_count() < rows.height},
    )
