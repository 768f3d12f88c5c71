"""The command line: what it prints where, and its exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from collector import __version__
from collector.cli import app, demo, main
from collector.cli.output.screen import Screen
from collector.journal.identity import journal_name
from tests.databases import DatabaseServer

PLAIN = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no configuration of this machine come in."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("COLLECTOR_") and "__" in name]:
        monkeypatch.delenv(name)
    for name, value in PLAIN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLLECTOR_CONFIG", str(tmp_path / "collector.toml"))
    (tmp_path / "collector.toml").write_text(f'data_dir = "{tmp_path / "data"}"\n')
    monkeypatch.setattr("collector.logs.configure", lambda *_, **__: None)


def commands() -> list[list[str]]:
    groups = {group.name: group.typer_instance for group in app.registered_groups}
    nested = [
        [str(name), command.name or str(command.callback and command.callback.__name__)]
        for name, group in groups.items()
        if group
        for command in group.registered_commands
    ]
    plain = [
        [command.name or str(command.callback and command.callback.__name__)] for command in app.registered_commands
    ]
    return [*plain, *nested]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_helps_with_examples(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0

    told = capsys.readouterr().out
    assert f"collector {' '.join(command)}" in told
    assert "Example" in told


def test_help_loads_nothing_heavy() -> None:
    heavy = {"aiohttp", "asyncpg", "pydantic", "sqlalchemy", "structlog", "zstandard", "collector.daemon.daemon"}
    script = f"import sys, collector.cli; print(*sorted({heavy!r} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert (done.stdout.strip(), done.stderr, done.returncode) == ("", "", 0)


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"collector {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["nix"], ["migrate", "--nix"], ["simulate", "--rate", "fast"], ["database", "x"]]
)
def test_wrong_usage_ends_with_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().out == ""


def test_all_faults_of_the_configuration_are_listed_with_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.toml").write_text('[http]\nlisten = "x"\n[database]\ndsn = "hunter2"\n[log]\nlevl = 1')

    assert main(["migrate", "--config", str(tmp_path / "bad.toml")]) == 2

    told = capsys.readouterr()
    assert told.out == ""
    assert "3 faults" in told.err
    for expected in ("http.listen  'x' is not", "database.dsn  is not", "did you mean log.level?"):
        assert expected in told.err
    assert "hunter2" not in told.err


def test_a_failure_is_one_text_without_a_traceback_and_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLECTOR_DATABASE__DSN", "postgresql://someone:hunter2@127.0.0.1:1/market")

    assert main(["migrate"]) == 1

    told = capsys.readouterr()
    assert told.err.startswith("error: someone@127.0.0.1:1/market: ")
    assert "Traceback" not in told.err
    assert "hunter2" not in told.err


@pytest.mark.parametrize("database_server", ["postgres"], indirect=True)
def test_migrate_makes_the_tables_once_and_tells_scripts_in_json(
    database_server: DatabaseServer,
    empty_database: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLLECTOR_DATABASE__DSN", empty_database)

    def said(*arguments: str) -> dict[str, list[str]]:
        capsys.readouterr()
        assert main(["migrate", "--json", *arguments]) == 0
        told: dict[str, list[str]] = json.loads(capsys.readouterr().out)
        return told

    steps = said("--dry-run")["pending"]
    assert steps
    assert said() == {"applied": steps}
    assert said() == {"applied": []}
    assert said("--dry-run") == {"pending": []}


def test_psql_of_a_configured_database_is_told_without_the_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLECTOR_DATABASE__DSN", "postgresql://me:hunter2@box:5433/market")

    assert main(["database", "psql"]) == 0

    assert capsys.readouterr().out == "psql postgresql://me@box:5433/market\n"


def test_psql_of_a_server_that_never_ran_fails_with_the_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["database", "psql"]) == 1
    assert "collector run" in capsys.readouterr().err


def test_a_configured_database_is_not_started(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLECTOR_DATABASE__DSN", "postgresql://me@box/market")

    assert main(["database", "start"]) == 1
    assert "database.dsn is set, so there is no embedded server" in capsys.readouterr().err


def test_simulate_prints_its_addresses_first_and_ends_orderly(tmp_path: Path) -> None:
    written = tmp_path / "sim.toml"
    with subprocess.Popen(
        [sys.executable, "-m", "collector.cli", "simulate", "--rate", "10", "--write-config", str(written)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            addresses = json.loads(process.stdout.readline())
            process.send_signal(signal.SIGTERM)
            status = process.wait(10)
        finally:
            process.kill()

    assert set(addresses["fmfw"]) >= {"rest_url", "ws_url"}
    assert addresses["fmfw"]["ws_url"] in written.read_text()
    assert status == 0


def test_a_venue_that_cannot_be_simulated_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--venue", "nix"]) == 2
    assert "fmfw" in capsys.readouterr().err


def test_nothing_configured_is_told_and_not_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run"]) == 2
    told = capsys.readouterr().err
    assert "venues  none is configured" in told
    assert "collector.example.toml" in told
    assert not Path("data").exists()
    assert main(["check"]) == 1


VENUE = '[venues.fmfw]\nsymbols = ["A"]\nrest_url = "http://127.0.0.1:1"\nws_url = "ws://127.0.0.1:1"\n'


@pytest.mark.parametrize("data_dir", ["file", "file/below", "/proc/collector"])
def test_a_data_folder_that_cannot_be_made_is_worth_another_start(
    data_dir: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").touch()
    Path("collector.toml").write_text(f'data_dir = "{data_dir}"\n{VENUE}[http]\nlisten = "127.0.0.1:0"\n')
    assert main(["run"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: data_dir {Path(data_dir).absolute()} cannot be created")
    assert "Traceback" not in told


def test_a_secret_s_file_that_is_not_there_yet_is_worth_another_start(capsys: pytest.CaptureFixture[str]) -> None:
    Path("collector.toml").write_text(f'{VENUE}[database]\ndsn_file = "late"\n')
    assert main(["run"]) == 1
    assert "late' cannot be read: No such file or directory" in capsys.readouterr().err
    Path("collector.toml").write_text(f'{VENUE}[database]\ndsn_file = "late"\n[log]\nlevl = 1\n')
    assert main(["run"]) == 2
    assert "2 faults" in capsys.readouterr().err


def test_a_name_that_a_crash_cut_short_is_made_anew_and_then_kept(tmp_path: Path) -> None:
    (tmp_path / "name").touch()
    name = journal_name(tmp_path)
    assert len(name) == 32
    assert journal_name(tmp_path) == name


def test_a_demo_of_a_venue_that_nobody_simulates_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--venue", "fmfw,nosuch", "--duration", "1"]) == 2
    told = capsys.readouterr().err
    assert "there is no venue 'nosuch' to choose; there is" in told
    assert "metaapi" in told


def test_a_second_demo_does_not_judge_the_rows_of_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kept" / "data" / "journal").mkdir(parents=True)
    assert main(["demo", "--data-dir", "kept"]) == 1
    assert "kept holds an earlier demo" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["demo", "--data-dir", "file/below"]) == 1
    assert "data_dir file/below cannot be created" in capsys.readouterr().err


def test_a_demo_that_is_kept_says_how_to_look_at_it(capsys: pytest.CaptureFixture[str]) -> None:
    demo.tell_the_way(Screen(), Path("my demo"))

    told = capsys.readouterr().out
    assert told.startswith("To look around: cd 'my demo'\n")
    for command in ("collector chart", "collector database start"):
        assert any(line.strip().startswith(command) for line in told.splitlines())
