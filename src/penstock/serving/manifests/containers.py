"""The image, and everything on one machine: a Dockerfile and a compose file."""

from __future__ import annotations

from typing import Any

from penstock.serving.manifests.deployable import (
    HTTP_PORT,
    Deployable,
    serve_arguments,
    text_of,
)

_STORE = "postgresql://penstock:${POSTGRES_PASSWORD:?set it in .env}@postgres/penstock"
_SCRAPE = """# Made by `penstock deploy --manifest`. `penstock monitor rules --out rules.yaml` writes the alerts.
scrape_configs:
  - job_name: penstock
    authorization: {credentials_file: /etc/prometheus/token}
    static_configs: [{targets: ["serve:8080", "server:5000"]}]
rule_files: [rules.yaml]
"""
_OWN = "/app/.penstock /artifacts"
"""What is written there; a volume takes over whose the directory of the image is."""
_GIT = "apt-get update && apt-get install --yes --no-install-recommends git && rm -rf /var/lib/apt/lists/*"


def render_dockerfile(deployable: Deployable) -> str:
    """Return a Dockerfile: the project's packages, then Penstock, run by nobody in particular."""
    commands = (*((_GIT,) if deployable.needs_git else ()), *deployable.install)
    install = "\n".join(f"RUN {command}" for command in commands)
    return f"""# Made by `penstock deploy --manifest`. Build it at the project's root: docker build -f THIS -t {deployable.image} .
FROM python:{deployable.python}-slim
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
COPY . /app
{install}
RUN useradd --uid 10001 --no-create-home penstock && mkdir -p {_OWN} && chown 10001:10001 {_OWN}
USER 10001
EXPOSE 8080 8081 5000
ENTRYPOINT ["penstock"]
CMD ["serve", "--host=0.0.0.0", "--auth"]
"""


def render_dockerignore() -> str:
    """Return what does not belong into an image: data, secrets, histories."""
    return "\n".join(
        (".git", ".venv", ".penstock", ".dvc/cache", ".dvc/tmp", "data", "**/__pycache__", ".env", "")
    )


def render_compose(deployable: Deployable) -> dict[str, str]:
    """Return a compose file of the whole: PostgreSQL, the server, `serve`, Prometheus and Grafana."""
    environment = {
        "PENSTOCK_STORE": _STORE,
        "PENSTOCK_ARTIFACTS": "/artifacts",
        "PENSTOCK_TRUSTED_KEYS": ",".join(deployable.trusted_keys),
    }
    shared: dict[str, Any] = {
        "image": deployable.image,
        "environment": environment,
        "volumes": ["artifacts:/artifacts"],
        "depends_on": {"postgres": {"condition": "service_healthy"}},
        "restart": "unless-stopped",
    }
    ready = {"interval": "5s", "timeout": "3s", "retries": 24}
    services = {
        "postgres": {
            "image": "postgres:16",
            "environment": {
                "POSTGRES_USER": "penstock",
                "POSTGRES_DB": "penstock",
                "POSTGRES_PASSWORD": "${POSTGRES_PASSWORD:?set it in .env}",
            },
            "volumes": ["postgres:/var/lib/postgresql/data"],
            "healthcheck": {"test": ["CMD", "pg_isready", "-U", "penstock"], **ready},
            "restart": "unless-stopped",
        },
        "server": {
            **shared,
            "command": ["server", "--host=0.0.0.0", "--auth", "--allowed-hosts=server,localhost"],
            "ports": ["127.0.0.1:5000:5000"],
        },
        "serve": {
            **shared,
            "command": serve_arguments(deployable, ("serve", "localhost")),
            "ports": [f"127.0.0.1:{HTTP_PORT}:{HTTP_PORT}"],
            "stop_grace_period": "45s",
        },
        "prometheus": {
            "image": "prom/prometheus:v2.53.0",
            "volumes": [
                "./prometheus.yaml:/etc/prometheus/prometheus.yml:ro",
                "./rules.yaml:/etc/prometheus/rules.yaml:ro",
                "./token:/etc/prometheus/token:ro",
            ],
            "ports": ["127.0.0.1:9090:9090"],
        },
        "grafana": {
            "image": "grafana/grafana:11.1.0",
            "volumes": [
                "./grafana/provisioning:/etc/grafana/provisioning:ro",
                "./grafana/dashboards:/var/lib/grafana/dashboards:ro",
            ],
            "ports": ["127.0.0.1:3000:3000"],
        },
    }
    document = {"name": "penstock", "services": services, "volumes": {"postgres": {}, "artifacts": {}}}
    return {
        "compose.yaml": text_of(
            document, "Made by `penstock deploy --manifest`; see README.md for the first start."
        ),
        "prometheus.yaml": _SCRAPE,
    }
