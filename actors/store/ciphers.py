"""Ciphers: values sealed with authenticated encryption, AES-256-GCM of `cryptography`.

What is sealed begins with the id of its key and a random nonce of 96 bits, and is bound
to the name of its record and everything else in it, the revision included: it opens
under no other name, and with no other revision. Whether that is the newest one is told
by the head, which is not sealed; and of which store it is, by nothing.

Source: NIST SP 800-38D, "Galois/Counter Mode"; its section 8.3 allows one key for 2**32
values with random nonces.
"""

import hashlib
import os
from typing import Final, Protocol, TypeAlias, runtime_checkable

from stateward.actors.core.errors import UsageError, WrongKeyError
from stateward.actors.store.records import DamagedError

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
ID_BYTES_MAX: Final = 255
TOKEN: Final = b"stateward"
"""What is sealed in a store's own record, so that a wrong key is noticed at once."""


@runtime_checkable
class KeyProvider(Protocol):
    """Where keys come from: a service for keys, a file, an environment.

    Concurrency: Any thread calls it; an answer is asked for once for each key.
    """

    def newest(self) -> str:
        """Return the id of the key to seal with, 1 to 255 bytes of UTF-8; not secret.

        It is asked once, when the store is opened or its keys are rotated.
        """
        ...

    def key(self, key_id: str) -> bytes:
        """Return the key of an id, 32 bytes; raise `KeyError` if there is none."""
        ...


class KeyRing:
    """A `KeyProvider` of keys at hand: one to seal with, older ones still to open.

    Example:
        >>> ring = KeyRing(bytes(32), b"1" * 32)
        >>> ring.key(ring.newest()) == bytes(32)
        True
    """

    def __init__(self, newest: bytes, *older: bytes) -> None:
        """Hold the keys, each of 32 bytes; their ids are made from them.

        Raises:
            UsageError: One of them is no key. Effect: none.
        """
        self._newest = fingerprint(newest)
        self._keys = {fingerprint(key): bytes(key) for key in (newest, *older)}

    def __repr__(self) -> str:
        """Say which keys there are, and none of them."""
        return f"<KeyRing of {', '.join(self._keys)}>"

    def newest(self) -> str:
        return self._newest

    def key(self, key_id: str) -> bytes:
        return self._keys[key_id]


Key: TypeAlias = bytes | KeyProvider


def fingerprint(key: object) -> str:
    """Return an id that tells a key from others, and from which it cannot be found."""
    if not isinstance(key, bytes | bytearray) or len(key) != KEY_BYTES:
        found = type(key).__name__
        if isinstance(key, bytes | bytearray):
            found = f"{len(key)} of them"
        raise UsageError(f"a key is {KEY_BYTES} bytes, and this is {found}")
    return hashlib.sha256(b"stateward key" + key).hexdigest()[:16]


class AeadCipher:
    """A `Cipher` that seals with the newest key, and opens with any that is known."""

    def __init__(self, key: Key) -> None:
        """Take the keys, and ask for the newest.

        Raises:
            UsageError: That is no key; or `cryptography` is not installed.
        """
        if isinstance(key, bytes | bytearray):
            key = KeyRing(bytes(key))
        if not isinstance(key, KeyProvider):
            raise UsageError(f"key is a {type(key).__name__}, not 32 bytes or keys")
        self._provider = key
        self._ciphers: dict[bytes, _Aead] = {}
        self._newest = key.newest().encode()
        if not 0 < len(self._newest) <= ID_BYTES_MAX:
            raise UsageError(f"the id of a key is {key.newest()!r}, not 1 to 255 bytes")
        self._head = bytes([len(self._newest)]) + self._newest
        self._seal = self._cipher(self._newest)

    def seal(self, data: bytes, bound_to: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return self._head + nonce + self._seal.encrypt(nonce, data, bound_to)

    def open(self, sealed: bytes, bound_to: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        end = 1 + sealed[0]
        nonce, data = sealed[end : end + NONCE_BYTES], sealed[end + NONCE_BYTES :]
        if len(nonce) != NONCE_BYTES:
            raise DamagedError("what is sealed is too short")
        try:
            return self._cipher(sealed[1:end]).decrypt(nonce, data, bound_to)
        except InvalidTag:
            raise DamagedError("it was sealed elsewhere, or is damaged") from None

    def is_newest(self, sealed: bytes) -> bool:
        return sealed.startswith(self._head)

    def _cipher(self, key_id: bytes) -> "_Aead":
        """Return what seals and opens with a key."""
        found = self._ciphers.get(key_id)
        if found is None:
            name = key_id.decode(errors="replace")
            try:
                key = self._provider.key(name)
            except KeyError:
                raise WrongKeyError(f"there is no key {name!r} to open it") from None
            fingerprint(key)  # raises unless it is one
            found = self._ciphers[key_id] = _aead(key)
        return found


class _Aead(Protocol):
    """What `cryptography` gives."""

    def encrypt(
        self, nonce: bytes, data: bytes, associated_data: bytes | None
    ) -> bytes: ...

    def decrypt(
        self, nonce: bytes, data: bytes, associated_data: bytes | None
    ) -> bytes: ...


def _aead(key: bytes) -> _Aead:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ModuleNotFoundError as error:
        raise UsageError(
            "a key needs cryptography: pip install 'stateward[encryption]'"
        ) from error
    return AESGCM(key)


def token_of(cipher: AeadCipher) -> bytes:
    """Return what tells, in a store's own record, whether a key fits."""
    return cipher.seal(TOKEN, TOKEN)


def check_token(cipher: AeadCipher, token: bytes) -> None:
    """Raise unless `cipher` opens what the store's own record has.

    Raises:
        WrongKeyError: It has other keys. Effect: none.
        DamagedError: It has the key, and the token does not open.
    """
    if cipher.open(token, TOKEN) != TOKEN:
        raise DamagedError("its token is none")
