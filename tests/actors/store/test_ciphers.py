"""Ciphers: what is sealed opens with its key, in its place, and not otherwise."""

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from stateward import StateManager, UsageError, WrongKeyError
from stateward.actors.store.ciphers import (
    AeadCipher,
    KeyProvider,
    KeyRing,
    check_token,
    fingerprint,
    token_of,
)
from stateward.actors.store.records import (
    DamagedError,
    entry_record,
    guard,
    parse_entry_record,
    unguard,
)
from tests.actors.store.kept import NEW, OLD, OTHER
from tests.actors.store.stores import ENGINES, A, B, name_in
from tests.actors.store.test_records import cell_of

PLACE: Final = b"place"
FIXED: Final = 33
"""Bytes of a record between its checksum and its value."""


class Service:
    """A `KeyProvider` that notes what it is asked for."""

    def __init__(self, newest: str, **keys: bytes) -> None:
        """Hold keys by id."""
        self.id, self.keys = newest, keys
        self.asked: list[str] = []

    def newest(self) -> str:
        return self.id

    def key(self, key_id: str) -> bytes:
        self.asked.append(key_id)
        return self.keys[key_id]


@given(data=st.binary(), bound_to=st.binary())
def test_cipher_opens_what_it_sealed(data: bytes, bound_to: bytes) -> None:
    """Any bytes come back, bound to any place."""
    cipher = AeadCipher(OLD)
    sealed = cipher.seal(data, bound_to)
    assert cipher.open(sealed, bound_to) == data
    assert cipher.is_newest(sealed)


def test_cipher_seals_as_it_says() -> None:
    """Id of the key, nonce, and AES-256-GCM: another program can open it."""
    sealed = AeadCipher(OLD).seal(b"data", PLACE)
    key_id = fingerprint(OLD).encode()
    assert sealed[: 1 + sealed[0]] == b"\x10" + key_id
    nonce, rest = sealed[17:29], sealed[29:]
    assert AESGCM(OLD).decrypt(nonce, rest, PLACE) == b"data"
    assert len(sealed) == 1 + 16 + 12 + 4 + 16


def test_cipher_takes_another_nonce_each_time() -> None:
    """The same value sealed twice looks different, for a nonce is never used again."""
    cipher = AeadCipher(OLD)
    nonces = {cipher.seal(b"data", PLACE)[17:29] for _ in range(2000)}
    assert len(nonces) == 2000


def damages(sealed: bytes) -> Iterator[bytes]:
    """Yield what is sealed with each bit flipped, each cut, and something added."""
    for index in range(len(sealed)):
        for bit in range(8):
            flipped = bytes([sealed[index] ^ (1 << bit)])
            yield sealed[:index] + flipped + sealed[index + 1 :]
        if index:
            yield sealed[:index]
    yield sealed + b"\0"


def test_cipher_refuses_what_was_damaged() -> None:
    """No bit of what is sealed can change, nor the place it stands in."""
    cipher = AeadCipher(KeyRing(OLD, NEW))
    sealed = cipher.seal(b"data", PLACE)
    for damaged in damages(sealed):
        with pytest.raises((DamagedError, WrongKeyError)):
            cipher.open(damaged, PLACE)
    for place in (b"", b"Place", PLACE + b"2"):
        with pytest.raises(DamagedError, match="sealed elsewhere"):
            cipher.open(sealed, place)


@pytest.mark.parametrize(
    "name",
    [name_in(A, "two"), name_in(B, "one"), name_in(A, "one", "s")],
    ids=["key", "scope", "step"],
)
def test_sealed_value_opens_in_no_other_place(name: bytes) -> None:
    """Moved to another key, scope or step, with a checksum that fits, it is refused."""
    cipher = AeadCipher(OLD)
    here = name_in(A, "one")
    content = unguard(here, entry_record(here, cell_of([1]), 0.0, cipher))
    assert parse_entry_record(here, guard(here, content), cipher).depth == 1
    with pytest.raises(DamagedError, match="sealed elsewhere"):
        parse_entry_record(name, guard(name, content), cipher)


@pytest.mark.parametrize("index", range(FIXED))
def test_sealed_value_opens_with_nothing_else_changed(index: int) -> None:
    """Depth, revision, times and expiry are bound to it, whoever wrote the checksum."""
    cipher = AeadCipher(OLD)
    name = name_in(A, "one")
    content = unguard(name, entry_record(name, cell_of([1], 99.0), 0.0, cipher))
    changed = bytearray(content)
    changed[index] ^= 1
    with pytest.raises(DamagedError, match="sealed elsewhere"):
        parse_entry_record(name, guard(name, bytes(changed)), cipher)


def test_sealed_value_of_an_older_revision_is_refused() -> None:
    """An older value under the newest revision's fixed part does not open."""
    cipher = AeadCipher(OLD)
    name = name_in(A, "one")
    older, newer = (
        unguard(name, entry_record(name, cell_of("x", None, revision), 0.0, cipher))
        for revision in (7, 8)
    )
    mixed = guard(name, newer[:FIXED] + older[FIXED:])
    with pytest.raises(DamagedError, match="sealed elsewhere"):
        parse_entry_record(name, mixed, cipher)


