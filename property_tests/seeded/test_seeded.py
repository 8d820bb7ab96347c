"""The bugs can be put in, and what looks for them tells found from not found."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from property_tests.seeded import report
from property_tests.seeded.bug import Bug, StaleBugError
from property_tests.seeded.bugs import BUGS
from property_tests.seeded.workshop import ROOT, Outcome, make_copy, try_bug

KNOWN: Final = {bug.name: bug for bug in BUGS}
SECONDS: Final = 120.0
"""LIMIT: what the checks of one bug may take here."""


def copy_of(bug: Bug, folder: Path) -> Path:
    """Return a tree that holds nothing but the file of `bug`."""
    path = folder / bug.file
    path.parent.mkdir(parents=True)
    path.write_bytes((ROOT / bug.file).read_bytes())
    return folder


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_bug_can_be_put_in_at_one_place(bug: Bug, tmp_path: Path) -> None:
    """The old text of every bug is there once, and the new one is Python."""
    path = bug.apply(copy_of(bug, tmp_path))
    source = path.read_text(encoding="utf-8")
    assert source != (ROOT / bug.file).read_text(encoding="utf-8")
    compile(source, str(path), "exec")


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_bug_names_checks_that_are_there(bug: Bug) -> None:
    """Every bug says what goes wrong, and its checks are in files of the tree."""
    assert bug.harm.endswith(".")
    assert bug.checks
    assert all((ROOT / check.partition("::")[0]).is_file() for check in bug.checks)


def test_bugs_have_names_of_their_own() -> None:
    """No two bugs are called the same."""
    assert len(KNOWN) == len(BUGS)


def test_bug_that_does_not_apply_is_told(tmp_path: Path) -> None:
    """A bug whose old text has gone, or whose file has, is not passed over."""
    bug = replace(BUGS[0], old="what nobody ever wrote")
    with pytest.raises(StaleBugError, match="0 times"):
        bug.apply(copy_of(bug, tmp_path))
    with pytest.raises(StaleBugError):
        BUGS[0].apply(tmp_path / "nowhere")


def test_table_of_the_documentation_is_of_these_bugs() -> None:
    """The documentation has each bug, in order, with what found it."""
    page = report.PAGE.read_text(encoding="utf-8")
    table = page.partition(report.BEGIN)[2].partition(report.END)[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    assert [row[1].strip(" `") for row in rows] == [bug.name for bug in BUGS]
    assert not [row for row in rows if row[3].strip() == "nothing"]


def test_documentation_names_checks_that_are_there() -> None:
    """Every guarantee is proved by files of the tree."""
    page = report.PAGE.read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests|property_tests)/[\w/]*(?:\.py|\.md|/))`", page)
    assert len(named) > len(BUGS)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_table_is_put_between_its_marks() -> None:
    """Only what stands between the two marks is replaced."""
    outcome = Outcome(finder="tests/a/test_b.py::test_c[1 - 2]", seconds=1.25)
    text = report.table([(BUGS[0], outcome)])
    page = report.fill_in(f"a{report.BEGIN}old{report.END}b", text)
    assert page == f"a{report.BEGIN}\n\n{text}\n\n{report.END}b"
    assert "| `test_b`: `test_c` | 1.2 |" in text
    with pytest.raises(ValueError, match="no <!--"):
        report.fill_in("a page without marks", text)


@pytest.fixture(name="pristine", scope="module")
def copied_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the tree without a bug."""
    path = tmp_path_factory.mktemp("seeded") / "pristine"
    make_copy(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["scope-escape-dropped", "view-can-be-changed", "storage-step-unended"]
)
def test_bug_is_found_by_its_checks(name: str, pristine: Path, tmp_path: Path) -> None:
    """A bug in a copy of the tree is found there, and the copy is removed."""
    outcome = try_bug(KNOWN[name], pristine, tmp_path / name, timeout=SECONDS)
    assert outcome.trouble == ""
    assert outcome.finder is not None
    assert outcome.finder.startswith(KNOWN[name].checks)
    assert not (tmp_path / name).exists()


@pytest.mark.slow
def test_change_that_is_no_bug_is_found_by_nothing(
    pristine: Path, tmp_path: Path
) -> None:
    """Checks that pass have found nothing, whatever was changed."""
    bug = KNOWN["scope-escape-dropped"]
    harmless = replace(bug, new=bug.old + "  # as it was", checks=bug.checks[:1])
    outcome = try_bug(harmless, pristine, tmp_path / "copy", timeout=SECONDS)
    assert (outcome.finder, outcome.trouble) == (None, "")


@pytest.mark.slow
def test_bug_that_does_not_load_is_no_find(pristine: Path, tmp_path: Path) -> None:
    """An engine that cannot be imported fails every check, which shows nothing."""
    broken = replace(KNOWN["scope-escape-dropped"], new="return text text")
    outcome = try_bug(broken, pristine, tmp_path / "copy", timeout=SECONDS)
    assert outcome.finder is None
    assert "does not load" in outcome.trouble
