"""Power loss: what a disk may hold if it loses power, byte for byte.

`Recorder` runs in a child process. It stands between SQLite and its files, notes what
is written, synced, cut, made and removed, and passes it on. From that `Image` makes the
folder as a disk may have it after any of these moments. A disk keeps what was synced.
Of what was not it keeps, of each sector, any version since, for it writes sectors in an
order of its own; and of each file that was made or removed without a sync of the folder
either may be true.

SQLite's table of a file's methods is described at https://sqlite.org/c3ref/io_methods.html
and that of a file system at https://sqlite.org/c3ref/vfs.html.
"""

import ctypes
import os
from collections.abc import Callable, Iterator
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int64, c_void_p
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Final, NamedTuple

OK: Final = 0
OPEN_FILES: Final = Path("/proc/self/fd")
REBUILT: Final = ("-shm", ".lock")
"""Ends of names of files that mean nothing after a restart."""
METHODS: Final = 18
"""Function pointers in `sqlite3_io_methods` of version 3, behind the version."""
DIRECTORY: Final = b"openDirectory"
"""The system call that opens a folder, one of those SQLite lets others replace."""
WRITE, TRUNCATE, SYNC = 2, 3, 4
"""Places of those that are replaced, counted from 0 behind the version (`xClose`)."""

XOpen = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))
XDelete = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
XWrite = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
XTruncate = CFUNCTYPE(c_int, c_void_p, c_int64)
XDirectory = CFUNCTYPE(c_int, c_char_p, POINTER(c_int))
XSync = CFUNCTYPE(c_int, c_void_p, c_int)


class Event(NamedTuple):
    """Something that happened to the disk, or a note of who uses it."""

    kind: str
    """`write`, `cut`, `sync`, `make`, `remove`, `sync folder`, or `note`."""
    file: str = ""
    place: int = 0
    """Where it is written, or how long the file is afterwards."""
    data: Any = b""


class MethodTable(ctypes.Structure):
    """`sqlite3_io_methods`."""

    _fields_: ClassVar[Any] = (("version", c_int), ("methods", c_void_p * METHODS))


class File(ctypes.Structure):
    """The beginning of `sqlite3_file`."""

    _fields_: ClassVar[Any] = (("methods", POINTER(MethodTable)),)


