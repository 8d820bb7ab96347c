"""Fork: the child of a process with a manager is told so, and never waits for ever.

Each case runs in an interpreter of its own. A child that hangs is ended and
shows where, which its parent then reports.
"""

import os
from pathlib import Path

import pytest

from tests.threads import run_script

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

PRELUDE = """
import asyncio, faulthandler, os, signal, sys, threading, traceback, warnings
from stateward import ClosedError, ForkedError, StateManager
from stateward.messages import ModifyState, SetState
warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
faulthandler.register(signal.SIGALRM, chain=True)  # shows where, then ends

def in_child(function, *args):
    pid = os.fork()
    if not pid:
        signal.alarm(20)
        try:
            function(*args)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0, "the child failed, or was ended for hanging"

def refused(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except ForkedError as error:
        assert error.effect == "none"
    else:
        raise AssertionError(f"{function} was not refused")

def works():
    with StateManager() as fresh:
        state = fresh.workflow_state("w")
        state.set("k", 1, ttl=1000)
        assert state.increment("k") == 2
        done = fresh.supervisor.ask(SetState(state.scope, "k", 3), block=False)
        assert done.get(timeout=20) == 3
        assert asyncio.run(state.aio.modify("k", lambda value: value + 1)) == 4
    assert not [t for t in threading.enumerate() if t.name.startswith("stateward")]

manager = StateManager(ask_timeout=60)
state = manager.workflow_state("w")
state.update({"k": 1, "n": 0})
state.step("s").set("k", 2)
"""

