"""The serve process: follow the endpoints' revisions, answer requests, end without losing one.

The HTTP application is given by the caller; this module knows when models change and when to stop.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from typing import Any

from penstock.base.background import Background
from penstock.base.errors import NotFound, PenstockError, Unavailable, described
from penstock.base.store.clock import keep_in_step, tell_difference
from penstock.base.store.database import Database
from penstock.base.store.outside import words_outside
from penstock.base.threads import begin
from penstock.flows.production.controlling.unloadable import Proofs
from penstock.flows.production.live.late import LateRecords
from penstock.flows.production.live.recording import LiveRecorder
from penstock.flows.production.payloads.keeping import PayloadLog
from penstock.http.headers import CallersTrace
from penstock.http.listen import BACKLOG, bind, make_server, serve_on, url_of
from penstock.http.protocol import WireProtocol
from penstock.monitoring.policies import Policy
from penstock.monitoring.settings import TrafficSettings
from penstock.processes.companion import Companion
from penstock.processes.cut_off import tell
from penstock.processes.known import KnownRevisions, is_same
from penstock.processes.loading.admission import Admission, joined
from penstock.processes.loading.attempts import Attempts
from penstock.processes.loading.careful import CarefulLoading, LeftOut
from penstock.processes.reporting import WorkerReports
from penstock.processes.serve_options import ServeOptions
from penstock.processes.sources import ModelSource
from penstock.processes.traffic import followed_policies, limits_of, rules_of, told_of_rules
from penstock.processes.unloaded import UnloadedEndpoints
from penstock.serving.classes import Served
from penstock.serving.dataplane import DataPlane
from penstock.serving.deployments import Revision, get_revision, list_endpoints
from penstock.serving.ending.suspects import Suspects
from penstock.serving.ending.underway import Underway
from penstock.serving.engine.options import EndpointLimits
from penstock.serving.loaders.compiled.apart import load_lightly
from penstock.serving.recorder import Exchange, TracedRecorder, Tracer
from penstock.serving.repository import ModelRepository
from penstock.serving.traffic import Rule
from penstock.serving.workers import State

logger = logging.getLogger(__name__)
LOAD_WAIT_S = 5.0
"""So long other endpoints' changes wait for models to load; then they go on without."""
ARRIVAL_S = 120.0
"""So long a request may take to arrive."""
START_WAIT_S = 60.0
"""So long the port waits for the first models: who asks a process that is beginning waits rather than be refused."""


