"""A seeded bug: one small change to the engine that a check must find."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath


class StaleBugError(Exception):
    """The engine has changed, so that a bug can no longer be put into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """One mistake somebody could make, as text to be replaced in one file."""

    name: str
    """What `--only` takes, and what the table calls it."""
    file: str
    """Path below the root of the tree."""
    old: str
    """What stands there exactly once."""
    new: str
    """What the mistake makes of it."""
    harm: str
    """What goes wrong for a user: one sentence."""
    checks: tuple[str, ...]
    """Test files or node ids expected to find it, the quickest first."""

    @property
    def module(self) -> str:
        """Return the name under which the file is imported."""
        parts = PurePosixPath(self.file).with_suffix("").parts
        inside = parts[1:] if parts[0] == "api" else parts
        return ".".join(("stateward", *inside))

    def apply(self, root: Path) -> Path:
        """Put the bug into the tree at `root`; return the file that was changed.

        Raises:
            StaleBugError: The old text is not there exactly once.
        """
        path = root / self.file
        source = path.read_text(encoding="utf-8") if path.is_file() else ""
        found = source.count(self.old)
        if found != 1 or self.old == self.new:
            raise StaleBugError(
                f"{self.name}: its old text is in {self.file} {found} times, not once"
            )
        path.write_text(source.replace(self.old, self.new), encoding="utf-8")
        return path
