"""The compose stack, as far as it can be tried without an engine: files, logins, images, the entry point's commands."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import yaml

from collector.store.embedded import EmbeddedServer
from collector.store.migrate import migrate
from tests.databases import TIMESCALEDB, installation_for, open_folder, with_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()


def make_secrets(folder: Path) -> dict[str, str]:
    """Run a copy of the script; returns what the folder holds then."""
    script = folder / "make-secrets"
    if not script.exists():
        shutil.copy(ROOT / "deploy" / "make-secrets", script)
    subprocess.run([script], check=True, capture_output=True)
    return {path.name: path.read_text() for path in (folder / "secrets").iterdir()}


def compose_command(folder: Path) -> list[str]:
    """Return what checks a compose file here: docker's plugin, or Debian's docker-compose, which knows no `name`."""
    docker = shutil.which("docker")
    if docker and not subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        return [docker, "compose", "--file", str(ROOT / "docker-compose.yml")]
    old = shutil.which("docker-compose")
    if not old:
        pytest.skip("neither docker's compose plugin nor docker-compose is here")
    path = folder / "docker-compose.yml"
    path.write_text((ROOT / "docker-compose.yml").read_text().replace("name: collector\n", "", 1))
    return [old, "--file", str(path)]


@pytest.mark.parametrize("profile", ["none", "demo"])
def test_the_compose_file_is_one_that_docker_accepts(tmp_path: Path, profile: str) -> None:
    (tmp_path / "deploy").mkdir()
    make_secrets(tmp_path / "deploy")
    shutil.copy(ROOT / "deploy" / "demo.env", tmp_path)
    chosen = ["--env-file", str(tmp_path / "demo.env")] if profile == "demo" else []

    command = [*compose_command(tmp_path), *chosen, "config"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    told = yaml.safe_load(done.stdout)["services"]["collector"]["environment"]
    assert told["COLLECTOR_CONFIG"] == ("/etc/collector/demo.toml" if profile == "demo" else "")


def test_every_container_is_shut_in_bounded_and_restarted() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["restart"] == "unless-stopped", name
        assert service["mem_limit"], name
        assert service["ulimits"]["core"] == 0, name
        assert service["pids_limit"], name
        assert "healthcheck" in service or "build" in service, name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        assert "privileged" not in service


def test_what_is_mounted_and_made_secret_is_there() -> None:
    made = set(
        re.findall(r"^for name in (.+); do", (ROOT / "deploy/make-secrets").read_text(), re.MULTILINE)[0].split()
    )
    assert {Path(one["file"]).name for one in COMPOSE["secrets"].values()} == made | {"collector_dsn"}
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith("./") else source in COMPOSE["volumes"], (name, volume)
        for secret in service.get("secrets", ()):
            assert (secret if isinstance(secret, str) else secret["source"]) in COMPOSE["secrets"]


def test_no_secret_is_in_the_environment_or_in_a_layer() -> None:
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            assert key.endswith(("_FILE", "__FILE")) or not re.search(
                "password|token|secret", f"{key}={value}", re.IGNORECASE
            )
    ignored = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().split("\n")
    assert "*" in ignored
    assert not [line for line in ignored if line.startswith("!deploy")]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert {word for line in copied for word in line.split()} == {
        "requirements.lock",
        "requirements-analysts.lock",
        "requirements-build.lock",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "migrations",
        "collector",
    }


def test_images_are_pinned_and_ours_runs_as_an_ordinary_user() -> None:
    images = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) + [one["image"] for one in SERVICES.values()]

    for image in images:
        assert re.fullmatch(r"[a-z]+(/[a-z]+)?:[\w.-]+", image), image
        assert not image.endswith(":latest")
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)


def test_the_dockerfile_passes_its_linter() -> None:
    linter = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert linter, "hadolint is one of the development packages"
    done = subprocess.run([linter, str(ROOT / "deploy/Dockerfile")], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
    assert done.stdout == ""


def test_secrets_for_containers_are_made_once_and_fit_together(tmp_path: Path) -> None:
    held = make_secrets(tmp_path)

    assert make_secrets(tmp_path) == held
    passwords = {name: text for name, text in held.items() if name.endswith("_password")}
    assert len(set(passwords.values())) == 4
    assert all(re.fullmatch(r"[0-9a-f]{48}", text) for text in passwords.values())
    assert held["collector_dsn"] == f"postgresql://collector:{held['collector_password']}@database:5432/market\n"
    assert held[".gitignore"] == "*\n"
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0


@pytest.fixture
async def new_server() -> AsyncIterator[tuple[str, Path]]:
    """A server as an image starts it, with a superuser and an empty database `market`: its DSN, and its programs."""
    installation = installation_for(TIMESCALEDB)
    folder = open_folder()
    server = EmbeddedServer(folder, installation, throwaway=True)
    await server.start()
    try:
        connection = await asyncpg.connect(server.superuser_dsn)
        await connection.execute("drop database market with (force)")
        await connection.execute("drop role collector, analyst, collector_reader, collector_writer")
        await connection.execute("create database market template template0")
        await connection.close()
        yield with_database(server.superuser_dsn, "market"), installation.bin
    finally:
        await server.stop()
        shutil.rmtree(folder)


async def test_logins_of_the_stack_can_do_their_work_and_no_more(tmp_path: Path, new_server: tuple[str, Path]) -> None:
    superuser_dsn, programs = new_server
    if not (programs / "psql").exists():
        pytest.skip("this PostgreSQL comes without psql")
    held = make_secrets(tmp_path)
    administrator = urlsplit(superuser_dsn)
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "SECRETS": str(tmp_path / "secrets"),
        "POSTGRES_USER": str(administrator.username),
        "POSTGRES_DB": "market",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(administrator.port),
        "PGPASSWORD": str(administrator.password),
    }

    script = str(ROOT / "deploy/database/logins.sh")
    done = await asyncio.to_thread(subprocess.run, [script], env=environment, capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def dsn(login: str, password: str) -> str:
        return administrator._replace(netloc=f"{login}:{password}@127.0.0.1:{administrator.port}").geturl()

    await migrate(dsn("collector", held["collector_password"]))
    grafana = await asyncpg.connect(dsn("grafana", held["grafana_database_password"]))
    try:
        assert await grafana.fetchval("select count(*) from v_trades") == 0
        await grafana.execute("set default_transaction_read_only = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await grafana.execute("insert into venues (code) values ('x')")
    finally:
        await grafana.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(dsn("grafana", "guessed"))


def test_the_demo_records_what_the_simulator_offers(tmp_path: Path) -> None:
    written = tmp_path / "written.toml"
    command = SERVICES["simulator"]["command"]
    options = command[command.index("--port") :]
    started = subprocess.Popen(
        [Path(sys.executable).parent / "collector", "simulate", *options, "--write-config", written],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert started.stdout is not None
        if not started.stdout.readline():
            pytest.skip(f"the stack's ports are taken: {started.communicate(timeout=20)[1][-200:]!r}")
        offered = written.read_text().replace("127.0.0.1", "simulator")
    finally:
        started.terminate()
        started.communicate(timeout=20)

    assert tomllib.loads((ROOT / "deploy" / "demo.toml").read_text()) == tomllib.loads(offered)
