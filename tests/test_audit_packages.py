"""The audit of the locked packages: known vulnerabilities fail, an absent service does not."""

from __future__ import annotations

import importlib.util
import json
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_spec = importlib.util.spec_from_file_location("audit_packages", ROOT / "scripts" / "audit_packages.py")
assert _spec is not None
assert _spec.loader is not None
audit_packages = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(audit_packages)

CLEAN = {"name": "orjson", "version": "3.11.1", "vulns": []}
BAD = {"name": "aiohttp", "version": "3.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.14"]}]}


def answering(out: object = "", error: str = "", status: int = 0) -> tuple[str, ...]:
    """Another program in pip-audit's place."""
    text = out if isinstance(out, str) else json.dumps(out)
    return (sys.executable, "-c", f"import sys; print({text!r}); print({error!r}, file=sys.stderr); sys.exit({status})")


def test_a_known_vulnerability_fails_and_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit_packages.main(answering({"dependencies": [CLEAN, BAD]}, status=1), service=None) == 1
    assert "aiohttp 3.0: PYSEC-1, fixed in 3.14" in capsys.readouterr().err


def test_packages_without_one_pass_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit_packages.main(answering({"dependencies": [CLEAN]}), service=None) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error", ["ERROR: Could not connect to OSV's feed", "x\nMax retries exceeded with url"])
def test_a_service_that_is_away_is_one_line_and_no_failure(error: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit_packages.main(answering(error=error, status=1), service=None) == 0
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "not audited" in told


def test_without_the_net_the_program_is_not_even_started(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert audit_packages.main(answering({"dependencies": [BAD]}, status=1), service=("127.0.0.1", 1)) == 0
    assert "since the service cannot be reached: 127.0.0.1: " in capsys.readouterr().err


def test_it_is_given_up_in_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit_packages.main((sys.executable, "-c", "import time; time.sleep(60)"), 0.2, service=None) == 0
    assert "no answer within 0.2 s" in capsys.readouterr().err


def test_a_lock_file_that_cannot_be_audited_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit_packages.main(answering(error="ERROR: requirement without a hash", status=1), service=None) == 1
    assert "without a hash" in capsys.readouterr().err


def test_lint_audits_with_the_locked_program() -> None:
    dev = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["dev"]

    assert any(one.startswith("pip-audit") for one in dev)
    assert "pip_audit" in audit_packages.COMMAND
    assert "\nlint: setup-dev audit-packages" in (ROOT / "Makefile").read_text()
