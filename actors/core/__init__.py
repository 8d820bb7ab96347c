"""Core: scopes, values, messages, and the decisions an owner takes.

May import the standard library and `orjson`, and has no clock, thread, disk or
randomness of its own: whatever it needs of those it is given. INVARIANT: a refused
command has changed nothing.
"""