class ServeProcess:
    """One serve process. `run` blocks; `start` and `stop` run it in a thread, for tests and embedding.

    Args:
        application: makes the ASGI application for the data plane; its `state.metrics` counts requests, and
            its `state.protocol` answers small ones directly, where nobody has to look at them before.
        companion: makes a server of another protocol for the data plane, which counts there too.
        bound: a socket that is bound already, instead of one for the options' host and port. Unless it listens by then,
            it does when the models are loaded.
    """

    def __init__(
        self,
        database: Database,
        source: ModelSource,
        application: Callable[[DataPlane], Any],
        options: ServeOptions,
        bound: socket.socket | None = None,
        companion: Callable[[DataPlane, Any], Companion] | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._database, self._options = database, options
        self._socket = bound or bind(options.host, options.port)
        self._listens_first = bound is None
        self.url = url_of(self._socket, options.host, options.tls)
        try:
            self._reports = WorkerReports(database, self.url)
        except PenstockError:
            self._socket.close()
            raise
        self.worker = self._reports.worker
        self._source = source
        self._repository = ModelRepository(source.fetch, load_lightly)
        self._unloaded = UnloadedEndpoints(options.shared_folder)
        log = PayloadLog.at(options.payloads_url, self.worker)
        late = LateRecords(options.home)
        self._recorder = LiveRecorder(
            database, self.worker, flush_s=options.flush_s, max_bytes=options.recorder_max_bytes, payloads=log, late=late
        )  # fmt: skip
        self.dataplane = DataPlane(
            self._repository,
            self._recorder if tracer is None else TracedRecorder(self._recorder, tracer),
            self._recorder,
            worker=self.worker,
            options=options.engine,
            shared_folder=options.shared_folder,
            allow=source.allow,
        )
        self.dataplane.engine.default_limits = EndpointLimits(timeout_s=options.timeout_s)
        self._attempts = Attempts()
        self._proofs = Proofs(database, source.fetch)
        self._underway = self.dataplane.engine.underway = Underway(options.shared_folder)
        self._repository.underway = self._underway
        self._suspects = Suspects(options.shared_folder)
        self._careful = CarefulLoading(self._repository, self._suspects, self._proofs)
        self._loading: dict[str, tuple[int, Future[PenstockError | None]]] = {}
        self._known = KnownRevisions()
        self._current: dict[str, Revision] = {}
        self._policies: dict[str, Policy] = {}
        self._admission = Admission(source.admit)
        self._marking, self._reporting = threading.Lock(), threading.Lock()
        self._poller = Background(
            "penstock-revisions", self.follow, options.poll_s, failing="serving on with what is known"
        )
        # apart from the poller: a model that takes long to load must not make this process look dead
        self._heart = Background(
            "penstock-beat", self._beat, options.beat_s, failing="deployments are not told that this serves"
        )
        self.dataplane.lifecycle, self.dataplane.refuse = self, self._recorder.refuse
        self._tracer = tracer
        self.dataplane.is_traced = tracer is not None
        answering = application(self.dataplane)
        self._count_cut_off = answering.state.metrics.count_cut_off
        answering.state.metrics.certificates.tell(options.tls.ends if options.tls else {})
        if tracer is not None:
            tracer.count_lost(answering.state.metrics.count_lost_spans)
        self._server = make_server(
            answering if tracer is None else CallersTrace(answering),
            drain_s=options.drain_s,
            arrival_s=ARRIVAL_S,
            tls=options.tls,
            proxies=options.proxies,
            protocol=WireProtocol if tracer or options.proxies else answering.state.protocol,
        )
        self.companion = None if companion is None else companion(self.dataplane, answering.state.metrics)
        self._running: Future[None] | None = None

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT (or `stop`); then finish requests and write what was recorded."""
        try:
            if self._listens_first:
                self._socket.listen(BACKLOG)
            self._heart.start()
            cut_off = self._take_over_cut()
            self.follow(START_WAIT_S)
            if self._repository.pending:  # what ended a process is loaded alone, after the others
                self.follow(START_WAIT_S)
            for one in cut_off:
                self._count_cut_off(one)
            self._poller.start()
            serve_on(self._socket, self._server, self.companion)
        finally:
            self._end()

    def start(self) -> None:
        """Serve in a thread and return when requests are answered."""
        self._running = begin("penstock-serve", self.run)
        while not self._server.started:
            if self._running.done():
                self._running.result()
                return
            time.sleep(0.005)

    def stop(self) -> None:
        """End a process begun with `start`, as SIGTERM does."""
        self._server.should_exit = True
        if self._running is not None:
            self._running.result()

    def _end(self) -> None:
        self._poller.stop()
        self._heart.stop()
        self._socket.close()
        self.dataplane.close()
        self._underway.close()
        if self._tracer is not None:
            self._tracer.close()
        try:
            self._recorder.close()
            self._reports.end()
        except PenstockError as error:
            logger.error("the store is not told that this process has ended: %s", error.message)

    def _take_over_cut(self) -> list[Exchange]:
        """Tell what processes were about that have ended; return the requests that they took along."""
        ends = self._underway.take_over()
        with self._database.read() as connection:
            current = {one.endpoint: one for one in list_endpoints(connection)}
        for end in ends:
            self._suspects.note(end, current)
        return tell((cut for end in ends for cut in end.cuts), current, self.worker, self._recorder)

    def _beat(self) -> None:
        clock = tell_difference(keep_in_step(self._database))
        self._reports.beat()
        told: dict[str, str] = {}
        served, current = self._repository.served, self._current
        for endpoint, one in served.items():
            revision = one.revision
            shadows = self.dataplane.shadows.told(endpoint, revision.number) if revision.shadows else ""
            told[endpoint] = joined(told_of_rules(one), self._admission.told(endpoint), shadows, clock)
        with self._reporting:
            self._reports.correct(current, served, self._known.unknown, told)

    def follow(self, wait_s: float | None = None) -> None:
        """Take over every endpoint's current revision that is not served yet, and how each is watched.

        What is served and the store does not know stays as it is, with the policy that held.

        Args:
            wait_s: how long to wait for models that take long, `LOAD_WAIT_S` by default.

        Raises:
            Unavailable: the store cannot be reached.
        """
        serving = {name: one.revision for name, one in self._repository.served.items()}
        with self._database.read() as connection:
            current = list_endpoints(connection)
            policies = followed_policies(connection, self._policies)
            self._current = {revision.endpoint: revision for revision in current}
            for name in self._known.look(connection, serving, self._current):
                self._attempts.forget(name)
        self._suspects.look()
        unknown = self.dataplane.unknown = self._known.unknown
        policies |= {name: self._policies[name] for name in unknown if name in self._policies}
        self._policies = policies
        self._admission.begin(current)
        self._recorder.watch({name: one.settings.monitor for name, one in policies.items()})
        redacting = [name for name, one in policies.items() if one.settings.monitor.redacted]
        self.dataplane.shadows.discreet = frozenset(redacting)
        traffic = {name: one.settings.traffic for name, one in policies.items()}
        self.dataplane.engine.limits = {
            name: limits_of(one, self._options.timeout_s) for name, one in traffic.items()
        }
        deployed = self._current | {name: serving[name] for name in unknown}
        self._repository.expect(frozenset(deployed) | self._repository.withheld, deployed)
        self._follow_unloaded()
        self.dataplane.guests.room = {name: one.other_versions for name, one in traffic.items()}
        self.dataplane.guests.keep(self._repository.served)
        begun: list[tuple[Revision, Future[PenstockError | None]]] = []
        for revision in sorted(current, key=lambda one: bool(self._careful.suspicions_of(one))):
            name = revision.endpoint
            if name in unknown or name in self._repository.withheld or self._is_loading(revision):
                continue
            served = self._repository.served.get(revision.endpoint)
            rules = rules_of(traffic.get(revision.endpoint, TrafficSettings()))
            if served is None:
                self._attempts.forget_success(name)
            elif self._careful.is_overdue(served):
                self._attempts.forget(name)
            is_new = served is None or self._careful.is_changed(served, revision, rules)
            what = (revision.number, rules)
            if is_new and self._attempts.is_due(name, what) and self._may_load(revision, rules):
                under_way = begin("penstock-load", partial(self._take_over, revision, rules))
                self._loading[revision.endpoint] = (revision.number, under_way)
                begun.append((revision, under_way))
        self._await(begun, LOAD_WAIT_S if wait_s is None else wait_s)

    def _follow_unloaded(self) -> None:
        """Do as the other processes on this port, where one of them was asked to load or unload."""
        unloaded = self._unloaded.names()
        if unloaded is None:
            return
        for endpoint in unloaded - self._repository.withheld:
            with contextlib.suppress(NotFound):
                self._repository.withhold(endpoint)
        for endpoint in self._repository.withheld - unloaded:
            self._attempts.forget(endpoint)
            with contextlib.suppress(NotFound):
                self._repository.allow(endpoint)

    def _is_loading(self, revision: Revision) -> bool:
        """Whether a revision's models are being loaded still; a failure to report is raised here.

        A newer revision does not wait for one before it: what hangs must not keep its own rollback away.
        """
        number, under_way = self._loading.get(revision.endpoint, (0, None))
        if under_way is None or number != revision.number:
            return False
        if not under_way.done():
            return True
        del self._loading[revision.endpoint]
        under_way.result()
        return False

    def _await(self, begun: list[tuple[Revision, Future[PenstockError | None]]], wait_s: float) -> None:
        """Wait until what was begun is served, but for no model that takes long: others are not kept from it."""
        wait([under_way for _, under_way in begun], wait_s)
        for revision, _ in begun:
            if not self._is_loading(revision):
                continue
            message = f"its models have been loading for more than {wait_s:g} s"
            logger.warning("%s#%s is not served yet: %s", revision.endpoint, revision.number, message)
            with self._reporting:
                if not self._attempts.was_made(revision.endpoint, revision.number):
                    self._reports.report(revision, "waiting", message)

    def load(self, endpoint: str) -> None:
        """Take over an endpoint's current revision now, also one that failed or was unloaded.

        Raises:
            NotFound: no such endpoint.
            PenstockError: its model cannot be had, does not load or fails its self-test.
        """
        with self._database.read() as connection:
            revision = get_revision(connection, endpoint)
            policies = followed_policies(connection, self._policies)
        rules = rules_of(policies[endpoint].settings.traffic if endpoint in policies else TrafficSettings())
        self._unloaded.discard(endpoint)
        self._repository.allow(endpoint)
        served = self._repository.served.get(endpoint)
        if served is None or served.left_out or not is_same(served.revision, revision):
            problem = self._take_over(revision, rules, is_asked=True)
            if problem is not None:
                raise problem

    def unload(self, endpoint: str) -> None:
        """Serve an endpoint no further, here and soon in all processes on this port, until it is loaded again.

        Raises:
            NotFound: no such endpoint.
        """
        self._repository.withhold(endpoint)
        self._unloaded.add(endpoint)

    def _mark(self, revision: Revision) -> None:
        """Let the recorder count at the edges of each version's reference; without them sketches do."""
        for version in revision.versions:
            try:
                edges = self._source.edges(revision.model, version)
            except PenstockError as error:
                logger.warning("values of %s/%s are estimated: %s", revision.model, version, error.message)
                continue
            with self._marking:
                self._recorder.mark(Served(revision.endpoint, revision.number, version), edges)

    def _may_load(self, revision: Revision, rules: tuple[Rule, ...]) -> bool:
        """Whether loading a revision cannot end the process together with another's: what ended one before is loaded alone."""
        if not self._careful.must_be_alone(revision, rules):
            return True
        return all(under_way.done() for _, under_way in self._loading.values())

    def _take_over(
        self, revision: Revision, rules: tuple[Rule, ...], *, is_asked: bool = False
    ) -> PenstockError | None:
        """Load and serve a revision and report it; return why it is not served, or not all of it."""
        problem: PenstockError | None = None
        defect: BaseException | None = None
        state: State = "ready"
        told, left = "", LeftOut()
        try:
            told = self._admission.ask(revision)
            left = self._careful.apply(revision, rules, is_asked=is_asked)
            self._admission.note(revision, told)
            self._mark(revision)
            if left.why:
                problem = Unavailable(left.sentence, code="serving.version_left_out")
                state = left.state
        except PenstockError as error:
            problem, state = error, self._proofs.state_of(revision, error)
            # what a model, or a library, raised that nobody foresaw: the log shows all of it
            defect = error.__cause__ if error.code == "serving.load_failed" else None
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is told
            message = described(error)
            problem, state, defect = PenstockError(message, code="serving.load_failed"), "hindered", error
        message = joined(left.rules, "" if problem is None else problem.message)
        with self._reporting:
            newest, _ = self._loading.get(revision.endpoint, (0, None))
            if revision.number >= newest:
                what = (revision.number, rules)
                if left.state != "waiting" and self._attempts.note(revision.endpoint, what, message):
                    self._tell(revision, message, defect)
                outside = told if problem is None else words_outside(problem, is_logged=False)
                self._reports.report(revision, state, joined(left.rules, outside))
        return problem

    def _tell(self, revision: Revision, failure: str, defect: BaseException | None) -> None:
        name = f"{revision.endpoint}#{revision.number}"
        if failure:
            served = self._repository.served.get(revision.endpoint)
            how = "in part" if served is not None and served.left_out else "not"
            logger.error("%s is %s served, and tried again: %s", name, how, failure, exc_info=defect)
        else:
            logger.info("%s is served", name)
