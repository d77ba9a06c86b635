"""Penstock: one chain for machine-learning models, from data to production.

The package imports nothing; public names load their module when first used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers take it; `typing` is not worth its import here
if TYPE_CHECKING:
    from typing import Any

    from penstock.client.client import Client
    from penstock.client.fluent import (
        active_run,
        end_run,
        log_artifact,
        log_artifacts,
        log_dict,
        log_metric,
        log_metrics,
        log_param,
        log_params,
        log_text,
        set_tag,
        set_tags,
        start_run,
    )
    from penstock.client.models import load_model, log_model, register_model
    from penstock.client.payloads import payloads
    from penstock.flows.observing.tables import compare_tables
    from penstock.flows.sources.access import open_data as open
    from penstock.flows.sources.access import read_bytes
    from penstock.registry.flavours import save_model
    from penstock.serving.loaders.chain import Chain, Vote
    from penstock.watching.exposing import metrics_asgi_app, metrics_wsgi_app, start_metrics_server
    from penstock.watching.watch import current, last_prediction_id, watch

__version__ = "0.1.0"
__all__ = [
    "Chain",
    "Client",
    "Vote",
    "__version__",
    "active_run",
    "compare_tables",
    "current",
    "end_run",
    "last_prediction_id",
    "load_model",
    "log_artifact",
    "log_artifacts",
    "log_dict",
    "log_metric",
    "log_metrics",
    "log_model",
    "log_param",
    "log_params",
    "log_text",
    "metrics_asgi_app",
    "metrics_wsgi_app",
    "open",
    "payloads",
    "read_bytes",
    "register_model",
    "save_model",
    "set_tag",
    "set_tags",
    "start_metrics_server",
    "start_run",
    "watch",
]

_CLIENT = "penstock.client.fluent"
_PUBLIC = {
    **{
        name: (_CLIENT, name)
        for name in (
            "start_run",
            "active_run",
            "end_run",
            "log_param",
            "log_params",
            "log_metric",
            "log_metrics",
            "set_tag",
            "set_tags",
            "log_artifact",
            "log_artifacts",
            "log_text",
            "log_dict",
        )
    },
    **{name: ("penstock.client.models", name) for name in ("log_model", "register_model", "load_model")},
    **{name: ("penstock.watching.watch", name) for name in ("watch", "current", "last_prediction_id")},
    **{
        name: ("penstock.watching.exposing", name)
        for name in ("start_metrics_server", "metrics_wsgi_app", "metrics_asgi_app")
    },
    "Chain": ("penstock.serving.loaders.chain", "Chain"),
    "Vote": ("penstock.serving.loaders.chain", "Vote"),
    "Client": ("penstock.client.client", "Client"),
    "compare_tables": ("penstock.flows.observing.tables", "compare_tables"),
    "open": ("penstock.flows.sources.access", "open_data"),
    "payloads": ("penstock.client.payloads", "payloads"),
    "read_bytes": ("penstock.flows.sources.access", "read_bytes"),
    "save_model": ("penstock.registry.flavours", "save_model"),
}


def __getattr__(name: str) -> Any:
    """Load a public name's module when it is first used (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'penstock' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _PUBLIC[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    """Name what there is, also what was not used yet."""
    return sorted({*globals(), *_PUBLIC})
