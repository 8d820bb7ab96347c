"""The list: every bug that is seeded, room by room."""

from typing import Final

from property_tests.seeded.bug import Bug
from property_tests.seeded.core_bugs import CORE_BUGS
from property_tests.seeded.face_bugs import FACE_BUGS
from property_tests.seeded.redo_bugs import REDO_BUGS
from property_tests.seeded.runtime_bugs import RUNTIME_BUGS
from property_tests.seeded.store_bugs import STORE_BUGS

BUGS: Final[tuple[Bug, ...]] = (
    *CORE_BUGS,
    *RUNTIME_BUGS,
    *STORE_BUGS,
    *REDO_BUGS,
    *FACE_BUGS,
)
