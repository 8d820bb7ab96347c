"""What the journals on disk share."""

from pathlib import Path

import pytest

from stateward.actors.core.errors import ClosedError, ForkedError, StoreError
from stateward.actors.store.disk import OPENED, DiskJournal, put_away_inherited


class Bare(DiskJournal):
    """A journal that has nothing but its part of it."""

    def __init__(self, path: Path) -> None:
        """Open nothing."""
        super().__init__(str(path), read_only=False)
        self.put = 0
        OPENED.add(self)

    def put_away(self) -> None:
        """Count."""
        self.put += 1

    def use(self) -> None:
        """Ask whether that is allowed."""
        self._check_open()


def test_journal_is_of_one_process_and_one_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused in a child, also once it is closed, and after its end."""
    journal = Bare(tmp_path / "x")
    journal.use()
    journal._closed = True
    with pytest.raises(ClosedError, match="x is closed"):
        journal.use()
    monkeypatch.setattr("stateward.actors.store.disk.os.getpid", lambda: 0)
    with pytest.raises(ForkedError, match="parent"):
        journal.use()


def test_inherited_journals_are_put_away(tmp_path: Path) -> None:
    """Each that is alive, once for every fork."""
    journal = Bare(tmp_path / "x")
    put_away_inherited()
    assert journal.put == 1


def test_journal_needs_its_folder(tmp_path: Path) -> None:
    """The folder is not made."""
    with pytest.raises(StoreError, match="none is not there"):
        Bare(tmp_path / "none" / "x")
    with pytest.raises(StoreError, match=r"cannot keep .* too long"):
        Bare(tmp_path / ("n" * 300) / "x")