CASES = {
    "every way to write": """
def check():
    new = manager.workflow_state("new")
    for it in (state, state.step("s"), new, manager.global_state()):
        refused(it.set, "k", 2)
        refused(it.update, {"k": 2})
        refused(it.increment, "n")
        refused(it.modify, "k", lambda value: value)
        refused(it.delete, "k")
        refused(lambda: asyncio.run(it.aio.set("k", 2)))
        refused(lambda: asyncio.run(it.aio.modify("k", lambda value: value)))
    refused(state.drop)
    refused(lambda: asyncio.run(state.aio.drop()))
    refused(manager.passivate, state.scope)
    refused(manager.release, state.scope)
    refused(manager.set_limits, "w", None)
    message = SetState(state.scope, "k", 2)
    refused(manager.supervisor.ask, message)
    refused(manager.supervisor.tell, message)
    refused(manager.supervisor.ask(message, block=False).get)
    transaction = state.transaction()
    transaction["k"] = transaction["k"] + 1
    refused(transaction.commit)
""",
    "reads": """
def check():
    assert state.get("k") == 1 and state["k"] == 1 and len(state) == 2
    assert dict(state.snapshot()) == {"k": 1, "n": 0}
    assert state.step("s").get_many(["k"]) == {"k": 2}
    assert manager.workflow_ids() == ["w"] and manager.stats().keys == 3
""",
    "close": """
def check():
    for _ in range(2):
        manager.close()
    for read in (lambda: state.get("k"), lambda: len(state), manager.stats):
        try:
            read()
        except ClosedError:
            continue
        raise AssertionError("not closed")
    refused(state.set, "k", 2)
""",
    "a fresh manager": """
def check():
    works()
    refused(state.set, "k", 2)
    works()
""",
    "a grandchild": """
def check():
    with StateManager() as fresh:
        it = fresh.workflow_state("w")
        it.set("k", 5)
        in_child(check_grandchild, it)
        assert it.increment("k") == 6

def check_grandchild(it):
    refused(it.set, "k", 6)
    refused(state.set, "k", 6)
    assert (it.get("k"), state.get("k")) == (5, 1)
    works()
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_child_of_a_fork_is_told_what_it_cannot_do(name: str) -> None:
    """It reads, closes and begins anew; every write says that it is in a child."""
    run_script(f"""{PRELUDE}
{CASES[name]}
in_child(check)
assert state.increment("n") == 1
manager.close()
""")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["sqlite", "rocksdb"])
def test_child_reads_of_a_store_what_was_in_memory(scheme: str, tmp_path: Path) -> None:
    """All else would need the files of the parent, and says so; none is damage."""
    run_script(f"""{PRELUDE}
url = "{scheme}:///{tmp_path}/state"
with StateManager(url) as stored:
    stored.workflow_state("warm").set("k", 1)
    stored.workflow_state("cold").set("k", 2)
stored = StateManager(url)
warm, cold = stored.workflow_state("warm"), stored.workflow_state("cold")
assert warm.get("k") == 1
def check():
    assert warm.get("k") == 1
    refused(cold.get, "k")
    refused(warm.set, "k", 2)
    refused(cold.set, "k", 2)
    refused(lambda: asyncio.run(warm.aio.set("k", 2)))
    refused(lambda: asyncio.run(cold.aio.set("k", 2)))
    refused(stored.workflow_ids)
    refused(stored.stats)
    refused(stored.check)
    refused(stored.compact)
    refused(stored.backup, "{tmp_path}/copy")
    stored.close()
in_child(check)
assert cold.get("k") == 2
assert warm.set("k", 3) == 2
stored.close()
""")


@pytest.mark.slow
def test_child_never_hangs_when_it_is_forked_in_the_middle_of_writes() -> None:
    """Whatever turns, locks and queues other threads were in, the child goes on."""
    run_script(f"""{PRELUDE}
sys.setswitchinterval(1e-6)
over = threading.Event()
def write(number):
    it = manager.workflow_state("w" if number % 2 else f"w{{number}}")
    while not over.is_set():
        it.increment("n")
        it.set("late", 1, ttl=1000)
        it.modify("m", lambda value: value, default=[1])
        manager.passivate(it.scope)
        manager.supervisor.ask(SetState(it.scope, "k", 1), block=False)
def open_and_close():
    while not over.is_set():
        with StateManager() as other:
            other.global_state().set("k", 1)
def check():
    sys.setswitchinterval(0.005)
    assert state.get("k") == 1
    refused(state.set, "k", 2)
    refused(manager.workflow_state("new").set, "k", 2)
    manager.close()
    works()
threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
threads.append(threading.Thread(target=open_and_close))
for thread in threads:
    thread.daemon = True  # so that a failure is told at once
    thread.start()
for _ in range(60):
    in_child(check)
over.set()
for thread in threads:
    thread.join()
manager.close()
""")


@pytest.mark.slow
def test_child_can_begin_anew_when_pykkas_registry_was_locked() -> None:
    """A lock that another thread of the parent held is free in the child."""
    run_script(f"""{PRELUDE}
import pykka
held, over = threading.Event(), threading.Event()
def hold():
    with pykka.ActorRegistry._actor_refs_lock:
        held.set()
        over.wait()
thread = threading.Thread(target=hold, daemon=True)
thread.start()
held.wait()
def check():
    works()
    assert pykka.ActorRegistry.get_all() == []
try:
    in_child(check)
finally:
    over.set()
thread.join()
manager.close()
""")


@pytest.mark.slow
def test_child_goes_on_when_it_is_forked_inside_a_turn() -> None:
    """A function in a turn may fork; the child can leave the turn and begin anew."""
    run_script(f"""{PRELUDE}
def fork(value):
    in_child(check)
    return value + 1
def check():
    refused(state.set, "k", 2)
    refused(manager.workflow_state("v").set, "k", 2)
    works()
assert state.modify("k", fork) == 2
pids = []
def split(value):
    pids.append(os.fork())
    return value + 1
assert state.modify("k", split) == 3
if not pids[0]:
    signal.alarm(20)
    refused(state.set, "k", 2)
    works()
    os._exit(0)
assert os.waitpid(pids[0], 0)[1] == 0
assert state.modify("k", lambda value: value + 1) == 4
manager.close()
""")


@pytest.mark.slow
@pytest.mark.parametrize("closing", ["", "manager.close()"])
def test_child_ends_as_usual(closing: str) -> None:
    """Leaving the child by its own end neither hangs nor says anything."""
    printed = run_script(f"""{PRELUDE}
warnings.simplefilter("error", ResourceWarning)
pid = os.fork()
if pid:
    assert os.waitpid(pid, 0)[1] == 0
    manager.close()
    print("parent")
else:
    signal.alarm(20)
    {closing or "pass"}
    print("child")
""")
    assert printed == "child\nparent\n"


@pytest.mark.slow
def test_child_of_multiprocessing_is_told_as_well() -> None:
    """A process that `multiprocessing` forks is a child like any other."""
    run_script(f"""{PRELUDE}
import multiprocessing
def check():
    signal.alarm(20)
    assert state.get("k") == 1
    refused(state.set, "k", 2)
    works()
process = multiprocessing.get_context("fork").Process(target=check)
process.start()
process.join(30)
assert process.exitcode == 0, process.exitcode
manager.close()
""")
