"""The dashboard of the processes themselves: queues, batches, recorder, memory, controller."""

from __future__ import annotations

from penstock.monitoring.grafana.boards import ENDPOINT, OWN, Board, Panel, Query, Row


def _lines(title: str, description: str, unit: str, *queries: tuple[str, str]) -> Panel:
    asked = tuple(Query(expr, legend) for expr, legend in queries)
    return Panel(title=title, description=description, unit=unit, queries=asked, least=0)


SERVING = (
    _lines(
        "Requests in flight",
        "Being answered now, by process.",
        "short",
        ("penstock_requests_in_flight", "{{instance}}"),
    ),
    _lines(
        "Queue",
        "Requests that wait for a model.",
        "short",
        (f"sum by (endpoint) (penstock_queue_length{{{OWN}}})", "{{endpoint}}"),
    ),
    _lines(
        "Rows a batch",
        "Rows that a model predicts at once: half of the batches have fewer, and the mean.",
        "short",
        (
            f"histogram_quantile(0.5, sum by (endpoint, le) (rate(penstock_batch_rows_bucket{{{OWN}}}[$__rate_interval])))",
            "{{endpoint}} p50",
        ),
        (
            f"sum by (endpoint) (rate(penstock_batch_rows_sum{{{OWN}}}[$__rate_interval])) / "
            f"(sum by (endpoint) (rate(penstock_batch_rows_count{{{OWN}}}[$__rate_interval])) > 0)",
            "{{endpoint}} mean",
        ),
    ),
    _lines(
        "Loading",
        "Time that loading and proving a version took.",
        "s",
        (f"max by (endpoint, version) (penstock_model_load_seconds{{{OWN}}})", "{{endpoint}} {{version}}"),
    ),
    _lines(
        "Recorder",
        "Recorded requests that wait to be written, and what may.",
        "bytes",
        ("penstock_recorder_bytes", "{{instance}} waiting"),
        ("penstock_recorder_max_bytes", "{{instance}} at most"),
    ),
    _lines(
        "Recorded",
        "Requests that were written into the store.",
        "reqps",
        ("rate(penstock_recorder_written_total[$__rate_interval])", "{{instance}}"),
    ),
    _lines(
        "Recorder losses",
        "Requests of which only the counts are known, and spans that no collector took.",
        "reqps",
        (
            f"sum by (endpoint) (rate(penstock_recorder_dropped_total{{{OWN}}}[$__rate_interval]))",
            "{{endpoint}}",
        ),
        ("rate(penstock_spans_lost_total[$__rate_interval])", "{{instance}} spans"),
    ),
    _lines(
        "Watched services",
        "Calls of on_revision that failed: the service stayed with the version it had.",
        "short",
        (f"sum by (endpoint) (penstock_watch_hook_failures_total{{{OWN}}})", "{{endpoint}}"),
    ),
    _lines(
        "Store",
        "Endpoints that are served on although the store does not know what is served.",
        "short",
        (f"max by (endpoint) (penstock_unknown_to_store{{{OWN}}})", "{{endpoint}}"),
    ),
    _lines(
        "Workers",
        "With --workers: how many there are to be, and how often one was begun anew.",
        "short",
        ("penstock_workers_wanted", "{{instance}} wanted"),
        ("penstock_worker_restarts_total", "{{instance}} begun anew"),
    ),
)
CONTROLLER = (
    _lines(
        "Controller",
        "Which process acts, and whether its last round failed.",
        "short",
        ("penstock_controller_leading", "{{instance}} acts"),
        ("penstock_controller_failing", "{{instance}} failed"),
        ("penstock_settings_wrong", "{{instance}} penstock.yaml wrong"),
        ("penstock_controller_decisions_lost_total", "{{instance}} decisions lost"),
    ),
    _lines(
        "Age of looks",
        "Since the last round, how long it took, and since each endpoint was looked at.",
        "s",
        ("time() - max(penstock_controller_last_tick_timestamp_seconds)", "round"),
        ("penstock_controller_last_tick_seconds", "{{instance}} round took"),
        (
            f"time() - max by (endpoint) (penstock_endpoint_last_look_timestamp_seconds{{{OWN}}})",
            "{{endpoint}}",
        ),
    ),
    _lines(
        "Problems and policies",
        "What keeps an endpoint from being judged, and the number of its policy.",
        "short",
        (f"max by (endpoint) (penstock_endpoint_problems{{{OWN}}})", "{{endpoint}} problems"),
        (f"max by (endpoint) (penstock_endpoint_policy{{{OWN}}})", "{{endpoint}} policy"),
    ),
)
PROCESSES = (
    _lines(
        "Memory",
        "Resident memory of the processes.",
        "bytes",
        ("process_resident_memory_bytes and on (instance) penstock_build_info", "{{instance}}"),
    ),
    _lines(
        "Processor",
        "Cores in use.",
        "short",
        (
            "rate(process_cpu_seconds_total[$__rate_interval]) and on (instance) penstock_build_info",
            "{{instance}}",
        ),
    ),
    _lines(
        "Versions",
        "Processes by the version they run.",
        "short",
        ("count by (version) (penstock_build_info)", "{{version}}"),
    ),
)
BOARD = Board(
    uid="penstock-internals",
    title="Penstock / Serving internals",
    description="Queues, batches, the recorder, the controller, and the processes.",
    variables=(ENDPOINT,),
    rows=(Row("Serving", SERVING), Row("Controller", CONTROLLER), Row("Processes", PROCESSES)),
    page="/",
)
