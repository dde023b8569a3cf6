"""Settings: which source wins, what is refused, what is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench import connect
from workbench.errors import ConfigurationError
from workbench.settings import Settings

FILE = """
[default]
pool_size = 3
statement_timeout_s = 60

[production]
pool_size = 20
database_url = "postgresql://app:secret@db.example/agents"
"""


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a file, an environment without our variables."""
    import os

    for name in [name for name in os.environ if name.startswith("WORKBENCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_arguments_win_over_environment_over_file_over_defaults(tmp_path, monkeypatch):
    """Each source is asked in turn, value by value."""
    (tmp_path / "workbench.toml").write_text(FILE)
    monkeypatch.setenv("WORKBENCH_STATEMENT_TIMEOUT_S", "90")
    monkeypatch.setenv("WORKBENCH_CONNECT_TIMEOUT_S", "7")

    settings = Settings.load(connect_timeout_s=2)

    assert (
        settings.connect_timeout_s, settings.statement_timeout_s, settings.pool_size, settings.start_timeout_s,
    ) == (2, 90, 3, 120)  # fmt: skip


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_a_profile_goes_on_top_of_the_default_section(tmp_path, monkeypatch, how):
    """WORKBENCH_ENV, or env=…, names a section whose values win; the others stay those of [default]."""
    (tmp_path / "workbench.toml").write_text(FILE)
    if how == "variable":
        monkeypatch.setenv("WORKBENCH_ENV", "production")

    settings = Settings.load(**({"env": "production"} if how == "argument" else {}))

    assert (settings.pool_size, settings.statement_timeout_s) == (20, 60)
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://app:secret@db.example/agents"


def test_the_file_in_the_home_is_read_where_the_folder_has_none(tmp_path, monkeypatch):
    """The nearest file holds alone: the current folder's, else the home's."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "workbench.toml").write_text("[default]\npool_size = 9\n")
    monkeypatch.setenv("WORKBENCH_HOME", str(home))
    assert Settings.load().pool_size == 9

    (tmp_path / "workbench.toml").write_text("[default]\nstatement_timeout_s = 1\n")
    assert (Settings.load().pool_size, Settings.load().statement_timeout_s) == (5, 1)


@pytest.mark.parametrize(
    ("text", "env", "says"),
    [
        (FILE, "staging", r"has no section \[staging\]. It has: \[default\], \[production\]"),
        (None, "staging", "no workbench.toml"),
        ("pool_size = = 3", "default", "is not TOML"),
        ("default = 3", "default", "is no section"),
        ("[default]\npool_sise = 3", "default", "pool_sise: Extra inputs"),
        ("[default]\npool_size = 0", "default", "pool_size: .*greater than or equal to 1"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path, text, env, says):
    """Unknown sections, names and values are refused by name; nothing is ignored."""
    if text is not None:
        (tmp_path / "workbench.toml").write_text(text)

    with pytest.raises(ConfigurationError, match=says):
        Settings.load(env=env)


def test_an_unknown_argument_names_the_known_ones():
    """A misspelt setting is an error that lists the settings."""
    with pytest.raises(ConfigurationError, match=r"No setting 'pol_size'. There are: home, database_url"):
        Settings.load(pol_size=3)


def test_a_password_is_never_shown():
    """Neither a repr nor an error holds the password of a URL."""
    secret = "hunter2hunter2"
    settings = Settings.load(database_url=f"postgresql://app:{secret}@h/db")
    assert secret not in f"{settings!r} {settings} {settings.model_dump()}"

    with pytest.raises(ConfigurationError, match=r"database_url: .*expected postgresql://") as error:
        Settings.load(database_url=f"mysql://app:{secret}@h/db")
    assert secret not in f"{error.value} {error.value!r}"
    assert error.value.__cause__ is None


def test_an_empty_url_means_the_embedded_server(monkeypatch):
    """WORKBENCH_DATABASE_URL= (empty) is as good as not set."""
    monkeypatch.setenv("WORKBENCH_DATABASE_URL", "")

    assert Settings.load().database_url is None


def test_a_home_that_is_given_means_its_own_server(tmp_path, monkeypatch):
    """No variable and no file may lead a call that names a folder to another database."""
    (tmp_path / "workbench.toml").write_text(FILE)
    for name in ("DATABASE_URL", "DIRECT_URL", "READER_URL"):
        monkeypatch.setenv(f"WORKBENCH_{name}", "postgresql://other.example/agents")

    settings = Settings.load(home=tmp_path, env="production")

    assert (settings.database_url, settings.direct_url, settings.reader_url) == (None, None, None)
    assert settings.pool_size == 20


def test_a_url_and_a_home_exclude_each_other(tmp_path):
    """Which of the two is meant cannot be known."""
    with pytest.raises(ConfigurationError, match="url and home exclude each other"):
        connect("postgresql://db.example/agents", home=tmp_path)


def test_the_home_is_absolute(tmp_path, monkeypatch):
    """A home given relatively, or with ~, is the same folder wherever the program goes later."""
    monkeypatch.setenv("HOME", str(tmp_path))

    assert Settings.load(home="~/x").home == tmp_path / "x"
    assert Settings.load(home="y").home == tmp_path / "y"


def test_an_empty_variable_is_no_setting(monkeypatch):
    """``WORKBENCH_HOME=`` in a shell or a container file means the default, not the current folder."""
    default = Settings.load().home
    monkeypatch.setenv("WORKBENCH_HOME", "")

    assert Settings.load().home == default
