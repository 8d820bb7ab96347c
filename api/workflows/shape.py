"""What can be said of a flow without running it."""

from hashlib import blake2b

from stateward.actors.core.values import pack
from stateward.workflows.flows import Conditional, Loop, Node, Parallel
from stateward.workflows.records import NODE, Record
from stateward.workflows.steps import Step


def shape_of(flow: Node) -> str:
    """Return a digest of what in a flow decides which step is which.

    Kinds, names and order of all nodes, and the items of loops, are in it; functions,
    conditions, timeouts and retries are not: those may be mended while a run waits.
    """
    digest = blake2b(digest_size=16)
    waiting: list[Node | str] = [flow]
    while waiting:  # Not recursive: a flow may be nested to any depth.
        node = waiting.pop()
        if isinstance(node, str):
            digest.update(node.encode())
            continue
        digest.update(f"({type(node).__name__} {len(node.name)}:{node.name}".encode())
        waiting.append(")")
        if isinstance(node, Conditional):
            digest.update(f" {node.match} {node.otherwise is not None}".encode())
        if isinstance(node, Loop):
            digest.update(_over_of(node))
        if not isinstance(node, Step):
            waiting.extend(reversed(node.steps))
    return digest.hexdigest()


def _over_of(loop: Loop) -> bytes:
    if isinstance(loop.over, tuple):
        packed = pack(list(loop.over))[0]
        return packed if isinstance(packed, bytes) else b""
    return repr(loop.over).encode() if isinstance(loop.over, range) else b"?"


def widest(flow: Node) -> int:
    """Return the largest `max_concurrency` in a flow."""
    widest, waiting = 0, [flow]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Parallel):
            widest = max(widest, node.max_concurrency or 0)
        if not isinstance(node, Step):
            waiting.extend(node.steps)
    return widest


def change_of(node: Node, known: Record, records: dict[str, Record]) -> str:
    """Say how a flow differs from the one that a run was begun with."""
    if known["flow"] != node.name:
        return f"the run was begun with flow {known['flow']!r}, not {node.name!r}"
    paths = _paths(node)
    gone = [
        key.removeprefix(NODE)
        for key in records
        if key.startswith(NODE) and _plain(key.removeprefix(NODE)) not in paths
    ]
    detail = f": it has no step {gone[0]!r} any more" if gone else ""
    return (
        f"flow {node.name!r} has changed since the run was begun{detail}; give it "
        "another name and workflow id, or restart"
    )


def _paths(flow: Node) -> set[str]:
    """Return the paths of all nodes of a flow, without iterations."""
    found: set[str] = set()
    waiting: list[tuple[Node, str]] = [(flow, "")]
    while waiting:
        node, path = waiting.pop()
        found.add(path)
        if not isinstance(node, Step):
            for child in node.steps:
                prefix = f"{path}/" if path or isinstance(node, Loop) else ""
                waiting.append((child, prefix + child.name))
        elif not path:
            found.add(node.name)
    return found


def _plain(path: str) -> str:
    """Return a path without the iterations in it."""
    return "/".join(part.partition("[")[0] for part in path.split("/"))
