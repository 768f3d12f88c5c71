"""The configuration: where settings come from, which of them wins, and what is told about wrong ones."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from pydantic import AfterValidator, BaseModel, Field, SecretStr

import collector.venues
from collector.config import Config, find_file, load, secret_values
from collector.errors import ConfigError, Fault
from collector.venues.adapter import VenueSettings


def _in_capitals(value: str) -> str:
    if value != value.upper():
        raise ValueError(f"{value!r} is not in capitals; write {value.upper()}")
    return value


class Account(BaseModel):
    id: SecretStr
    symbols: tuple[str, ...] = ()


class StubSettings(VenueSettings):
    symbols: tuple[Annotated[str, AfterValidator(_in_capitals)], ...] = ()
    token: SecretStr | None = None
    depth: int = Field(10, ge=1, le=20)
    accounts: dict[str, Account] = Field(default_factory=dict)


class Stub:
    name: ClassVar[str] = "stub"
    settings: ClassVar[type[VenueSettings]] = StubSettings


@pytest.fixture(autouse=True)
def _only_the_stub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(collector.venues, "names", lambda: ("other", "stub"))
    monkeypatch.setattr(collector.venues, "find", lambda _name: Stub)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("collector.config.user_config_path", lambda _app: tmp_path / "user")
    monkeypatch.setattr("collector.config.SYSTEM_FOLDER", tmp_path / "system")


def read(tmp_path: Path, text: str = "", secrets: dict[str, str] | None = None, **variables: str) -> Config:
    path = tmp_path / "test.toml"
    path.write_text(text)
    folder = tmp_path / "docker"
    folder.mkdir(exist_ok=True)
    for name, value in (secrets or {}).items():
        (folder / name).write_text(value)
    environ = {f"COLLECTOR_{name}": value for name, value in variables.items()}
    return load(path, environ, docker_secrets=folder)


def faults(tmp_path: Path, text: str = "", **variables: str) -> dict[str, Fault]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, None, **variables)
    assert len({fault.key for fault in caught.value.faults}) == len(caught.value.faults)
    return {fault.key: fault for fault in caught.value.faults}


def test_without_a_file_the_defaults_hold() -> None:
    config = load(None, {})

    assert config.http.listen == "127.0.0.1:8080"
    assert config.database.dsn is None
    assert config.venues == {}
    assert config.source == {}
    assert config.origin == "built-in defaults"


def test_the_state_folder_of_systemd_is_the_default_place_for_data() -> None:
    assert load(None, {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}).data_dir == Path("/var/lib/a")


def test_a_configured_data_dir_beats_the_state_folder(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(f'data_dir = "{tmp_path}"')

    assert load(tmp_path / "c.toml", {"STATE_DIRECTORY": "/var/lib/a"}).data_dir == tmp_path


def test_files_are_looked_for_here_then_with_the_user_then_in_the_system(tmp_path: Path) -> None:
    assert find_file({}) is None
    for folder in ("system", "user", "here"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "collector.toml").touch()
        found = find_file({})
        assert found is not None
        assert found.resolve() == tmp_path / folder / "collector.toml"
    assert find_file({"COLLECTOR_CONFIG": "/named"}) == Path("/named")


def test_a_venue_is_checked_by_its_adapter_and_may_have_another_name(tmp_path: Path) -> None:
    config = read(tmp_path, '[venues.twin]\nadapter = "stub"\nsymbols = ["A"]\nenabled = false')

    assert config.venues["twin"].adapter == "stub"
    assert config.venues["twin"].settings == StubSettings(adapter="stub", symbols=("A",), enabled=False)
    assert not config.venues["twin"].enabled


def test_a_variable_overrides_the_file_and_leaves_its_neighbours(tmp_path: Path) -> None:
    config = read(tmp_path, '[log]\nlevel = "debug"\nformat = "json"', LOG__LEVEL="error")

    assert (config.log.level, config.log.format) == ("error", "json")
    assert config.source["log.level"] == "COLLECTOR_LOG__LEVEL"
    assert config.source["log.format"] == str(tmp_path / "test.toml")
    assert config.origin == f"{tmp_path / 'test.toml'}, 1 environment variable"


@pytest.mark.parametrize("text", ["A, B", '["A", "B"]', "A,B,"])
def test_a_list_in_a_variable_is_json_or_separated_by_commas(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, VENUES__STUB__SYMBOLS=text).venues["stub"].settings.symbols == ("A", "B")  # type: ignore[attr-defined]


def test_a_whole_section_may_be_one_json_variable(tmp_path: Path) -> None:
    config = read(tmp_path, JOURNAL='{"level": 9, "compress": false}', JOURNAL__LEVEL="4")

    assert (config.journal.level, config.journal.compress) == (4, False)


def test_a_variable_finds_its_venue_whatever_the_case_and_dashes(tmp_path: Path) -> None:
    config = read(tmp_path, '[venues.My-Venue]\nadapter = "stub"', VENUES__MY_VENUE__SYMBOLS="A")

    assert config.venues["My-Venue"].settings.symbols == ("A",)  # type: ignore[attr-defined]


def test_a_variable_may_name_the_adapter_of_the_section_that_other_variables_fill(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        VENUES__TWIN__ADAPTER="stub",
        VENUES__TWIN__ACCOUNTS__A__SYMBOLS="X,Y",
        VENUES__TWIN__ACCOUNTS__A__ID="1234",
    )

    assert config.venues["twin"].settings.accounts["a"].symbols == ("X", "Y")  # type: ignore[attr-defined]


def test_empty_variables_and_those_of_others_are_left_alone(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        HTTP__LISTEN="",
        PORT="tcp://10.0.0.1:80",
        REQUIRE_TIMESCALEDB="1",
        SERVER_DIR="/x",
        SERVICE_HOST="10.0.0.1",
        SERVICE_PORT_HTTP="80",
        PORT_8080_TCP="tcp://10.0.0.1:80",
        PORT_8080_TCP_ADDR="10.0.0.1",
        DB_SERVICE_HOST="10.0.0.2",
        DB_PORT_5432_TCP_PROTO="tcp",
    )

    assert config.source == {}


def test_no_limit_can_be_written(tmp_path: Path) -> None:
    config = read(tmp_path, '[journal]\nkeep_days = "unlimited"', JOURNAL__KEEP_GB="unlimited")

    assert config.journal.keep_days is None
    assert config.journal.keep_gb is None


@pytest.mark.parametrize(
    ("listen", "host", "port", "loopback"),
    [
        ("127.0.0.1:80", "127.0.0.1", 80, True),
        ("[::1]:0", "::1", 0, True),
        ("localhost:1", "localhost", 1, True),
        ("0.0.0.0:8080", "0.0.0.0", 8080, False),
        ("box.lan:8080", "box.lan", 8080, False),
    ],
)
def test_the_address_to_listen_on_is_taken_apart(
    tmp_path: Path, listen: str, host: str, port: int, loopback: bool
) -> None:
    http = read(tmp_path, f'[http]\nlisten = "{listen}"').http

    assert (http.host, http.port, http.loopback) == (host, port, loopback)


@pytest.mark.parametrize("listen", ["8080", ":8080", "::1:80", "host:", "host:99999", "host:x", "host:１"])
def test_what_is_no_address_with_a_port_is_refused(tmp_path: Path, listen: str) -> None:
    assert listen in faults(tmp_path, f'[http]\nlisten = "{listen}"')["http.listen"].problem


PASSWORD = "hunter2hunter2"
DSN = f"postgresql://u:{PASSWORD}@h/db"


@pytest.mark.parametrize("name", ["collector_database__dsn", "collector.database.dsn", "collector.database__dsn"])
def test_a_docker_secret_is_read(tmp_path: Path, name: str) -> None:
    config = read(tmp_path, secrets={name: DSN + "\n", "unrelated": "x"})

    assert secret_values(config) == {DSN, PASSWORD}
    assert config.source["database.dsn"] == str(tmp_path / "docker" / name)


def test_a_systemd_credential_beats_a_docker_secret_and_a_variable_beats_both(tmp_path: Path) -> None:
    for folder in ("docker", "systemd"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "collector_database__dsn").write_text(f"postgresql://{folder}/db")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "systemd")}

    def dsn() -> set[str]:
        return set(secret_values(load(None, environ, docker_secrets=tmp_path / "docker")))

    assert dsn() == {"postgresql://systemd/db"}
    environ["COLLECTOR_DATABASE__DSN"] = "postgresql://variable/db"
    assert dsn() == {"postgresql://variable/db"}


def test_a_secret_may_be_in_a_file_that_the_file_or_a_variable_names(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc def\n")

    named_here = read(tmp_path, '[venues.stub]\ntoken_file = "token"')
    named_there = read(tmp_path, "[venues.stub]", VENUES__STUB__TOKEN_FILE=str(tmp_path / "token"))

    assert secret_values(named_here) == secret_values(named_there) == {"abc def"}


def test_a_secret_and_its_file_together_are_a_fault(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc")

    told = faults(
        tmp_path,
        '[venues.stub]\ntoken = "x"\ntoken_file = "token"',
        DATABASE__DSN=DSN,
        DATABASE__DSN_FILE=str(tmp_path / "token"),
    )

    assert set(told) == {"venues.stub.token_file", "COLLECTOR_DATABASE__DSN_FILE"}


@pytest.mark.parametrize(
    ("held", "problem"), [(None, "No such file"), (b"\n", "empty"), (b"\xff", "UTF-8"), (b"x" * 70_000, "too large")]
)
def test_a_secret_file_that_cannot_be_used_is_named(tmp_path: Path, held: bytes | None, problem: str) -> None:
    if held is not None:
        (tmp_path / "secret").write_bytes(held)

    fault = faults(tmp_path, DATABASE__DSN_FILE=str(tmp_path / "secret"))["COLLECTOR_DATABASE__DSN_FILE"]

    assert problem in fault.problem
    assert str(tmp_path / "secret") in fault.problem


def test_secrets_are_in_no_text_about_the_configuration(tmp_path: Path) -> None:
    config = read(tmp_path, '[venues.stub]\ntoken = "tokentoken"\naccounts.a.id = "idid"', DATABASE__DSN=DSN)

    assert secret_values(config) == {DSN, PASSWORD, "tokentoken", "idid"}
    for text in (repr(config), str(config), config.model_dump_json(), repr(config.source), config.origin):
        assert not any(secret in text for secret in secret_values(config))


def test_a_wrong_secret_is_refused_without_being_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, '[database]\ndsn = "mysql://u:hunter2@h"\n[venues.stub]\ntoken = 98765')

    assert {fault.key for fault in caught.value.faults} == {"database.dsn", "venues.stub.token"}
    for secret in ("hunter2", "mysql", "98765"):
        assert secret not in str(caught.value)


def test_all_faults_are_told_at_once_each_with_its_key_value_and_remedy(tmp_path: Path) -> None:
    told = faults(
        tmp_path,
        """
        listen = "x"
        [http]
        listn = "127.0.0.1:1"
        [journal]
        level = "high"
        segment_mb = 0
        [log]
        format = "xml"
        [venues.stub]
        symbols = ["A", "b"]
        dept = 3
        [venues.nix]
        """,
        VENUES__STUB__DEPTH="99",
        WRITER__BATCH_ROWS="1e3",
    )

    assert told == {
        "listen": Fault("listen", "is not a setting", "did you mean http.listen?"),
        "http.listn": Fault("http.listn", "is not a setting", "did you mean http.listen?"),
        "journal.level": Fault("journal.level", "'high' is not a whole number", "write digits, such as 5"),
        "journal.segment_mb": Fault("journal.segment_mb", "0 is too small", "1 or more"),
        "log.format": Fault("log.format", "'xml' is not known", "write 'auto', 'console' or 'json'"),
        "venues.stub.symbols": Fault("venues.stub.symbols", "'b' is not in capitals", "write B"),
        "venues.stub.dept": Fault("venues.stub.dept", "is not a setting", "did you mean venues.stub.depth?"),
        "venues.nix": Fault("venues.nix", "there is no adapter 'nix'", "name one with adapter = .. out of other, stub"),
        "COLLECTOR_VENUES__STUB__DEPTH": Fault("COLLECTOR_VENUES__STUB__DEPTH", "'99' is too large", "20 or less"),
        "COLLECTOR_WRITER__BATCH_ROWS": Fault(
            "COLLECTOR_WRITER__BATCH_ROWS", "'1e3' is not a whole number", "write digits, such as 5"
        ),
    }


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("LOG_LEVEL", "COLLECTOR_LOG__LEVEL"),
        ("DATABASE_DSN_FILE", "COLLECTOR_DATABASE__DSN_FILE"),
        ("DATADIR", "COLLECTOR_DATA_DIR"),
    ],
)
def test_a_variable_with_a_slip_is_told_what_was_meant(tmp_path: Path, variable: str, meant: str) -> None:
    assert faults(tmp_path, **{variable: "x"})[f"COLLECTOR_{variable}"].remedy == f"did you mean {meant}?"


def test_a_variable_that_means_nothing_is_a_fault(tmp_path: Path) -> None:
    assert faults(tmp_path, FOO="x")["COLLECTOR_FOO"] == Fault(
        "COLLECTOR_FOO", "is not a setting", "write COLLECTOR_SECTION__KEY"
    )


def test_an_unknown_section_in_a_variable_is_named_by_the_variable(tmp_path: Path) -> None:
    assert faults(tmp_path, HTPP__LISTEN="x")["COLLECTOR_HTPP__LISTEN"].remedy == "did you mean http?"


@pytest.mark.parametrize(
    "text",
    [
        "venues = 3",
        "[venues]\nstub = 3",
        "http = []",
        "venues.stub.symbols = 3",
        "venues.stub.accounts.a = 3",
        "venues.stub.adapter = 3",
        "data_dir = 3",
        "venues.stub.adapter.x = 3",
        "venues.stub.token_file.x = 3",
        "venues.stub.accounts = [1]",
        "venues.stub.enabled = []",
    ],
)
def test_values_of_a_wrong_kind_are_faults_and_no_crash(tmp_path: Path, text: str) -> None:
    assert faults(tmp_path, text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP", "3"),
        ("HTTP", "{"),
        ("VENUES__STUB__SYMBOLS", '["a'),
        ("VENUES__STUB__ADAPTER", "nix"),
        ("VENUES____STUB", "x"),
        ("HTTP__LISTEN__PORT", "80"),
        ("VENUES__STUB", "[]"),
    ],
)
def test_variables_that_make_no_sense_are_faults_with_their_names(tmp_path: Path, name: str, value: str) -> None:
    assert list(faults(tmp_path, **{name: value})) == [f"COLLECTOR_{name}"]


@pytest.mark.parametrize(("most", "name"), [("max_gb = 2", "max_gb"), ("keep_gb = 2", "keep_gb")])
def test_no_more_can_be_set_to_stay_than_may_be_kept(tmp_path: Path, most: str, name: str) -> None:
    assert read(tmp_path, f"[journal]\nkeep_least_gb = 2\n{most}").journal.keep_least_gb == 2
    [told] = faults(tmp_path, f"[journal]\nkeep_least_gb = 2.5\n{most}").values()
    assert f"is more than {name} (2) lets be kept" in str(told)


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nix\.toml: cannot be read"):
        load(tmp_path / "nix.toml", {})
    with pytest.raises(ConfigError, match=r"cannot be read"):
        load(tmp_path, {})
    (tmp_path / "bad.toml").write_text("a = b")
    with pytest.raises(ConfigError, match=r"bad\.toml: is not TOML: .*line 1"):
        load(tmp_path / "bad.toml", {})


def test_a_config_that_is_built_directly_reads_no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HTTP", '{"listen": "0.0.0.0:1"}')
    monkeypatch.setenv("COLLECTOR_HTTP__LISTEN", "0.0.0.0:1")

    config = Config(data_dir=tmp_path, venues={"stub": {"symbols": ["A"]}})

    assert config.http.listen == "127.0.0.1:8080"
    assert config.venues["stub"].settings == StubSettings(symbols=("A",))


def test_tables_are_kept_for_lengths_of_time(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        '[storage.trades]\ncompress_after = "8d"\nkeep = "90d"\n[storage.books]\nkeep = "2w"',
        STORAGE__TICKS__KEEP="unlimited",
        STORAGE__TICKS__COMPRESS_AFTER="192h",
        STORAGE__KEEP_BACKFILLS="false",
    )
    tables = config.storage.tables
    assert list(tables) == ["trades", "ticks", "books", "candles", "derivatives", "rates", "news"]
    assert (tables["trades"].compress_after, tables["trades"].keep) == (timedelta(days=8), timedelta(days=90))
    assert (tables["ticks"].compress_after, tables["ticks"].keep) == (timedelta(days=8), None)
    assert tables["books"].keep == timedelta(days=14)
    assert (tables["news"].compress_after, tables["news"].keep) == (None, None)
    assert config.storage.keep_backfills is False


def test_a_length_of_time_that_is_none_names_what_would_be_one(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        '[storage.trades]\nkeep = "3 months"\n[storage.ticks]\nkeep = 90\n[storage.news]\nkeep = "0d"\n'
        '[storage.rates]\nkeep = "5h"\n[storage.books]\ncompress_after = "30d"\nkeep = "20d"',
    )
    assert {key: fault.problem for key, fault in found.items()} == {
        "storage.trades.keep": "'3 months' is not a length of time",
        "storage.ticks.keep": "90 is not a length of time",
        "storage.news.keep": "'0d' is not a length of time",
        "storage.rates.keep": "5h is too short",
        "storage.books.compress_after": "30d is not before keep (20d)",
    }
    assert found["storage.trades.keep"].remedy == 'write a number and a unit, such as "90s", "5m", "2h" or "7d"'


def test_repairs_must_be_over_before_rows_are_compressed_or_deleted(tmp_path: Path) -> None:
    text = '[storage.trades]\ncompress_after = "7d"\nkeep = "30d"\n[storage.ticks]\nkeep = "5d"\n[repair]\n'
    found = faults(tmp_path, text)
    assert {key: fault.problem for key, fault in found.items()} == {
        "storage.trades.compress_after": "7d is too short: gaps are repaired up to a greater age",
        "storage.ticks.keep": "5d is too short: gaps are repaired up to a greater age",
    }
    unlimited = faults(tmp_path, text + 'max_age_days = "unlimited"')
    assert set(unlimited) == {"storage.trades.compress_after", "storage.trades.keep", "storage.ticks.keep"}
    assert not faults_or_none(tmp_path, text + "max_age_days = 4")
    assert not faults_or_none(tmp_path, text + "enabled = false")


def faults_or_none(tmp_path: Path, text: str) -> dict[str, Fault]:
    try:
        read(tmp_path, text)
    except ConfigError:
        return faults(tmp_path, text)
    return {}


# -- where secrets lie -------------------------------------------------------------------------------------------------


def test_files_that_hold_secrets_are_known_also_where_another_place_overrules_them(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("tokentoken\n")
    (tmp_path / "collector.toml").write_text(
        '[database]\ndsn = "postgresql://me:hunter22@host/db"\n[venues.stub]\ntoken_file = "token"\n'
    )
    environ = {"COLLECTOR_DATABASE__DSN": "postgresql://me@host/db"}

    config = load(tmp_path / "collector.toml", environ, docker_secrets=tmp_path / "none")

    assert config.secret_files == {
        tmp_path / "collector.toml": ("database.dsn",),
        tmp_path / "token": ("venues.stub.token",),
    }


@pytest.mark.parametrize(
    ("dsn", "secret"),
    [
        ("postgresql://me@host/db", False),
        ("postgresql:///db?host=/run/x", False),
        ("postgresql://host:5432/db", False),
        ("postgresql://me:pw@host/db", True),
        ("postgresql://me@host/db?password=pw", True),
        ("postgresql://me:p/w@host/db", True),
        ("postgresql://me:p@w@host/db", True),
    ],
)
def test_an_address_without_a_password_is_no_secret(tmp_path: Path, dsn: str, secret: bool) -> None:
    (tmp_path / "collector.toml").write_text(f'[database]\ndsn = "{dsn}"\n')
    config = load(tmp_path / "collector.toml", {}, docker_secrets=tmp_path / "none")
    assert bool(config.secret_files) == secret
