"""The folder that Grafana reads: dashboards, and the files that tell it of them and of Prometheus.

Source:
    Grafana's documentation, "Provision Grafana": apiVersion 1 of dashboards and datasources.
"""

from __future__ import annotations

from penstock.monitoring.grafana import drift, endpoint, internals
from penstock.monitoring.grafana.building import render_board
from penstock.monitoring.grafana.overview import OVERVIEW
from penstock.monitoring.prometheus.rules import render_yaml

BOARDS = (OVERVIEW, endpoint.BOARD, drift.BOARD, internals.BOARD)
DASHBOARDS = "dashboards"


def grafana_files(prometheus_url: str, folder: str, server_url: str = "") -> dict[str, bytes]:
    """Return the files by their path in the folder; the same arguments give the same bytes.

    Args:
        prometheus_url: where Grafana asks Prometheus.
        folder: where Grafana finds the dashboards, as an absolute path on its machine.

    Raises:
        NotFound: the extra `grafana` is not installed.
    """
    files = {f"{DASHBOARDS}/{board.uid}.json": render_board(board, server_url).encode() for board in BOARDS}
    provider = {
        "name": "penstock",
        "folder": "Penstock",
        "type": "file",
        "allowUiUpdates": False,
        "options": {"path": folder},
    }
    source = {
        "name": "Prometheus",
        "type": "prometheus",
        "uid": "penstock-prometheus",
        "access": "proxy",
        "url": prometheus_url,
        "isDefault": True,
        "jsonData": {"httpMethod": "POST", "timeInterval": "15s"},
    }
    files["provisioning/dashboards/penstock.yaml"] = render_yaml(
        {"apiVersion": 1, "providers": [provider]}
    ).encode()
    files["provisioning/datasources/penstock.yaml"] = render_yaml(
        {"apiVersion": 1, "datasources": [source]}
    ).encode()
    return files
