"""Run benchmarks by name, or all; each prints its tables of medians and ratios."""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import time

import benchmarks


def main() -> None:
    names = [m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.name.startswith("_")]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"any of {', '.join(names)}; none = all")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--rows", type=int, help="how many rows, where a benchmark is about rows")
    given = parser.parse_args()
    for name in given.names:
        if name not in names:
            parser.error(f"no benchmark {name!r}; there are: {', '.join(names)}")
    for name in given.names or names:
        module = importlib.import_module(f"benchmarks.{name}")
        options = {"quick": given.quick}
        if given.rows and "rows" in inspect.signature(module.run).parameters:
            options["rows"] = given.rows
        print(f"\n## {name}: {(module.__doc__ or '').splitlines()[0]}", flush=True)
        started = time.perf_counter()
        module.run(**options)
        print(f"({time.perf_counter() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
