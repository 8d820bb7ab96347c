"""Bugs in `actors/store`: names, records, heads, marks, arrivals."""

from typing import Final

from property_tests.seeded.bug import Bug

STORE_BUGS: Final = (
    Bug(
        name="storage-step-unended",
        file="actors/store/names.py",
        old=r'b"%bs%b\0%b" % (prefix, step_name.encode(), key.encode())',
        new=r'b"%bs%b%b" % (prefix, step_name.encode(), key.encode())',
        harm="Key `bc` of step `a` and key `c` of step `ab` are one record.",
        checks=("tests/actors/store/test_names.py",),
    ),
    Bug(
        name="storage-range-too-wide",
        file="actors/store/names.py",
        old=r'return prefix, prefix[:-1] + b"\x01"',
        new=r'return prefix[:-1], prefix[:-1] + b"\xff"',
        harm="Loading workflow `a` meets the records of workflow `ab`.",
        checks=("tests/actors/store/test_names.py",),
    ),
    Bug(
        name="checksum-not-checked",
        file="actors/store/records.py",
        old="    if not record or guard(name, content) != record:\n",
        new="    if not record:\n",
        harm="A flipped byte on the disk is served as a value.",
        checks=("tests/actors/store/test_records.py",),
    ),
    Bug(
        name="checksum-not-bound",
        file="actors/store/records.py",
        old="return _SUM.pack(crc32(content, crc32(name))) + content",
        new="return _SUM.pack(crc32(content)) + content",
        harm="A record that slid under another key is served as that key's.",
        checks=("tests/actors/store/test_records.py",),
    ),
    Bug(
        name="head-sum-not-updated",
        file="actors/store/records.py",
        old="self.checksum = (self.checksum + new - old) % _WRAP",
        new="self.checksum = (self.checksum + new) % _WRAP",
        harm="A workflow that overwrote a key cannot be opened again.",
        checks=(
            "tests/actors/store/test_records.py",
            "tests/actors/store/test_store.py",
        ),
    ),
    Bug(
        name="head-not-compared",
        file="actors/store/store.py",
        old="if (found.entries, found.checksum) != (head.entries, head.checksum):",
        new="if found.entries > head.entries:",
        harm="A key whose record is lost is silently absent.",
        checks=("tests/formats/test_damage.py",),
    ),
    Bug(
        name="expiry-forgets-the-clock",
        file="actors/store/records.py",
        old="cell.expires = None if isnan(expires) else expires - offset",
        new="cell.expires = None if isnan(expires) else expires",
        harm="A key with a ttl outlives a restart by decades.",
        checks=(
            "tests/actors/store/test_records.py",
            "tests/actors/store/test_store.py",
        ),
    ),
    Bug(
        name="seal-not-bound",
        file="actors/store/ciphers.py",
        old="""\
        return self._head + nonce + self._seal.encrypt(nonce, data, bound_to)

    def open(self, sealed: bytes, bound_to: bytes) -> bytes:
""",
        new="""\
        return self._head + nonce + self._seal.encrypt(nonce, data, b"")

    def open(self, sealed: bytes, bound_to: bytes) -> bytes:
        bound_to = b""
""",
        harm="Whoever can write the file swaps two encrypted values unnoticed.",
        checks=("property_tests/test_stores.py",),
    ),
    Bug(
        name="mark-ahead-of-commit",
        file="actors/store/ledger.py",
        old="""\
            self.journal.commit(rows, sync=sync)
            self.progress = progress
            self.about = about or self.about
            then()
            if sync:
                self._mark.advance(progress.commits)
""",
        new="""\
            if sync:
                self._mark.advance(progress.commits)
            self.journal.commit(rows, sync=sync)
            self.progress = progress
            self.about = about or self.about
            then()
""",
        harm="A crash in a commit leaves a store that is refused as having lost one.",
        checks=("tests/guarantees/test_commits.py",),
    ),
    Bug(
        name="poisoning-forgotten",
        file="actors/store/ledger.py",
        old='if getattr(error, "effect", "unknown") != "none":',
        new='if getattr(error, "effect", "none") == "lost":',
        harm="After a failed sync, writes go on above what the disk may have dropped.",
        checks=("tests/actors/store/test_store.py",),
    ),
    Bug(
        name="floor-not-stored",
        file="actors/store/store.py",
        old="                floor = max(floor, head.revision)\n",
        new="                pass\n",
        harm="After a restart a dropped workflow gives its revisions out again.",
        checks=("tests/actors/store/test_store.py",),
    ),
    Bug(
        name="migration-run-twice",
        file="actors/store/store.py",
        old="        self._lifts = version is not None\n",
        new="        self._lifts = False\n",
        harm="Each start of the application migrates the same workflow once more.",
        checks=("tests/api/test_migrations.py",),
    ),
    Bug(
        name="sqlite-never-syncs",
        file="actors/store/sqlite.py",
        old='self._set_synchronous(writer, "FULL" if sync else "NORMAL")',
        new='self._set_synchronous(writer, "NORMAL")',
        harm="Power loss takes writes to SQLite that had been acknowledged.",
        checks=("tests/actors/store/test_sqlite.py",),
    ),
    Bug(
        name="move-without-final-delta",
        file="actors/store/arrivals.py",
        old="if left.pop(name, None) != cell.revision:",
        new="if left.pop(name, None) is None:",
        harm="What is written to a workflow while it moves is gone afterwards.",
        checks=("property_tests/test_stores.py",),
    ),
    Bug(
        name="move-brings-back-deleted",
        file="actors/store/arrivals.py",
        old="        rows.update(dict.fromkeys(left))\n",
        new="",
        harm="A key deleted while its workflow moves is there again, or damages it.",
        checks=("property_tests/test_stores.py",),
    ),
)
