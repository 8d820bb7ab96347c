"""What journals on disk share: they belong to one process, and end once."""

import os
import sys
import threading
from pathlib import Path
from typing import Final
from weakref import WeakSet

from stateward.actors.core.errors import ClosedError, ForkedError
from stateward.actors.store.files import check_folder


class DiskJournal:
    """The part of a `Journal` that knows whether it may be used."""

    def __init__(self, path: str, *, read_only: bool) -> None:
        """Take note of where it is; raise if the folder around it is not there."""
        self.path = str(Path(path).absolute())
        self._read_only = read_only
        self._pid = os.getpid()
        self._closed = False
        self._write_lock = threading.Lock()
        check_folder(self.path)

    def _check_open(self) -> None:
        if self._pid != os.getpid():
            raise ForkedError(
                f"{self.path} was opened by the parent of this process; open it here",
                path=self.path,
            )
        if self._closed:
            raise ClosedError(f"the journal at {self.path} is closed", path=self.path)

    def put_away(self) -> None:
        """In a new child: keep what the parent has open from being closed here."""
        raise NotImplementedError


OPENED: Final[WeakSet[DiskJournal]] = WeakSet()
"""Every journal that has anything open."""


def put_away_inherited() -> None:
    """Leave alone, in a new child, all that its parent has open."""
    for journal in list(OPENED):
        journal.put_away()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=put_away_inherited)
