"""From the environment and the working directory to where a run's records go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from penstock.base.errors import NotARepository
from penstock.client.active import Recording
from penstock.client.catalogue import Catalogue
from penstock.client.context import Surroundings
from penstock.client.embedded import StoreSink
from penstock.client.offline import JournalSink
from penstock.client.rest import Address
from penstock.client.server import ServerSink
from penstock.client.server_catalogue import ServerCatalogue
from penstock.client.sink import Sink
from penstock.client.store_catalogue import StoreCatalogue
from penstock.project.project import Project
from penstock.workspace import TrackingSettings, open_workspace, tracking_settings

HOME = ".penstock"


@dataclass(frozen=True)
class Connection:
    """Where records go, what surrounds the run, and the experiment asked for."""

    recording: Recording
    around: Surroundings
    experiment: str | None


def connect(*, system_metrics: bool = True) -> Connection:
    """Return where records go from here: a server where one is named, else the project's own store.

    Raises:
        NotARepository: there is neither.
        Invalid: penstock.yaml or the address is wrong.
    """
    directory = Path.cwd()
    settings, project = tracking_settings(), _find_project(directory)
    sink = _sink(settings, project, directory)
    return Connection(
        Recording(sink, JournalSink(_home(project)), system_metrics),
        Surroundings(directory, project, settings.login),
        settings.experiment,
    )


def open_sink(directory: Path) -> tuple[Sink, Path]:
    """Return where records go from a directory, and where its journals lie.

    Raises:
        NotARepository, Invalid: as `connect`.
    """
    project = _find_project(directory)
    return _sink(tracking_settings(), project, directory), _home(project)


def server_address(uri: str) -> Address:
    """Return a server with the credentials that the environment holds."""
    settings = tracking_settings()
    return Address(uri, settings.user, settings.password, settings.token)


def find_place(uri: str | None = None, directory: Path | None = None) -> tuple[Address | Project, Path]:
    """Return what is asked from here, a server where one is named, else the project, and where models are kept.

    Args:
        directory: from where, by default the working directory.

    Raises:
        NotARepository, Invalid: as `connect`.
    """
    directory = directory or Path.cwd()
    project = _find_project(directory)
    uri = uri or tracking_settings().uri
    if uri:
        return server_address(uri), _home(project)
    if project is not None:
        return project, _home(project)
    raise _nowhere(directory)


def catalogue_of(place: Address | Project) -> Catalogue:
    """Return what is asked for models, versions and runs at a place."""
    return ServerCatalogue(place) if isinstance(place, Address) else StoreCatalogue(place)


def _sink(settings: TrackingSettings, project: Project | None, directory: Path) -> Sink:
    if settings.uri:
        return ServerSink(Address(settings.uri, settings.user, settings.password, settings.token))
    if project is not None:
        return StoreSink(project)
    raise _nowhere(directory)


def _nowhere(directory: Path) -> NotARepository:
    return NotARepository(
        f"{directory} is in no project, and no server is named",
        code="data.not_a_repository",
        hint="penstock init, or set PENSTOCK_URI to a server's address",
    )


def _find_project(directory: Path) -> Project | None:
    try:
        return open_workspace(directory)
    except NotARepository:
        return None


def _home(project: Project | None) -> Path:
    return project.home if project is not None else Path.home() / HOME
