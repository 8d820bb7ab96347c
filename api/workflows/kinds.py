"""Which frame belongs to which kind of node."""

from typing import TYPE_CHECKING, Final

from stateward.workflows.flows import (
    Conditional,
    Loop,
    Node,
    Parallel,
    Sequential,
)
from stateward.workflows.frames import Frame, StepFrame
from stateward.workflows.loops import LoopFrame
from stateward.workflows.rows import ConditionalFrame, ParallelFrame, SequentialFrame
from stateward.workflows.steps import Step

if TYPE_CHECKING:
    from stateward.workflows.course import Course

KINDS: Final[dict[type, type[Frame]]] = {
    Step: StepFrame,
    Sequential: SequentialFrame,
    Parallel: ParallelFrame,
    Conditional: ConditionalFrame,
    Loop: LoopFrame,
}


def frame_of(course: "Course", node: Node, parent: Frame | None, path: str) -> Frame:
    """Return the frame of a node of any kind."""
    return KINDS[type(node)](course, node, parent, path)
