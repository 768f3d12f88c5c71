"""The files around the program: lock files, set-up, service and container."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = sorted(ROOT.glob("requirements*.lock"))


def tracked() -> list[Path]:
    """Return every file that git knows, or in an exported tree every file outside hidden folders."""
    if (ROOT / ".git").exists():
        # The checkout may belong to another user than the one who tests.
        command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-files", "-z"]
        names = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\0")
        return [ROOT / name for name in names if name and (ROOT / name).is_file()]
    return [path for path in ROOT.rglob("*") if path.is_file() and not path.relative_to(ROOT).parts[0].startswith(".")]


def pinned(lock: Path) -> dict[str, str]:
    """Return name to version of everything in a lock file."""
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", lock.read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_everything_locked_has_a_hash_and_no_address(lock: Path) -> None:
    text = lock.read_text()
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]

    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==\S+( ; .*)? \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+$", entry), entry
    assert "://" not in text


def test_the_locks_agree_with_each_other() -> None:
    run, dev, build = (pinned(ROOT / f"requirements{name}.lock") for name in ("", "-dev", "-build"))

    assert run.items() <= dev.items()
    assert build.items() <= dev.items()


def test_all_that_the_project_asks_for_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = {
        "requirements.lock": project["project"]["dependencies"],
        "requirements-dev.lock": project["dependency-groups"]["dev"],
        "requirements-build.lock": project["dependency-groups"]["build"],
    }

    for lock, wanted in groups.items():
        names = {re.split(r"[^A-Za-z0-9._-]", one, maxsplit=1)[0].lower() for one in wanted}
        assert not names - pinned(ROOT / lock).keys(), f"run `make lock`: {lock} lacks them"


def test_no_file_names_a_package_index_or_a_folder_of_the_machine() -> None:
    command = [sys.executable, "-m", "pip", "config", "list"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    hosts = {urlsplit(url).hostname for url in re.findall(r"\w+://[^'\s]+", told)} - {"localhost", "127.0.0.1", "::1"}
    folders = {path for path in [str(ROOT), *re.findall(r"file://(/[^'\s]+)", told)] if path.count("/") > 1}
    words = [word for word in {*hosts, *folders} if word]

    for path in tracked():
        text = path.read_bytes().decode(errors="replace")
        assert not [word for word in words if word in text], path


@pytest.mark.parametrize(
    "name", ["scripts/setup", "scripts/debian-program", ".ci/run", "deploy/make-secrets", "deploy/database/logins.sh"]
)
def test_scripts_can_be_started_and_parsed(name: str) -> None:
    path = ROOT / name
    shell = path.read_text().splitlines()[0].rpartition("/")[2].removeprefix("env ")

    assert path.stat().st_mode & 0o111
    assert subprocess.run([shell, "-n", str(path)], capture_output=True, check=False).stderr == b""


def test_make_tells_its_targets() -> None:
    told = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout

    for target in ("demo", "test", "lint", "bench", "soak", "lock", "clean"):
        assert re.search(rf"^make {target}\b", told, re.MULTILINE)


def needs_systemd() -> str:
    return shutil.which("systemd-analyze") or pytest.skip("systemd-analyze is not here")


def test_the_service_file_is_one_that_systemd_accepts(tmp_path: Path) -> None:
    unit = tmp_path / "collector.service"
    text = (ROOT / "deploy" / "collector.service").read_text()
    unit.write_text(re.sub(r"^(ExecStart(?:Pre)?)=-?/\S+", r"\1=/bin/true", text, flags=re.MULTILINE))

    done = subprocess.run(
        [needs_systemd(), "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )

    assert "collector.service" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


def test_the_service_is_shut_in_well() -> None:
    command = [needs_systemd(), "security", "--offline=true", "--threshold=20", str(ROOT / "deploy/collector.service")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-200:] + done.stderr


def service() -> configparser.SectionProxy:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(ROOT / "deploy" / "collector.service")
    return unit["Service"]


def test_the_service_leaves_no_memory_behind_and_takes_no_more_than_its_share() -> None:
    limit = re.fullmatch(r"(\d+)G", service()["MemoryMax"])

    assert service()["LimitCORE"] == "0"
    assert limit
    assert 2 <= int(limit[1]) <= 4


def test_the_service_notifies_and_does_not_restart_on_a_wrong_configuration() -> None:
    assert service()["Type"] == "notify"
    assert service()["RestartPreventExitStatus"] == "2"
    assert service()["LoadCredential"].startswith("collector:")


def test_the_check_before_the_start_can_never_prevent_it() -> None:
    """systemd would try again for ever: it heeds RestartPreventExitStatus for the main process only."""
    lines = (ROOT / "deploy" / "collector.service").read_text().splitlines()
    before = [line for line in lines if line.startswith("ExecStartPre=")]
    [start] = [line for line in lines if line.startswith("ExecStart=")]

    assert before == ["ExecStartPre=-" + start.removeprefix("ExecStart=").replace(" run ", " check --offline ")]
