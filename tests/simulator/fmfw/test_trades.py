import pytest

from collector.simulator.fmfw.trading.trades import TradeLog
from collector.simulator.kit.trade import Trade


def log_of(count: int) -> TradeLog:
    log = TradeLog()
    for number in range(count):
        log.append(Trade(100 + 3 * number, 1000 + number // 2, 7, 8, number % 2 == 0))
    return log


def test_ranges_include_both_ends_by_id_and_by_time() -> None:
    log = log_of(10)
    assert log.range_by_id(103, 109) == (1, 4)
    assert log.range_by_id(104, 105) == (2, 2)
    assert log.range_by_time(1001, 1002) == (2, 6)
    assert log.range_by_time(None, None) == (0, 10)


def test_an_index_keeps_its_trade_when_older_ones_are_dropped() -> None:
    log = log_of(10)
    seventh = log[7]
    log.drop_oldest(6)
    assert log[7] == seventh
    assert (len(log), log.end, log.dropped) == (4, 10, 6)
    assert log.range_by_id(None, None) == (6, 10)
    with pytest.raises(IndexError):
        log[5]


def test_an_empty_log_has_no_last_trade() -> None:
    assert TradeLog().last() is None
    assert log_of(2).last() == log_of(2)[1]
