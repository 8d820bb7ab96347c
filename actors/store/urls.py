"""Store URLs: which engine keeps the state."""

from stateward.actors.core.errors import InvalidStoreError

SCHEMES = ("memory",)
"""Every scheme this version serves."""


def check_url(url: str) -> None:
    """Raise `InvalidStoreError` unless `url` names a store this version serves."""
    if not isinstance(url, str):
        raise InvalidStoreError(f"{url!r} is not a URL but a {type(url).__name__}")
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in SCHEMES:
        raise InvalidStoreError(
            f"no store for {url!r}; the schemes served are "
            + ", ".join(f"{known}://" for known in SCHEMES),
            url=url,
        )
    if rest:
        raise InvalidStoreError(f"memory:// keeps nothing under {rest!r}", url=url)
