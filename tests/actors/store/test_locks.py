import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stateward.actors.core.errors import StoreError, StoreLockedError
from stateward.actors.store.locks import StoreLock
from tests.threads import run_script

HOLDER = """
import sys
from stateward.actors.store.locks import StoreLock
lock = StoreLock({path!r})
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""

FORKED = """
import os, signal, warnings
from stateward.actors.core.errors import StoreLockedError
from stateward.actors.store.locks import StoreLock
warnings.simplefilter("ignore", DeprecationWarning)
signal.alarm(30)
ready, say_ready = os.pipe()
go_on, tell = os.pipe()

def refused():
    try:
        StoreLock({path!r}).acquire()
    except StoreLockedError as error:
        return error.context["pid"]

parent = os.fork()
if not parent:
    lock = StoreLock({path!r})
    lock.acquire()
    holder = os.getpid()
    if not os.fork():
        os.close(tell)
        lock.release()
        assert refused() == holder
        os.write(say_ready, b"1")
        os.read(go_on, 1)
        os._exit(0)
    os.read(ready, 1)
    assert refused() == holder
    os._exit(0)
assert os.waitpid(parent, 0)[1] == 0
again = StoreLock({path!r})
again.acquire()
again.release()
os.close(tell)
"""


def test_lock_is_held_once_in_a_process(tmp_path: Path) -> None:
    """A second manager of this process is refused, and told who has the store."""
    path = str(tmp_path / "store")
    lock, other = StoreLock(path), StoreLock(path)
    lock.acquire()
    for each in (lock, other):
        with pytest.raises(StoreLockedError, match=f"process {os.getpid()}") as told:
            each.acquire()
        assert told.value.context["pid"] == os.getpid()
        assert told.value.effect == "none"
    lock.release()
    lock.release()
    other.acquire()
    other.release()


def test_lock_of_another_process_names_it(tmp_path: Path) -> None:
    """The message says which process has the store; killed, it locks nothing."""
    path = str(tmp_path / "store")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER.format(path=path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        lock = StoreLock(path)
        with pytest.raises(StoreLockedError, match=f"process {process.pid} has"):
            lock.acquire()
        process.kill()
        process.wait()
    assert Path(path + ".lock").exists()
    lock.acquire()
    lock.release()
    assert process.returncode in (-signal.SIGTERM, -9, 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_forked_child_keeps_no_lock(tmp_path: Path) -> None:
    """A child neither holds the lock after its parent nor frees it before."""
    run_script(FORKED.format(path=str(tmp_path / "store")))


@pytest.mark.parametrize("found", [b"", b"nonsense", b"\xff" * 1000, b"12x3 "])
def test_lock_file_may_say_anything(tmp_path: Path, found: bytes) -> None:
    """What an earlier process, or anybody, left in the file locks nothing."""
    Path(tmp_path / "store.lock").write_bytes(found)
    lock = StoreLock(str(tmp_path / "store"))
    lock.acquire()
    lock.release()
    assert Path(tmp_path / "store.lock").read_text().startswith(f"{os.getpid()} since ")


def test_lock_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A folder that is not there is no locked store."""
    with pytest.raises(StoreError, match="cannot lock") as told:
        StoreLock(str(tmp_path / "none" / "store")).acquire()
    assert not isinstance(told.value, StoreLockedError)
