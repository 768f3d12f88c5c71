"""The data folder: what lies in it under which name, and how it is made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from collector.errors import CollectorError

# Written by a running daemon; commands find it by this file.
NOTE_FILE: Final = "daemon.json"


def make_folder(path: Path, *, server: bool) -> None:
    """Make the data folder, for nobody but this account; `server`: one of our own will have its files in it.

    Root's server runs as another account, which may pass through the folder and see nothing of it. CollectorError where
    it cannot be made: what is not there yet may come, such as a mount.
    """
    try:
        path.mkdir(0o711 if server and os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CollectorError(
            f"data_dir {path} cannot be created ({error.strerror}): mount its disk, make the folder "
            "writable for this user, "
            "or set another folder"
        ) from error