class FileSystem(ctypes.Structure):
    """The beginning of `sqlite3_vfs`, of version 3."""

    _fields_: ClassVar[Any] = (
        ("version", c_int),
        ("file_bytes", c_int),
        ("path_bytes", c_int),
        ("following", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", c_void_p),
        ("delete", c_void_p),
        ("others", c_void_p * 11),
        ("set_call", CFUNCTYPE(c_int, c_void_p, c_char_p, c_void_p)),
        ("get_call", CFUNCTYPE(c_void_p, c_void_p, c_char_p)),
    )


class Recorder:
    """Notes what SQLite and the mark do to the disk, in this process, for good."""

    def __init__(self) -> None:
        """Begin to note.

        Raises:
            NotImplementedError: SQLite's functions cannot be reached in this build, or
                nothing tells which files are open.
        """
        import _sqlite3

        if not OPEN_FILES.is_dir():
            raise NotImplementedError
        self.events: list[Event] = []
        # What it was linked with is found with it, whatever else is loaded.
        library = ctypes.CDLL(_sqlite3.__file__)
        if not hasattr(library, "sqlite3_vfs_find"):
            raise NotImplementedError
        find = library.sqlite3_vfs_find
        find.restype, find.argtypes = POINTER(FileSystem), [c_char_p]
        self._system = find(None)
        self._names: dict[int, str] = {}
        self._tables: dict[int, tuple[MethodTable, MethodTable]] = {}
        self._open = XOpen(self._system.contents.open)
        self._delete = XDelete(self._system.contents.delete)
        get = self._system.contents.get_call
        self._directory = XDirectory(get(self._system, DIRECTORY))
        self._ours: Final = (
            XWrite(self._on_write),
            XTruncate(self._on_truncate),
            XSync(self._on_sync),
        )
        self._kept: Final = (
            XOpen(self._on_open),
            XDelete(self._on_delete),
            XDirectory(self._on_directory),
        )
        its = self._system.contents
        its.open, its.delete = map(address, self._kept[:2])
        its.set_call(self._system, DIRECTORY, address(self._kept[2]))
        self._watch_python()

    def note(self, data: Any) -> None:
        """Put a note between the events."""
        self.events.append(Event("note", data=data))

    def _watch_python(self) -> None:
        """Watch the mark, which Python writes, and syncs of the folder."""
        pwrite, fsync = os.pwrite, os.fsync

        def watched_pwrite(file: int, data: bytes, place: int) -> int:
            name = str((OPEN_FILES / str(file)).readlink())
            self.events.append(Event("write", name, place, bytes(data)))
            return pwrite(file, data, place)

        def watched_fsync(file: int) -> None:
            fsync(file)
            name = str((OPEN_FILES / str(file)).readlink())
            if Path(name).is_dir():
                self._note_folder(name)
            else:
                self.events.append(Event("sync", name))

        vars(os).update(pwrite=watched_pwrite, fsync=watched_fsync)

    def _note_folder(self, folder: str) -> None:
        """Note that a folder was synced, and which of our files were in it."""
        names = [
            str(each)
            for each in Path(folder).iterdir()
            if not each.name.endswith(REBUILT)
        ]
        self.events.append(Event("sync folder", folder, data=names))

    def _on_open(self, system: int, name: int | None, file: int, *rest: Any) -> int:
        # The name is passed on as the pointer it is, for SQLite keeps it.
        path = os.fsdecode(ctypes.string_at(name)) if name else ""
        new = bool(path) and not Path(path).exists()
        code: int = self._open(system, name, file, *rest)
        its = ctypes.cast(file, POINTER(File)).contents
        if code != OK or not path or not its.methods:
            return code
        self._names[file] = path
        if new:
            self.events.append(Event("make", path))
        real = ctypes.addressof(its.methods.contents)
        if real not in self._tables:
            table = MethodTable.from_buffer_copy(its.methods.contents)
            original = MethodTable.from_buffer_copy(its.methods.contents)
            for place, ours in zip((WRITE, TRUNCATE, SYNC), self._ours, strict=True):
                table.methods[place] = address(ours)
            self._tables[real] = original, table
            # So that what is called for a file is found by the table it has.
            self._tables[ctypes.addressof(table)] = original, table
        its.methods = ctypes.pointer(self._tables[real][1])
        return code

    def _real(self, file: int, place: int, kind: Any) -> Callable[..., int]:
        """Return the function that a file had before."""
        its = ctypes.cast(file, POINTER(File)).contents
        original, _ = self._tables[ctypes.addressof(its.methods.contents)]
        real: Callable[..., int] = kind(original.methods[place])
        return real

    def _on_delete(self, system: int, name: bytes, sync: int) -> int:
        path = os.fsdecode(name)
        if Path(path).exists():
            self.events.append(Event("remove", path))
        code: int = self._delete(system, name, sync)
        return code

    def _on_directory(self, name: bytes, file: Any) -> int:
        """Note a folder that SQLite opens, which it does to sync it."""
        code: int = self._directory(name, file)
        if code == OK:
            self._note_folder(str(Path(os.fsdecode(name)).parent))
        return code

    def _on_write(self, file: int, data: int, size: int, place: int) -> int:
        code = self._real(file, WRITE, XWrite)(file, data, size, place)
        content = ctypes.string_at(data, size)
        self.events.append(Event("write", self._names[file], place, content))
        return code

    def _on_truncate(self, file: int, size: int) -> int:
        code = self._real(file, TRUNCATE, XTruncate)(file, size)
        self.events.append(Event("cut", self._names[file], size))
        return code

    def _on_sync(self, file: int, flags: int) -> int:
        code = self._real(file, SYNC, XSync)(file, flags)
        if code == OK:
            self.events.append(Event("sync", self._names[file]))
        return code


def address(function: Any) -> int | None:
    """Return where a function of C is."""
    return ctypes.cast(function, c_void_p).value


# ----------------------------------------------------------------------- images


class Medium:
    """What becomes of one file: its content as synced, and what came since."""

    def __init__(self) -> None:
        """Begin empty."""
        self.synced = b""
        self.later: list[Event] = []

    def sync(self) -> None:
        """Have everything outlive power loss."""
        self.synced = self.at(len(self.later))
        self.later = []

    def at(self, count: int) -> bytes:
        """Return the content after the first `count` events since the sync."""
        content = bytearray(self.synced)
        for event in self.later[:count]:
            end = event.place + len(event.data)
            if event.kind == "cut":
                del content[event.place :]
            elif len(content) < end:
                content.extend(bytes(end - len(content)))
            content[event.place : end] = event.data
        return bytes(content)

    def mixed(self, chance: Random, sector: int) -> bytes:
        """Return a content each sector of which is of some moment since the sync."""
        versions = [self.at(count) for count in range(len(self.later) + 1)]
        size = len(chance.choice(versions))
        sectors = []
        for start in range(0, size, sector):
            part = chance.choice(versions)[start : start + sector]
            sectors.append(part.ljust(min(sector, size - start), b"\0"))
        return b"".join(sectors)[:size]


@dataclass(slots=True)  # tidy: it grows with every event
class Image:
    """A folder as it is on a disk that may lose power."""

    media: dict[str, Medium]
    """Of each file, by its name now."""
    kept: dict[str, Medium]
    """By the name it has for certain."""

    @classmethod
    def empty(cls) -> "Image":
        """Return a folder with nothing in it."""
        return cls({}, {})

    def happen(self, event: Event) -> None:
        """Let an event happen to the disk."""
        match event.kind:
            case "write" | "cut":
                self.media.setdefault(event.file, Medium()).later.append(event)
            case "sync":
                self.media.setdefault(event.file, Medium()).sync()
            case "make":
                self.media[event.file] = Medium()
            case "remove":
                self.media.pop(event.file, None)
            case "sync folder":
                # Python may have made files that SQLite then found.
                for name in event.data:
                    self.media.setdefault(name, Medium())
                self.kept = dict(self.media)

    def named(self, chance: Random) -> dict[str, Medium]:
        """Return the files by the names they have, by chance where it is open."""
        names = dict(self.kept)
        for name in sorted(self.media.keys() | self.kept.keys()):
            now = self.media.get(name)
            if now is not self.kept.get(name) and chance.random() < 1 / 2:
                names.pop(name, None)
                if now is not None:
                    names[name] = now
        return names

    def least(self) -> dict[str, bytes]:
        """Return only what was synced."""
        return {name: each.synced for name, each in self.kept.items()}

    def most(self) -> dict[str, bytes]:
        """Return everything, as after a crash of the process alone."""
        return {name: each.at(len(each.later)) for name, each in self.media.items()}

    def additions(self) -> Iterator[dict[str, bytes]]:
        """Yield what is there if of the files that are new only one has stayed."""
        for name in sorted(self.media.keys() - self.kept.keys()):
            each = self.media[name]
            yield {**self.least(), name: each.at(len(each.later))}

    def prefixes(self) -> Iterator[dict[str, bytes]]:
        """Yield what is there if a file was written no further, file by file."""
        everything = self.most()
        for name, each in self.media.items():
            for count in range(len(each.later)):
                yield {**everything, name: each.at(count)}

    def drawn(self, chance: Random) -> dict[str, bytes]:
        """Return what is there if each sector was written as chance has it."""
        sector = chance.choice((512, 4096))
        return {
            name: each.mixed(chance, sector)
            for name, each in self.named(chance).items()
        }


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Make a folder with these files, each by its last name."""
    folder.mkdir()
    for name, content in files.items():
        (folder / Path(name).name).write_bytes(content)
