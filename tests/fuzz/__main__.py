"""Read damaged files, many thousands of them, and say what came of it; the same seed gives the same files.

reads    nothing of the user's: small files of every format are made and damaged
writes   --report  a line for each distinct fault, with the command that repeats it (optional)
example  python -m tests.fuzz --attempts 5000
         python -m tests.fuzz --reader "pairs JSON" --seed 1 --number 17

Exit code 0 if every file was read or refused in one line that names it, otherwise 1. Every reader gets --attempts files, in a
process of its own that may be killed: for time, for memory, or because it crashed.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tests.fuzz.attempt import attempt, damage_of
from tests.fuzz.campaign import Tally, run_all
from tests.fuzz.readers import BY_NAME, READERS


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--attempts", type=int, default=300, metavar="N", help="damaged files for each reader [300]")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other damage [1]")
    parser.add_argument("--first", type=int, default=0, metavar="K", help="number of the first attempt [0]")
    parser.add_argument(
        "--reader", action="append", choices=list(BY_NAME), metavar="NAME", help="only this one; repeatable"
    )
    parser.add_argument("--number", type=int, metavar="K", help="repeat one attempt at one --reader, and show it")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="with --number: write the damaged file here too")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes at a time")
    parser.add_argument("--report", type=Path, metavar="FILE.md", help="write the distinct faults here")
    parser.add_argument("--list", action="store_true", help="name the readers and end")
    return parser


def main() -> int:
    args = build_parser().parse_args()
    readers = [BY_NAME[name] for name in args.reader] if args.reader else READERS
    if args.list:
        print(
            "\n".join(f"{reader.name}: {reader.file} ({reader.kind}), promises {reader.promise}" for reader in readers)
        )
        return 0
    if args.number is not None:
        return repeat(readers[0].name, args.seed, args.number, args.keep)
    tallies = run_all(readers, args.seed, args.first, args.attempts, args.workers)
    print(Tally.table(tallies))
    faults = [line for tally in tallies for line in tally.fault_lines(args.seed)]
    print("\n".join(["", *faults]) if faults else "\nno faults")
    if args.report:
        args.report.write_text("\n".join([*faults, ""]))
    return 1 if faults else 0


def repeat(name: str, seed: int, number: int, keep: Path | None) -> int:
    """Show one attempt: what was done to the file, its first bytes, what came of it."""
    reader = BY_NAME[name]
    damage = damage_of(reader, seed, number)
    if keep:
        keep.write_bytes(damage.data)
    print(f"{reader.file}: {damage.what}, {len(damage.data)} bytes: {damage.data[:2000]!r}")
    outcome = attempt(reader, seed, number)
    print(f"{outcome.verdict}: {outcome.said}")
    return int(outcome.is_fault)


if __name__ == "__main__":
    sys.exit(main())
