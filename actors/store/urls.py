"""Store URLs: which engine keeps the state, and where.

    memory://              nothing is kept
    sqlite:///state.db     the file state.db in the current folder
    sqlite:////var/x.db    the file /var/x.db
    rocksdb:///state       the folder state in the current folder

Everything after the third slash is the path as it stands: nothing in it is decoded.
A package serves another scheme through an entry point of the group
`stateward.journals`, named as the scheme, that leads to a callable as `OpenJournal`.
"""

import re
from dataclasses import dataclass
from typing import Final, Protocol, cast

from stateward.actors.core.errors import InvalidStoreError
from stateward.actors.core.ports import Journal

SCHEMES: Final = ("memory", "rocksdb", "sqlite")
"""Every scheme this version serves without another package."""
MEMORY: Final = "memory"
GROUP: Final = "stateward.journals"
SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")


class OpenJournal(Protocol):
    """What an entry point of the group `stateward.journals` leads to."""

    def __call__(self, path: str, *, read_only: bool, must_exist: bool) -> Journal:
        """Open the store at `path`, what stands in the URL after the third slash.

        Args:
            path: Not empty; what it means is the engine's own affair.
            read_only: Change nothing; there must be a store.
            must_exist: Raise `StoreError` if there is no store.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUrl:
    """A store URL, taken apart."""

    scheme: str
    path: str
    """As it was written; empty for `memory://`."""
    text: str
    """The whole URL."""


def parse_url(url: str) -> StoreUrl:
    """Take `url` apart.

    Raises:
        InvalidStoreError: It is no URL of a store, or no engine serves its scheme.
    """
    if not isinstance(url, str):
        raise InvalidStoreError(f"{url!r} is not a URL but a {type(url).__name__}")
    scheme, separator, rest = url.partition("://")
    if not separator or not SCHEME.fullmatch(scheme) or not is_served(scheme):
        raise InvalidStoreError(
            f"no store for {url!r}; the schemes served are " + ", ".join(served()),
            url=url,
        )
    if scheme == MEMORY:
        if rest:
            raise InvalidStoreError(f"memory:// keeps nothing under {rest!r}", url=url)
        return StoreUrl(scheme=scheme, path="", text=url)
    if not rest.startswith("/"):
        raise InvalidStoreError(
            f"{url!r} lacks a slash: {scheme}:///name is relative to the current "
            f"folder, {scheme}:////folder/name is absolute",
            url=url,
        )
    path = rest[1:]
    if problem := path_problem(scheme, path):
        raise InvalidStoreError(f"{url!r} {problem}", url=url)
    return StoreUrl(scheme=scheme, path=path, text=url)


def path_problem(scheme: str, path: str) -> str | None:
    """Return what is wrong with `path`; `None` if nothing is."""
    if not path.strip("/"):
        return "names no file"
    if "\0" in path:
        return "has a NUL in it"
    if "?" in path and scheme in SCHEMES:
        return "has options after `?`, and there are none"
    if path == ":memory:":
        return "keeps nothing; write memory://"
    return None


def is_served(scheme: str) -> bool:
    """Return whether an engine serves `scheme`."""
    return scheme in SCHEMES or scheme in entry_points()


def served() -> list[str]:
    """Return every scheme served, as it begins a URL."""
    return [f"{scheme}://" for scheme in (*SCHEMES, *sorted(entry_points()))]


def open_journal(
    url: StoreUrl, *, read_only: bool = False, must_exist: bool = False
) -> Journal:
    """Open the store that `url` names, making it unless it must be there.

    Raises:
        InvalidStoreError: What serves the scheme is not installed, or keeps nothing.
        StoreError: The store cannot be opened; its subclasses say why.
    """
    return opener(url)(url.path, read_only=read_only, must_exist=must_exist)


def opener(url: StoreUrl) -> OpenJournal:
    """Return what opens the stores of a scheme; import the engine now."""
    if url.scheme == "sqlite":
        from stateward.actors.store.sqlite import SqliteJournal

        return SqliteJournal
    if url.scheme == "rocksdb":
        try:
            from stateward.actors.store.rocksdb import RocksJournal
        except ModuleNotFoundError as error:
            if error.name != "rocksdict":
                raise
            raise InvalidStoreError(
                "rocksdb:// needs rocksdict: pip install 'stateward[rocksdb]'",
                url=url.text,
            ) from error
        return RocksJournal
    if url.scheme == MEMORY:
        raise InvalidStoreError("memory:// keeps nothing to be opened", url=url.text)
    return loaded(url)


def loaded(url: StoreUrl) -> OpenJournal:
    """Return what another package serves a scheme with."""
    target = entry_points().get(url.scheme)
    if target is None:
        raise InvalidStoreError(
            f"no store for {url.text!r}; the schemes served are " + ", ".join(served()),
            url=url.text,
        )
    from importlib.metadata import EntryPoint

    try:
        found: object = EntryPoint(url.scheme, target, GROUP).load()
    except (ImportError, AttributeError) as error:
        raise InvalidStoreError(
            f"{url.scheme}:// is served by {target}, which cannot be loaded: {error}",
            url=url.text,
        ) from error
    if not callable(found):
        raise InvalidStoreError(
            f"{url.scheme}:// is served by {target}, which opens nothing: it is a "
            + type(found).__name__,
            url=url.text,
        )
    return cast("OpenJournal", found)


def entry_points() -> dict[str, str]:
    """Return what other packages serve: where the opener is, by scheme."""
    from importlib import metadata  # some 20 ms, and most stores need none of it

    return {point.name: point.value for point in metadata.entry_points(group=GROUP)}
