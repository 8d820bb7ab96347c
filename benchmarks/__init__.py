"""The figures the design promises, each measured against a named peer in one run.

    python -m benchmarks [--smoke] [--only NAME] [--draw] [--output DIR]

Every figure is a ratio, or a difference, of two things measured moments apart: the
engine and its peer take turns, so that a slow second of the machine slows both. What is
printed is the median over all rounds, with the middle half and the extremes beside it.

- `rows` lists the figures and what each is held to.
- `speed` times calls, `memory` weighs processes; `footprint` is such a process.
- `durable` times stores on disk, each against its own engine without the rest. Whole
  frameworks and caches on disk are no peers here: they promise other things.
- `peers` is what people write today instead.
- `report` prints, saves and draws.

Timing leaves the garbage collector on and the interpreter's settings alone.
"""
