"""The engine behind `stateward`: `core` decides, `runtime` runs turns, `store` commits.

Only what `stateward` itself exports promises compatibility; these rooms do not.
"""
