"""Look the locked packages up in the service of known vulnerabilities (pip-audit, OSV): `make audit-packages`.

Status 1 where one is known, with what pip-audit says of it. A service that cannot be reached, or not in time, is told
in one line and is no failure: a check that needs the net must not stop those who have none.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

LONGEST_SECONDS = 18
# Holds every other lock file's packages in the same versions; a test keeps that so.
LOCK = Path(__file__).parents[1] / "requirements-dev.lock"
COMMAND = (
    sys.executable,
    "-m",
    "pip_audit",
    "--disable-pip",
    "--require-hashes",
    "--requirement",
    str(LOCK),
    "--vulnerability-service",
    "osv",
    "--timeout",
    "5",
    "--progress-spinner",
    "off",
    "--format",
    "json",
)
SERVICE = ("api.osv.dev", 443)
_AWAY = ("connect", "resolve", "timed out", "timeout", "proxy", "unreachable", "max retries", "network", "503", "502")


def main(
    command: tuple[str, ...] = COMMAND, seconds: float = LONGEST_SECONDS, service: tuple[str, int] | None = SERVICE
) -> int:
    """Run the audit and return the exit status; `service` is tried first, since pip-audit is slow to give up."""
    if service is not None and not any(name.lower().endswith("s_proxy") for name in os.environ):
        try:
            _answers(*service)
        except subprocess.TimeoutExpired:
            return _skipped(f"{service[0]} does not answer")
        except OSError as error:
            return _skipped(f"{service[0]}: {error}")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603  ours
    except subprocess.TimeoutExpired:
        return _skipped(f"no answer within {seconds:g} s")
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        if any(word in done.stderr.lower() for word in _AWAY):
            return _skipped(last[:200])
        print(f"audit-packages: pip-audit failed: {done.stderr.strip()}", file=sys.stderr)  # noqa: T201
        return 1
    known = [(one, vuln) for one in packages for vuln in one.get("vulns", ())]
    for one, vuln in known:
        fixed = ", ".join(vuln.get("fix_versions") or ()) or "no version yet"
        print(f"{one['name']} {one['version']}: {vuln['id']}, fixed in {fixed}", file=sys.stderr)  # noqa: T201
    if known:
        print("audit-packages: `make lock` takes the newest versions", file=sys.stderr)  # noqa: T201
    return int(bool(known))


def _answers(host: str, port: int) -> None:
    # In a process of its own, because nothing bounds the time that a name server is given.
    probe = f"import socket, sys\ntry: socket.create_connection(({host!r}, {port}), 3)\n"
    probe += "except OSError as e: sys.exit(str(e))"
    done = subprocess.run((sys.executable, "-c", probe), capture_output=True, text=True, timeout=5, check=False)  # noqa: S603
    if done.returncode:
        raise OSError(done.stderr.strip())


def _skipped(why: str) -> int:
    print(f"audit-packages: the packages were not audited, since the service cannot be reached: {why}", file=sys.stderr)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
