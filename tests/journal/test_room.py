"""What is said of a disk that refuses."""

from __future__ import annotations

import errno
import os

import pytest

from collector.journal.room import in_words


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space on it"),
        (errno.EDQUOT, "raise the quota"),
        (errno.EFBIG, "LimitFSIZE"),
        (errno.EROFS, "mounted read-only"),
        (errno.EMFILE, "LimitNOFILE"),
    ],
)
def test_a_fault_is_told_in_the_systems_words_and_with_what_can_be_done(number: int, remedy: str) -> None:
    words = in_words(OSError(number, os.strerror(number)))

    assert words.startswith(f"{os.strerror(number)} (")
    assert remedy in words


def test_a_fault_that_nobody_knows_is_told_as_it_came() -> None:
    assert in_words(OSError(errno.ENXIO, os.strerror(errno.ENXIO))) == "No such device or address"
    assert in_words(OSError("odd")) == "odd"
    assert in_words(OSError(errno.EBADF, "")) == os.strerror(errno.EBADF)
