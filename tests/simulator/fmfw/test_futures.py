from collector.simulator.fmfw.trading.exchange import Exchange
from collector.simulator.fmfw.trading.futures import FUNDING_INTERVAL_MS
from collector.simulator.fmfw.trading.instruments import instruments

NOW_MS = 1_700_000_000_000


def exchange() -> Exchange:
    one = Exchange(instruments(), 1)
    one.make_history(NOW_MS, 2.0, 2000)
    return one


def test_the_mark_is_the_middle_of_the_book_and_the_index_the_spot_price() -> None:
    one = exchange()
    contract, spot = one.contracts["BTCUSDT_PERP"], one.markets["BTCUSDT"]
    for number in range(200):
        one.step(NOW_MS + number)
    one.sample_contracts(NOW_MS + 300)
    assert contract.market.bids.best <= contract.mark < contract.market.asks.best
    assert spot.last_trade is not None
    assert contract.index == spot.last_trade.price
    assert contract.premium == (contract.mark - contract.index) * 10**12 // contract.index
    bar = contract.series["mark_price"].current("M1")
    assert bar is not None
    assert (bar.close, bar.volume) == (contract.mark, 0)


def test_a_funding_is_settled_when_it_is_due_and_never_twice() -> None:
    one = exchange()
    contract = one.contracts["BTCUSDT_PERP"]
    due, before = contract.next_funding_ms, len(contract.fundings)
    one.sample_contracts(due - 1)
    assert len(contract.fundings) == before
    rate = contract.indicative_rate
    for later in (0, 1000):
        one.sample_contracts(due + later)
    assert [funding.time_ms for funding in contract.fundings[before:]] == [due]
    assert contract.next_funding_ms == due + FUNDING_INTERVAL_MS
    assert abs(contract.funding.rate - rate) < 10**9


def test_a_dated_contract_has_an_expiry_and_no_funding() -> None:
    contract = exchange().contracts["ETH-1225"]
    assert contract.expiry_ms == 1_703_491_200_000
    assert contract.fundings == []
