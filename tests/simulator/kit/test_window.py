from collector.simulator.kit.window import SlidingWindow

SECOND = 1.0


def test_no_window_of_a_second_holds_more_than_the_limit() -> None:
    window = SlidingWindow(3, 1.0)
    served = [number for number in (tenth / 10 for tenth in range(30)) if window.allow("one", number)]
    assert len(served) == 9
    assert all(sum(at <= other < at + SECOND for other in served) <= 3 for at in served)


def test_addresses_do_not_share_a_window() -> None:
    window = SlidingWindow(1, 1.0)
    assert window.allow("one", 0)
    assert window.allow("two", 0)
    assert not window.allow("one", 0.5)
    assert window.refused == 1


def test_a_refused_request_does_not_prolong_the_wait() -> None:
    window = SlidingWindow(1, 1.0)
    assert window.allow("one", 0)
    assert not window.allow("one", SECOND - 0.001)
    assert window.allow("one", SECOND)
