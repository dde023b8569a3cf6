"""Settings: arguments > environment (``WORKBENCH_…``) > ``workbench.toml`` > defaults.

``workbench.toml`` is looked for in the current folder, then in the home folder. Its ``[default]`` section holds for
everyone; the section that ``WORKBENCH_ENV`` names (``[production]``, ``[ci]`` …) goes on top of it.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Self

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from workbench.errors import ConfigurationError

FILE_NAME = "workbench.toml"


class Settings(BaseSettings):
    """All settings of a workbench; frozen.

    Attributes
    ----------
    home
        Folder of the embedded server's data and of the user's ``workbench.toml``.
    database_url
        Any Postgres; ``None`` = the embedded server in ``home``.
    direct_url
        The same database past a transaction pooler, where that is not plain from ``database_url`` (host without
        ``-pooler``, port 5432 for 6543): for migrations and bulk reading.
    reader_url
        The same database as a role that may only read: who the user's own SQL runs as.
    env
        Which section of ``workbench.toml`` goes on top of ``[default]``.
    pool_size
        Connections kept open; as many again may be opened under load.
    statement_timeout_s
        A query is stopped by the server after this long; 0 = never.
    connect_timeout_s
        How long to wait for a connection.
    start_timeout_s
        How long the embedded server may take to start (recovery after a crash included).
    redact
        Frames and states come without secrets; set for the kernel of a report.
    application_name
        What the server shows for our connections.
    spool
        Folder that holds what ``bench.record()`` captured until the database has it; ``None`` = ``spool`` in ``home``.
    spool_limit_mb
        How much may wait there for one process and database; what an agent does then is not captured, only counted.
    prices
        Whether an ingest gives runs whose source tells no cost one from the installed table of prices.
    """

    model_config = SettingsConfigDict(env_prefix="WORKBENCH_", env_ignore_empty=True, frozen=True, extra="forbid")

    home: Path = Field(default_factory=lambda: Path(platformdirs.user_data_dir("workbench", appauthor=False)))
    database_url: SecretStr | None = None
    direct_url: SecretStr | None = None
    reader_url: SecretStr | None = None
    env: str = "default"
    pool_size: int = Field(default=5, ge=1, le=100)
    statement_timeout_s: float = Field(default=300, ge=0)
    connect_timeout_s: int = Field(default=15, ge=1)
    start_timeout_s: float = Field(default=120, gt=0)
    spool: Path | None = None
    spool_limit_mb: int = Field(default=1_000, ge=1)
    prices: bool = True
    redact: bool = False
    application_name: str = Field(default="workbench", max_length=40, pattern=r"^[\w .:/-]+$")

    @field_validator("home", "spool")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()

    @property
    def spool_dir(self) -> Path:
        """Folder of the spools."""
        return self.spool or self.home / "spool"

    @field_validator("database_url", "direct_url", "reader_url")
    @classmethod
    def _is_postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        scheme = value.get_secret_value().partition("://")[0].partition("+")[0]
        if scheme not in ("postgresql", "postgres"):
            raise ValueError("expected postgresql://user:password@host/database")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the file."""
        return init_settings, env_settings, _FileSource(settings_cls)

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Settings from all sources; ``given`` wins.

        A ``home`` that is given means the embedded server in it, whatever database the environment or the file names.

        Raises
        ------
        ConfigurationError
            A value does not validate, a name is unknown, or the file cannot be read; the text names each.
        """
        unknown = sorted(set(given) - set(cls.model_fields))
        if unknown:
            raise ConfigurationError(
                f"No setting {', '.join(map(repr, unknown))}. There are: {', '.join(cls.model_fields)}.",
                unknown=unknown,
            )
        if given.get("home") is not None:
            given = {"database_url": None, "direct_url": None, "reader_url": None, **given}
        try:
            return cls(**given)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
            raise ConfigurationError(
                f"Settings do not validate: {wrong}. They come from arguments, WORKBENCH_… variables or {FILE_NAME}."
            ) from None  # the cause would show a password in the URL


class _FileSource(PydanticBaseSettingsSource):
    """The nearest ``workbench.toml``: ``[default]``, then the section of the environment in use."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Unused: the file is read at once."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        env = self.current_state.get("env") or "default"
        home = self.current_state.get("home") or platformdirs.user_data_dir("workbench", appauthor=False)
        for folder in (Path.cwd(), Path(home).expanduser()):
            path = folder / FILE_NAME
            if path.is_file():
                return self._read(path, str(env))
        if env != "default":
            raise ConfigurationError(
                f"The environment is {env!r} (WORKBENCH_ENV or env=…), but no {FILE_NAME} in {Path.cwd()} or {home}"
                f" has a section [{env}]."
            )
        return {}

    def _read(self, path: Path, env: str) -> dict[str, Any]:
        try:
            sections = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path} is not TOML: {error}", path=path) from error
        if env != "default" and env not in sections:
            raise ConfigurationError(
                f"{path} has no section [{env}]. It has: {', '.join(f'[{name}]' for name in sections) or 'none'}.",
                path=path,
            )
        found: dict[str, Any] = {}
        for name in ("default", env):
            section = sections.get(name, {})
            if not isinstance(section, dict):
                raise ConfigurationError(
                    f"{path}: {name!r} is no section. Write [{name}] above its settings.", path=path
                )
            found |= section
        return found
