from typing import Any

import pytest

from stateward.workflows import Conditional, Loop, Parallel, Sequential, branch, step
from stateward.workflows.course import Course
from stateward.workflows.flows import Node
from stateward.workflows.frames import Frame, StepFrame
from stateward.workflows.kinds import KINDS, frame_of
from stateward.workflows.loops import LoopFrame
from stateward.workflows.rows import ConditionalFrame, ParallelFrame, SequentialFrame


@step
def s(_: Any) -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    ("node", "kind"),
    [
        (s, StepFrame),
        (Sequential("f", s), SequentialFrame),
        (Parallel("f", s), ParallelFrame),
        (Conditional("f", branch(bool, s)), ConditionalFrame),
        (Loop("f", s, over=[1]), LoopFrame),
    ],
)
def test_frame_is_that_of_its_kind(node: Node, kind: type[Frame]) -> None:
    """Each kind of node has a frame of its own kind, at the path it is given."""
    frame = frame_of(Course(s, {}), node, None, "some/path")
    assert type(frame) is kind
    assert (frame.node, frame.path, frame.parent) == (node, "some/path", None)
    assert len(KINDS) == 5
