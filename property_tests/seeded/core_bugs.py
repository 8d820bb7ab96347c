"""Bugs in `actors/core`: names, decisions, versions, reads, staging."""

from typing import Final

from property_tests.seeded.bug import Bug

CORE_BUGS: Final = (
    Bug(
        name="scope-escape-dropped",
        file="actors/core/scopes.py",
        old='return text.replace("%", "%25").replace(":", "%3A")',
        new='return text.replace("%", "%25")',
        harm="A workflow called `a:step:b` shares its name with step `b` of `a`.",
        checks=(
            "tests/actors/core/test_scopes.py",
            "property_tests/test_scope_names.py",
        ),
    ),
    Bug(
        name="half-applied-batch",
        file="actors/core/state.py",
        old="""\
        self.stage(event)
        if armed:
            hit("state.staged")
        self.publish(event)
""",
        new="""\
        self.revision = event[0]
        self.stage(event)
        if armed:
            hit("state.staged")
        self.publish(event)
""",
        harm="A reader sees some keys of a batch and not the others.",
        checks=(
            "tests/actors/core/test_faults.py",
            "property_tests/stress/test_atomic_batches.py",
        ),
    ),
    Bug(
        name="undone-version-comes-back",
        file="actors/core/state.py",
        old="            cell.revision = NEVER\n",
        new="",
        harm="A reader is shown a value whose command was taken back.",
        checks=("tests/actors/core/test_state.py",),
    ),
    Bug(
        name="interrupt-loses-accounting",
        file="actors/core/state.py",
        old="revision, size = pending.revision, self._counted()",
        new="revision, size = pending.revision, self.size",
        harm="After Ctrl-C in a write the bytes of a workflow are wrong for good.",
        checks=("tests/actors/core/test_state.py",),
    ),
    Bug(
        name="run-record-forgotten",
        file="actors/core/state.py",
        old="return not self.totals()[0] and not self.table(RUN_STEP).names()",
        new="return not self.totals()[0]",
        harm="A run whose workflow holds no key is forgotten when its owner is idle.",
        checks=("tests/actors/core/test_state.py",),
    ),
    Bug(
        name="removal-keeps-bytes",
        file="actors/core/draft.py",
        old="self.size -= old.size + utf8_bytes(key)",
        new="self.size -= old.size",
        harm="Each removed key eats into `max_bytes`, until nothing can be written.",
        checks=("tests/actors/core/test_draft.py", "tests/actors/core/test_decider.py"),
    ),
    Bug(
        name="refusal-counts",
        file="actors/core/draft.py",
        old="        if self.size > max(limits.total_bytes, size):\n",
        new="""\
        state.keys, state.size = self.keys, self.size
        if self.size > max(limits.total_bytes, size):
""",
        harm="A write that was refused for its size counts towards the limits.",
        checks=("tests/actors/core/test_draft.py", "tests/actors/core/test_decider.py"),
    ),
    Bug(
        name="one-key-too-many",
        file="actors/core/draft.py",
        old="self.keys > max(limits.max_keys, keys):",
        new="self.keys > max(limits.max_keys, keys) + 1:",
        harm="A workflow holds one key more than its limit allows.",
        checks=("tests/actors/core/test_draft.py",),
    ),
    Bug(
        name="ttl-ignored-in-len",
        file="actors/core/reader.py",
        old="""\
    size = len(state.table(step_name))
    quiet = settled == revision == state.latest and state.next_expiry > now
""",
        new="""\
    size = len(state.table(step_name))
    quiet = settled == revision == state.latest
""",
        harm="`len` counts keys that have expired.",
        checks=("tests/guarantees/test_expiry.py",),
    ),
    Bug(
        name="expiry-one-instant-late",
        file="actors/core/reader.py",
        old="if cell is None or (cell.expires is not None and cell.expires <= now):",
        new="if cell is None or (cell.expires is not None and cell.expires < now):",
        harm="A key can still be read at the instant at which it expires.",
        checks=("tests/guarantees/test_expiry.py",),
    ),
    Bug(
        name="snapshot-not-revalidated",
        file="actors/core/reader.py",
        old="same = state.settled == settled and state.undone == undone",
        new="same = True",
        harm="`get_many` mixes the values of two revisions beside a writer.",
        checks=("tests/actors/core/test_reader.py",),
    ),
    Bug(
        name="write-skew",
        file="actors/core/decider.py",
        old="    for step_name, revision in command.scans:\n",
        new="    for step_name, revision in ():\n",
        harm="Two transactions that each read all keys both add one, past the rule.",
        checks=("tests/guarantees/test_transactions.py",),
    ),
    Bug(
        name="stale-read-committed",
        file="actors/core/decider.py",
        old="    for step_name, key, revision in command.reads:\n",
        new="    for step_name, key, revision in ():\n",
        harm="A transaction overwrites what somebody wrote after it had read.",
        checks=(
            "tests/actors/core/test_decider.py",
            "property_tests/linearizability/test_threads.py",
        ),
    ),
    Bug(
        name="expected-lets-absent-pass",
        file="actors/core/decider.py",
        old="    if actual != expected:\n",
        new="    if actual > expected:\n",
        harm="`set(expected=3)` brings back a key that was deleted since.",
        checks=("tests/api/test_handles.py",),
    ),
    Bug(
        name="view-can-be-changed",
        file="actors/core/cells.py",
        old="self.frozen = freeze(unpack(self.value))",
        new="self.frozen = unpack(self.value)",
        harm="Whoever changes a value it was shown changes it for all other readers.",
        checks=("tests/actors/core/test_cells.py",),
    ),
    Bug(
        name="taken-back-oldest-first",
        file="actors/core/staging.py",
        old="    for entry in reversed(staged):\n",
        new="    for entry in list(staged):\n",
        harm="After a failed commit a key has a value that was never committed.",
        checks=("tests/actors/core/test_staging.py",),
    ),
    Bug(
        name="published-unmarked",
        file="actors/core/staging.py",
        old="publish(state, sum(entry.committed for entry in state.staged or ()))",
        new="publish(state, len(state.staged or ()))",
        harm="A write is answered because an earlier one was committed.",
        checks=("property_tests/test_commits.py",),
    ),
    Bug(
        name="reply-before-publish",
        file="actors/core/staging.py",
        old="""\
        if self.event is not None:
            state.publish(self.event)
        if self.reply.done():
            return  # It was, and did not come out of the row.
        try:
            answer = self.answer()
        except Exception as error:  # noqa: BLE001  # the sender's
            self.reply.refuse(error)
        else:
            self.reply.set(answer)
""",
        new="""\
        try:
            answer = self.answer()
        except Exception as error:  # noqa: BLE001  # the sender's
            self.reply.refuse(error)
        else:
            self.reply.set(answer)
        if self.event is not None:
            state.publish(self.event)
""",
        harm="A thread does not read what it has just written.",
        checks=("property_tests/test_commits.py",),
    ),
    Bug(
        name="unknown-called-none",
        file="actors/core/staging.py",
        old='effect = "none" if certain else error.effect',
        new='effect = "none"',
        harm="A caller repeats a write that may have been committed.",
        checks=("property_tests/test_commits.py",),
    ),
)
