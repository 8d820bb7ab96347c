"""Whether the extra `testing` is installed; imported first by what needs it."""

import importlib.util

if importlib.util.find_spec("hypothesis") is None:
    raise ImportError(
        "this part of stateward.testing needs hypothesis: "
        "pip install 'stateward[testing]'"
    )
