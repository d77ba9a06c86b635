"""What a reader sets over the configuration of a repository it takes data from: `--config --remote --remote-config`.

An import keeps them in its pointer (`repo: {url, config, remote}`).

Source: dvc/repo/imp.py and dvc/dependency/repo.py (3.67).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.base.errors import Invalid, NotFound
from penstock.data.configuration.config import Config, Sections, read_resolved


@dataclass(frozen=True)
class Overrides:
    """`config` is a file or its sections as in a pointer, `remote` a default remote, `remote_config` keys of it."""

    config: str | Mapping[str, Any] | None = None
    remote: str | None = None
    remote_config: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, origin: Mapping[str, Any]) -> Overrides:
        """Read the `repo` entry of a pointer's dependency."""
        config, remote = origin.get("config"), origin.get("remote")
        if isinstance(remote, Mapping):
            return cls(config, None, {str(key): str(value) for key, value in remote.items()})
        return cls(config, None if remote is None else str(remote))

    def to_document(self) -> dict[str, Any]:
        """Return the keys that a pointer's `repo` entry gets.

        Raises:
            Invalid: a file, a remote and its keys were given together, which the format has no place for.
        """
        if self.remote and self.remote_config:
            if self.config is not None:
                raise Invalid(
                    "--config goes with --remote or --remote-config, not with both",
                    code="data.bad_option",
                    hint="put the keys of the remote into the file",
                )
            return {
                "config": {
                    "core": {"remote": self.remote},
                    "remote": {self.remote: dict(self.remote_config)},
                }
            }
        remote = self.remote or dict(self.remote_config)
        return {
            **({"config": self.config} if self.config is not None else {}),
            **({"remote": remote} if remote else {}),
        }

    def over(self, config: Config, base: Path) -> Config:
        """Return a configuration with these set over it; a config file's relative path starts at `base`.

        Raises:
            NotFound: the file does not exist, or keys are given and no remote is the default.
        """
        if self == NO_OVERRIDES:
            return config
        sections: Sections = {name: dict(values) for name, values in config.sections.items()}
        for name, values in self._sections(base).items():
            sections.setdefault(name, {}).update(values)
        if self.remote:
            sections.setdefault("core", {})["remote"] = self.remote
        if self.remote_config:
            default = sections.get("core", {}).get("remote")
            if default is None:
                raise NotFound(
                    "the source has no default remote to set keys of",
                    code="data.no_remote",
                    hint="--remote NAME",
                )
            sections.setdefault(f'remote "{default}"', {}).update(self.remote_config)
        return Config(sections)

    def _sections(self, base: Path) -> Sections:
        if self.config is None:
            return {}
        if isinstance(self.config, str):
            path = base / self.config
            if not path.is_file():
                raise NotFound(f"there is no file {path}", code="data.path_missing", path=str(path))
            return read_resolved(path)
        found: Sections = {}
        for kind, values in self.config.items():
            for key, value in values.items():
                if isinstance(value, Mapping):
                    inner = {str(name): str(one) for name, one in value.items()}
                    found.setdefault(f'{kind} "{key}"', {}).update(inner)
                else:
                    found.setdefault(str(kind), {})[str(key)] = str(value)
        return found


NO_OVERRIDES = Overrides()
