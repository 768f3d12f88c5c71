"""The measurements still measure: a run too small to say anything about speed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.processes import cpu_seconds
from benchmarks.venue import names, on_the_wire, texts
from collector.store.embedded import find

ROOT = Path(__file__).parents[1]
RUN_SECONDS = 110


def _bench(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )


def test_every_row_sent_is_in_the_table(tmp_path: Path) -> None:
    if find() is None:
        pytest.skip("no database server: `make database` puts one into place")
    output = tmp_path / "results.json"
    done = _bench("--only", "collector", "--frames", "2000", "--trades", "1", "--json", "--output", str(output))
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    (burst,) = results["bursts"]
    assert (burst["trades_in_frame"], burst["sent"], burst["stored"]) == (1, 2000, 2000)
    assert burst["seconds"] > 0
    assert burst["cpu_us"] > 0
    assert json.loads(output.read_text()) == results


def test_every_question_of_an_analyst_is_answered() -> None:
    if find() is None:
        pytest.skip("no database server: `make database` puts one into place")
    done = _bench("--only", "analysts", "--stored", "60000", "--json")
    assert done.returncode == 0, done.stderr
    answers = {one["question"]: one for one in json.loads(done.stdout)["answers"]}
    assert answers["last price of all instruments"]["rows"] == 50
    assert answers["OHLCV 1h of one instrument, 10 days"]["rows"] == 240
    assert all(one["rows"] > 0 and one["median_ms"] > 0 for one in answers.values())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not on this machine")
def test_reading_alone_is_measured() -> None:
    done = _bench("--only", "metaapi-reading", "--shape", "one", "--seconds", "5", "--json")
    assert done.returncode == 0, done.stderr
    (one,) = json.loads(done.stdout)["packets"]
    assert one["recorder"].startswith("websockets ")
    assert one["packets_per_second"] > 20
    assert one["cpu_us"] > 0


def test_a_wrong_part_is_refused_with_the_right_ones() -> None:
    done = _bench("--only", "everything")
    assert done.returncode == 2
    assert "cryptofeed" in done.stderr


def test_the_same_options_make_the_same_frames_all_of_them_different() -> None:
    made = texts(200, 3, trades=2)
    assert made == texts(200, 3, trades=2)
    assert len(set(made)) == 200
    trades = [trade for text in made for items in json.loads(text)["update"].values() for trade in items]
    assert len({trade["i"] for trade in trades}) == len(trades) == 400
    assert {next(iter(json.loads(text)["update"])) for text in made} == set(names(3))


@pytest.mark.parametrize("size", [0, 125, 126, 60_000])
def test_frames_on_the_wire_tell_their_length(size: int) -> None:
    wire = on_the_wire(b"x" * size)
    assert wire[0] == 0x81  # a whole text message
    told, head = (wire[1], 2) if size < 126 else (int.from_bytes(wire[2:4], "big"), 4)
    assert (told, len(wire) - head) == (size, size)


def test_cpu_time_of_children_counts_where_it_is_asked_for() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "sum(range(10**7)); print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        alone, child_alone = cpu_seconds(os.getpid()), cpu_seconds(child.pid)
        assert child_alone > 0
        assert cpu_seconds(os.getpid(), children=True) >= alone + child_alone
    finally:
        child.kill()
        child.communicate()


def test_an_export_is_measured_in_every_format() -> None:
    if find() is None:
        pytest.skip("no database server: `make database` puts one into place")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.export", "--rows", "2000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [
        line.split(" | ") for line in done.stdout.splitlines() if line.startswith(("| parquet", "| csv", "| arrow"))
    ]
    assert [line[0] for line in lines] == ["| parquet", "| csv", "| arrow"]
    assert all(float(cell.strip(" |").replace(",", "")) > 0 for line in lines for cell in line[1:])
