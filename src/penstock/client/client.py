"""Client: everything that is kept, asked for and changed from Python; the same with and without a server.

Answers are frozen structs: `Run`, `Experiment`, `MetricPoint`, `Version`, and those of `penstock.client.records.contract`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from penstock.base.errors import Conflict, Corrupt, NotFound
from penstock.client.catalogue import RunQuery
from penstock.client.connect import catalogue_of, find_place
from penstock.client.models import Models
from penstock.client.records.contract import Artifact, Endpoint, Model, Records
from penstock.client.records.server import ServerRecords
from penstock.client.records.store import StoreRecords
from penstock.client.rest import Address
from penstock.project.project import Project
from penstock.tracking.entities import Experiment, MetricPoint, Run


class Client(Models):
    """Looks up experiments, runs, models, versions and endpoints, and changes what may be changed by hand.

    May be used from several threads. As a context manager it closes itself.

    Args:
        uri: a server's address; by default what `PENSTOCK_URI` or `MLFLOW_TRACKING_URI` names, else the project
            of the working directory.

    Raises:
        NotARepository: there is neither a server's address nor a project here.

    Example:
        with penstock.Client() as client:
            best = client.search_runs(["flights"], order_by=["metrics.roc_auc DESC"], limit=1)[0]
            points = client.get_metric_history(best.id, "roc_auc")
    """

    def __init__(self, uri: str | None = None) -> None:
        place, home = find_place(uri)
        super().__init__(catalogue_of(place), home)
        self._records = records_of(place)

    def list_experiments(self) -> list[Experiment]:
        """Return the experiments that are not deleted, newest first."""
        return self._records.list_experiments()

    def get_run(self, run_id: str) -> Run:
        """Return a run with the newest value of each metric; raises NotFound."""
        return self._catalogue.get_run(run_id)

    def search_runs(
        self,
        experiments: Sequence[str] = (),
        *,
        filter: str = "",
        order_by: Sequence[str] = (),
        limit: int = 1000,
    ) -> list[Run]:
        """Return runs that match a filter in MLflow's grammar; of all experiments where none is named.

        Raises:
            NotFound: there is no such experiment.
            Invalid: filter or order cannot be read.
        """
        return self._catalogue.search_runs(RunQuery(experiments, filter, order_by, limit))

    def get_metric_history(self, run_id: str, key: str) -> list[MetricPoint]:
        """Return every point of a metric by time, step and value; none for an unknown metric. Raises NotFound."""
        return self._records.list_history(run_id, key)

    def set_tags(self, run_id: str, tags: Mapping[str, object]) -> None:
        """Set tags of a run, also one that has ended; raises NotFound, and Invalid for a deleted one."""
        self._records.set_tags(run_id, {key: str(value) for key, value in tags.items()})

    def delete_run(self, run_id: str) -> None:
        """Take a run away; `restore_run` brings it back. Raises NotFound."""
        self._records.delete_run(run_id)

    def restore_run(self, run_id: str) -> None:
        """Bring a deleted run back. Raises NotFound."""
        self._records.restore_run(run_id)

    def list_artifacts(self, run_id: str, folder: str = "") -> list[Artifact]:
        """Return what lies directly in a folder of a run, by name.

        Raises:
            NotFound: there is no such run.
            Refused: its files are at a place that needs its own client.
        """
        return self._records.list_artifacts(run_id, folder)

    def download_artifacts(self, run_id: str, into: str | Path, path: str = "") -> list[Path]:
        """Write a run's files, or what lies below `path`, into a folder under their own paths; return what was written.

        Raises:
            NotFound: there is no such run, or nothing at `path`.
            Conflict: a file is there already.
            Refused: the files are at a place that needs its own client.
        """
        return download_files(self._records, run_id, Path(into), path)

    def list_models(self) -> list[Model]:
        """Return the registered models by name, with their aliases and newest version."""
        return self._records.list_models()

    def list_endpoints(self) -> list[Endpoint]:
        """Return the endpoints by name, with what serves them; raises Refused where the server is not Penstock's."""
        return self._records.list_endpoints()


def records_of(place: Address | Project) -> Records:
    """Return what is asked for details of runs, experiments, models and endpoints at a place."""
    return ServerRecords(place) if isinstance(place, Address) else StoreRecords(place)


def download_files(records: Records, run_id: str, into: Path, path: str = "") -> list[Path]:
    """Write a run's files into a folder; see `Client.download_artifacts`."""
    written = []
    for artifact in list_files(records, run_id, path):
        parts = PurePosixPath(artifact.path).parts
        target = into.joinpath(*parts)
        if ".." in parts or artifact.path.startswith("/"):
            raise Corrupt(f"run {run_id} names a file {artifact.path!r}", code="client.bad_listing")
        if target.exists():
            raise Conflict(f"{target} exists", code="client.exists", hint="name another folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        records.download_artifact(run_id, artifact.path, target)
        written.append(target)
    if path and not written:
        raise NotFound(f"run {run_id} has nothing at {path!r}", code="artifacts.missing", path=path)
    return written


def list_files(records: Records, run_id: str, path: str = "") -> Iterator[Artifact]:
    """Yield every file of a run below a folder, or the file itself that `path` names; by path.

    Raises:
        NotFound, Refused: as `Records.list_artifacts`.
    """
    path = path.strip("/")
    found = records.list_artifacts(run_id, path)
    if not found and path:
        siblings = records.list_artifacts(run_id, path.rpartition("/")[0])
        yield from (one for one in siblings if one.path == path and not one.is_folder)
    for one in found:
        if one.is_folder:
            yield from list_files(records, run_id, one.path)
        else:
            yield one
