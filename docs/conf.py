"""How Sphinx builds these pages; `make docs` takes its warnings as errors."""

import re
from importlib.metadata import version as installed_version
from typing import Final

from docutils import nodes
from docutils.nodes import TextElement
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.typing import stringify_annotation

import stateward

project = "stateward"
author = "the stateward authors"
copyright = "the stateward authors"
release = version = installed_version(project)

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["examples"]
html_theme = "furo"
html_title = f"stateward {release}"
html_copy_source = False
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

# -- docstrings -----------------------------------------------------------------------

default_role = "code"  # `name` in a docstring is code, as in Markdown
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False

CONTRACT: Final = ("Concurrency", "Durability", "Cost", "Effect")
"""What a docstring promises beside its parameters, one line each."""
CONTRACT_LINE: Final = re.compile(rf"({'|'.join(CONTRACT)}): (?=\S)")
# Where one of them holds a list, it may be written as a section too.
napoleon_custom_sections = [*CONTRACT]

UNROLLED: Final = {
    alias: stringify_annotation(getattr(stateward, alias), "smart")
    for alias in ("JsonValue", "FrozenJson")
}
"""What autodoc makes of an alias that is part of its own definition."""

# A reference to a public name must be found. Names of the engine and of other libraries
# reach the pages through annotations only, and are shown without a link.
PUBLIC: Final = (
    "stateward",
    "stateward.messages",
    "stateward.offline",
    "stateward.testing",
    "stateward.workflows",
)
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!stateward\.((messages|testing|workflows)\.)?[A-Z]).*")
]


def mark_contract(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Show `Cost: ...` and the like beside the parameters, as fields of their own.

    In the source no blank line stands between them; unmarked, they would run together
    into one paragraph.
    """
    marked: list[str] = []
    inside = False
    for line in lines:
        if CONTRACT_LINE.match(line):
            marked += [f":{line}"] if inside else ["", f":{line}"]
            inside = True
        elif inside and line.strip():
            marked.append(f"    {line.strip()}")
        else:
            marked.append(line)
            inside = False
    lines[:] = marked


def name_aliases(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returned: str | None,
) -> tuple[str | None, str | None]:
    """Show the recursive types by name: autodoc unrolls them, by more than one turn.

    Overloads and base classes do not come by here, and keep the long form.
    """
    shown = [signature, returned]
    for alias, unrolled in UNROLLED.items():
        while unrolled in f"{shown}":
            shown = [text and text.replace(unrolled, alias) for text in shown]
    return shown[0], shown[1]


def link_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: TextElement
) -> nodes.reference | None:
    """Link a name to where it is public: annotations name the module it is made in."""
    if node.get("refdomain") != "py":
        return None
    name = node.get("reftarget", "").rpartition(".")[2]
    for package in PUBLIC:
        found = env.domains.python_domain.resolve_xref(
            env, node["refdoc"], app.builder, "obj", f"{package}.{name}", node, shown
        )
        if found is not None:
            return found
    return None


def setup(app: Sphinx) -> None:
    """Mark the contract lines before napoleon reads the sections; name and link."""
    app.connect("autodoc-process-docstring", mark_contract, priority=100)
    app.connect("autodoc-process-signature", name_aliases)
    app.connect("missing-reference", link_public_name)
