"""Store: durable commits; every file, socket and sync of the engine is in here.

May import `core` and the engines, never Pykka and never `runtime`.
"""
