"""Bugs in the redo log: what it keeps, when it is open, and what is replayed."""

from typing import Final

from property_tests.seeded.bug import Bug

SIMULATION: Final = (
    "property_tests/simulation/test_simulation.py::test_guarantees_hold_over_many_seeds"
)

REDO_BUGS: Final = (
    Bug(
        name="rests-on-not-compared",
        file="actors/store/redo_format.py",
        old="            if change.commits > commits:\n",
        new="            if change.commits > commits and kept:\n",
        harm="After power loss a write is there, and one it rests on is not.",
        checks=(SIMULATION,),
    ),
    Bug(
        name="not-drained-before-a-chore",
        file="actors/runtime/committer.py",
        old="failure = self._write(store, []) or failure",
        new="pass",
        harm="A backup, a move or a migration misses what was written last.",
        checks=("tests/guarantees/test_logged.py",),
    ),
    Bug(
        name="eviction-forgets-the-log",
        file="actors/core/state.py",
        old="not self.staged and (self.seal is None or not self.seal.behind)",
        new="not self.staged",
        harm="A workflow leaves memory, and is loaded without its last writes.",
        checks=(SIMULATION,),
    ),
    Bug(
        name="no-zeros-after-the-log",
        file="actors/store/redo.py",
        old="            self._clear(self._drained, drained[-1][3])\n",
        new="",
        harm="Once the ring was full, a store is refused as damaged after a crash.",
        checks=(SIMULATION,),
    ),
    Bug(
        name="replayed-twice",
        file="actors/store/ledger.py",
        old="            max(before.logged, logged),\n",
        new="            before.logged,\n",
        harm="After a crash old values come back, or the log cannot be read.",
        checks=(SIMULATION,),
    ),
    Bug(
        name="log-of-another-store",
        file="actors/store/redo_format.py",
        old="    if owner != store_id:\n",
        new="    if not owner:\n",
        harm="A log that was left beside another store is written into it.",
        checks=("tests/actors/store/test_redo.py",),
    ),
    Bug(
        name="log-open-after-a-failure",
        file="actors/store/redo.py",
        old="self._open = self._prepared and not (self._held or self._failing)",
        new="self._open = self._prepared",
        harm="The log goes on while its workflow moves, and after the disk has failed.",
        checks=("tests/actors/store/test_redo.py",),
    ),
    Bug(
        name="log-refuses-nothing",
        file="actors/store/redo.py",
        old="        self._given_up = self._given_up or for_good\n"
        "        self._open = False\n",
        new="        self._given_up = self._given_up or for_good\n",
        harm="Writes are answered which rest on a commit that failed.",
        checks=("tests/actors/store/test_redo.py",),
    ),
    Bug(
        name="wake-lost",
        file="actors/runtime/durable.py",
        old="""\
        committer = self._committer
        if committer.resting:
            committer.wake()
        if total != before:
""",
        new="""\
        committer = self._committer
        if total != before:
""",
        harm="Overwritten values come to the disk only when somebody else writes.",
        checks=("tests/actors/runtime/test_durable.py",),
    ),
    Bug(
        name="published-before-logged",
        file="actors/runtime/durable.py",
        old="""\
        if not seal.store.redo.overwrite(state, cell, old, total):
""",
        new="""\
        state.revision = revision
        if not seal.store.redo.overwrite(state, cell, old, total):
""",
        harm="A value is read that is neither in the log nor in the journal.",
        checks=("tests/actors/runtime/test_durable.py",),
    ),
    Bug(
        name="logged-command-undone",
        file="actors/core/state.py",
        old="self.revision < event[0] <= reached",
        new="self.revision < event[0] < reached",
        harm="After Ctrl-C a write is undone that comes back with a crash.",
        checks=("property_tests/faults/test_lines.py",),
    ),
    Bug(
        name="taken-back-stays-in-the-log",
        file="actors/store/redo.py",
        old="RECORD.pack_into(self._buffer, START + end % self._size, 0, 0, 0, 0)",
        new="_ = end",
        harm="A write that failed for lack of memory comes back with a crash.",
        checks=("property_tests/faults/test_lines.py",),
    ),
)
