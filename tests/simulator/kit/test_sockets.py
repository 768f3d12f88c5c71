from __future__ import annotations

import pytest

from collector.simulator.kit.sockets import text_frame


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_a_frame_tells_its_size_in_the_shortest_form(size: int) -> None:
    frame = text_frame("x" * size)
    header = {True: 2, size >= 126: 4, size >= 65536: 10}[True]
    assert frame[0] == 0x81
    assert len(frame) == header + size
    if header > 2:
        assert int.from_bytes(frame[2:header]) == size
