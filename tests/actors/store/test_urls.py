import sys
from contextlib import closing
from pathlib import Path

import pytest

from stateward import InvalidStoreError, StateManager
from stateward.actors.core.errors import StoreError
from stateward.actors.store.urls import (
    GROUP,
    SCHEMES,
    StoreUrl,
    open_journal,
    parse_url,
)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_parse_url_accepts_every_scheme_served(scheme: str) -> None:
    """What is said to be served is; only memory is where nothing is kept."""
    if scheme == "memory":
        assert parse_url(f"{scheme}://").path == ""
        return
    assert parse_url(f"{scheme}:///a").scheme == scheme


@pytest.mark.parametrize(
    "url",
    [
        "",
        "memory",
        "memory:",
        "memory:/",
        "://",
        "Memory://",
        " memory://",
        "nosuch:///state.db",
        "memory://here",
        "memory:///path",
        "memory://?a=1",
    ],
)
def test_parse_url_refuses_what_no_engine_serves(url: str) -> None:
    """An unknown scheme and a part that means nothing are refused, and named."""
    with pytest.raises(InvalidStoreError) as caught:
        parse_url(url)
    assert caught.value.context == {"url": url}
    assert caught.value.effect == "none"


@pytest.mark.parametrize("url", [None, 5, b"memory://", Path("state.db")])
def test_parse_url_refuses_what_is_no_string(url: object) -> None:
    """A path is no URL, and is refused as one."""
    with pytest.raises(InvalidStoreError, match="not a URL"):
        parse_url(url)  # type: ignore[arg-type]  # what is to be refused


def test_manager_is_not_made_for_a_store_that_is_not_served() -> None:
    """A refused URL leaves nothing behind, least of all a thread."""
    with pytest.raises(InvalidStoreError, match="memory://"):
        StateManager("nosuch:///state.db")


@pytest.mark.parametrize(
    ("url", "scheme", "path"),
    [
        ("memory://", "memory", ""),
        ("sqlite:///state.db", "sqlite", "state.db"),
        ("sqlite:////var/x.db", "sqlite", "/var/x.db"),
        ("sqlite:///a b/%20#.db", "sqlite", "a b/%20#.db"),
        ("rocksdb:///state", "rocksdb", "state"),
        ("rocksdb:////var/state", "rocksdb", "/var/state"),
    ],
)
def test_parse_url_takes_it_apart(url: str, scheme: str, path: str) -> None:
    """Three slashes begin a relative path, four an absolute one, as it stands."""
    assert parse_url(url) == StoreUrl(scheme=scheme, path=path, text=url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite://state.db", "lacks a slash"),
        ("sqlite://", "lacks a slash"),
        ("rocksdb:///", "names no file"),
        ("sqlite:////", "names no file"),
        ("sqlite:///a\0b", "NUL"),
        ("sqlite:///a.db?mode=ro", "options"),
        ("sqlite:///:memory:", "write memory://"),
        ("nosuch:///a", "memory://, rocksdb://, sqlite://"),
        ("SQLITE:///a", "no store"),
    ],
)
def test_parse_url_says_what_is_wrong(url: str, reason: str) -> None:
    """A URL that is refused is refused for a reason."""
    with pytest.raises(InvalidStoreError, match=reason) as caught:
        parse_url(url)
    assert caught.value.context == {"url": url}


@pytest.mark.parametrize("scheme", ["sqlite", "rocksdb"])
def test_open_journal_opens_by_scheme(tmp_path: Path, scheme: str) -> None:
    """The engine that the scheme names keeps the store at the path."""
    url = parse_url(f"{scheme}:///{tmp_path / 'store'}")
    with pytest.raises(StoreError, match="no store at"):
        open_journal(url, must_exist=True)
    with closing(open_journal(url)) as journal:
        journal.commit({b"a": b"1"}, sync=True)
    with closing(open_journal(url, read_only=True)) as journal:
        assert journal.get(b"a") == b"1"
    assert (tmp_path / "store").exists()


def test_open_journal_refuses_memory() -> None:
    """There is no journal where nothing is kept."""
    with pytest.raises(InvalidStoreError, match="keeps nothing"):
        open_journal(parse_url("memory://"))


def test_open_journal_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the engine the message says what installs it."""
    monkeypatch.setitem(sys.modules, "rocksdict", None)
    monkeypatch.delitem(sys.modules, "stateward.actors.store.rocksdb", raising=False)
    with pytest.raises(InvalidStoreError, match=r"pip install 'stateward\[rocksdb\]'"):
        open_journal(parse_url("rocksdb:///state"))


class TestEntryPoints:
    def install(self, path: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
        info = path / "own-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\nown = {target}\n")
        monkeypatch.syspath_prepend(path)

    def test_entry_point_serves_its_scheme(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another package's engine is found by its name, and given path and options."""
        target = "stateward.actors.store.sqlite:SqliteJournal"
        self.install(tmp_path, monkeypatch, target)
        url = parse_url(f"own:///{tmp_path / 'store'}")
        assert url.scheme == "own"
        with closing(open_journal(url)) as journal:
            journal.commit({b"a": b"1"}, sync=True)
        with pytest.raises(InvalidStoreError, match="own://"):
            parse_url("nosuch:///a")

    @pytest.mark.parametrize(
        ("target", "reason"),
        [
            ("nosuch.module:Journal", "cannot be loaded"),
            ("stateward:Nosuch", "cannot be loaded"),
            ("stateward.actors.store.urls:GROUP", "opens nothing"),
        ],
    )
    def test_entry_point_that_leads_nowhere_is_told(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        target: str,
        reason: str,
    ) -> None:
        """A package that serves a scheme badly is named."""
        self.install(tmp_path, monkeypatch, target)
        with pytest.raises(InvalidStoreError, match=reason):
            open_journal(parse_url("own:///a"))
