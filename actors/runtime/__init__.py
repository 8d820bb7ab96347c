"""Runtime: Pykka turns, owners, their supervisor, and the timers.

May import `core` and Pykka, never a file or `store`. INVARIANT: what an owner knows is
changed in that owner's turn and nowhere else.
"""