def test_ring_opens_older_and_seals_with_the_newest() -> None:
    """A ring of both keys reads what either sealed, one alone only its own."""
    old, new = AeadCipher(OLD), AeadCipher(NEW)
    both = AeadCipher(KeyRing(NEW, OLD))
    for cipher, newest in ((old, False), (new, True)):
        sealed = cipher.seal(b"data", PLACE)
        assert both.open(sealed, PLACE) == b"data"
        assert both.is_newest(sealed) is newest
    sealed = both.seal(b"data", PLACE)
    assert new.open(sealed, PLACE) == b"data"
    with pytest.raises(WrongKeyError, match=f"no key '{fingerprint(NEW)}'"):
        old.open(sealed, PLACE)


def test_ring_shows_no_key() -> None:
    """What is printed of a ring tells keys apart, and none of them."""
    shown = repr(KeyRing(OLD, NEW))
    assert fingerprint(OLD) in shown
    assert fingerprint(NEW) in shown
    for key in (OLD, NEW):
        assert key.decode() not in shown
        assert key.hex() not in shown
        assert fingerprint(key) != key.hex()[:16]


@pytest.mark.parametrize(
    "key", [b"", b"1" * 31, b"1" * 33, bytearray(16), "1" * 32, None, 32, [OLD]]
)
def test_ring_refuses_what_is_no_key(key: object) -> None:
    """A key is 32 bytes; the message shows nothing of what was given."""
    with pytest.raises(UsageError, match="a key is 32 bytes") as caught:
        KeyRing(OLD, key)  # type: ignore[arg-type]  # what is to be refused
    assert "11" not in str(caught.value)


@pytest.mark.parametrize("key", [None, "1" * 32, 5, b"short", object()])
def test_cipher_refuses_what_is_no_key(key: object) -> None:
    """A cipher takes 32 bytes or something that provides them."""
    with pytest.raises(UsageError):
        AeadCipher(key)  # type: ignore[arg-type]  # what is to be refused


def test_provider_is_asked_for_each_key_once() -> None:
    """A service for keys is not on the path of every value."""
    service = Service("new", new=NEW, old=OLD)
    assert isinstance(service, KeyProvider)
    cipher = AeadCipher(service)
    sealed = AeadCipher(Service("old", old=OLD)).seal(b"data", PLACE)
    for _ in range(3):
        assert cipher.open(sealed, PLACE) == b"data"
        assert cipher.open(cipher.seal(b"x", PLACE), PLACE) == b"x"
    assert service.asked == ["new", "old"]


@pytest.mark.parametrize("name", ["", "x" * 256, "\u00e9" * 128])
def test_provider_with_an_id_of_another_length_is_refused(name: str) -> None:
    """An id has to fit in front of what is sealed."""
    with pytest.raises(UsageError, match="1 to 255 bytes"):
        AeadCipher(Service(name, **{name: OLD}))
    assert AeadCipher(Service("x" * 255, **{"x" * 255: OLD})).seal(b"", b"")


def test_provider_that_lacks_its_newest_key_is_refused() -> None:
    """The key to seal with is there from the start, and is one."""
    with pytest.raises(WrongKeyError, match="no key 'new'"):
        AeadCipher(Service("new", old=OLD))
    with pytest.raises(UsageError, match="a key is 32 bytes"):
        AeadCipher(Service("new", new=b"short"))


def test_cipher_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `cryptography` the message says what installs it."""
    name = "cryptography.hazmat.primitives.ciphers.aead"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=r"pip install 'stateward\[encryption\]'"):
        AeadCipher(OLD)


def test_token_tells_whether_a_key_fits() -> None:
    """The key that sealed it opens it, no other does, and nothing else passes."""
    cipher = AeadCipher(OLD)
    check_token(AeadCipher(KeyRing(NEW, OLD)), token_of(cipher))
    with pytest.raises(WrongKeyError):
        check_token(AeadCipher(OTHER), token_of(cipher))
    for wrong in (
        cipher.seal(b"statewarD", b"stateward"),
        cipher.seal(b"stateward", b"elsewhere"),
        token_of(cipher)[:-1],
    ):
        with pytest.raises(DamagedError):
            check_token(cipher, wrong)


@pytest.mark.parametrize("engine", ENGINES)
def test_sealed_store_shows_keys_and_no_values(tmp_path: Path, engine: str) -> None:
    """No file holds a value, before or after compaction; names of keys are there."""
    secret = b"the-secret-value"
    with closing(StateManager(f"{engine}:///{tmp_path}/state", key=OLD)) as manager:
        state = manager.workflow_state("the-workflow")
        state["the-key"] = secret.decode()
        state["the-list"] = [secret.decode(), {"the-field": 1}]
        state["the-key"] = "another-" + secret.decode()
        state.step("the-step")["number"] = 1234567890123456789
        written = contents(tmp_path)
        manager.compact()
    for files in (written, contents(tmp_path)):
        for value in (secret, b"the-field", b"1234567890123456789", OLD):
            assert value not in files
    for name in (b"the-workflow", b"the-key", b"the-step"):
        assert name in written


def contents(folder: Path) -> bytes:
    """Return what is in all files."""
    return b"".join(
        Path(found, name).read_bytes()
        for found, _, names in os.walk(folder)
        for name in names
    )
