#!/usr/bin/env python3
"""Times admf beside an expert's numba loops (and vectorbt) on one machine, in one run.

    cargo build --release --workspace
    python3 -m venv v && v/bin/pip install numba==0.68.1 numpy==2.4.6
    v/bin/python tools/compare/peers.py --peers ../shared/peers [--combos 1000 10000] [--rounds 7] \\
        [--vectorbt v2/bin/python] [--raptorbt v3/bin/python]

The folder of --peers holds `common.py` (data and grids) and `expert.py` (the loops); its
`../data/SPY_5m.csv` is the series. With --vectorbt PYTHON and --raptorbt PYTHON, interpreters that
have those packages, its `bench_vbt.py` and our `raptor.py` are timed too, at 1,000 combinations (they
fill at the close, so that only their trades in total are compared, within one per combination).

Every container's return, drawdown, trades, win rate and profit factor are compared before any time
is printed; pairs whose averages tie to the last bit may differ and are counted. The rounds take
turns, so that a noisy machine disturbs all alike. "inner" is inside the process, after warm-up for
the loops and from a cold process for admf; "whole" is the process. Results lie in memory
(/dev/shm, where it is there), as those of the others do; --root puts them elsewhere.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

WORKFLOW = """\
workflow: parameter_sweep
memory_budget: 64MiB
container_results: archive
data: {{path: {data}, symbols: [SPY]}}
strategy:
  name: sma_crossover
  parameters: {{fast: {fast}, slow: {slow}}}
execution: {{commission: {{rate: 0.001}}}}
event_tracing: {events}
retention_policy: trade_complete
"""
EVENTS = "[ORDER, FILL, POSITION_OPEN, POSITION_CLOSE]"
FIELDS = ["total_return", "max_drawdown", "total_trades", "win_rate", "profit_factor"]


class Admf:
    """One workflow, run as a process."""

    def __init__(self, folder, name, text, threads):
        self.root = folder / name
        self.file = folder / f"{name}.yaml"
        self.file.write_text(text + f"results_dir: {name}\n")
        self.threads = threads

    def run(self):
        command = ["target/release/admf", "run", str(self.file), "--json", "--fresh",
                   "--threads", str(self.threads), "--results-root", str(self.root)]
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        out = process.stdout.read()
        status = process.wait()
        whole = time.perf_counter() - started
        if status:
            sys.exit(f"{command} failed")
        report = json.loads(out)
        return {"inner": report["seconds"]["sweep"], "whole": whole, "peak": report["peak_memory_bytes"] / 2**20,
                "results": report["results"]}

    def metrics(self, results):
        traces = pathlib.Path(results) / "sweep/traces"
        # It says on standard error that these records were not recomputed: not all was traced.
        out = subprocess.run(["target/release/admf-tools", "summary", str(traces)],
                             capture_output=True, check=True).stdout.decode()
        decoder, at = json.JSONDecoder(), 0
        while at < len(out):
            report, at = decoder.raw_decode(out, at)
            yield [report["metrics"][field] for field in FIELDS]
            while at < len(out) and out[at].isspace():
                at += 1


def differences(ours, theirs):
    """Containers whose figures differ beyond rounding."""
    def near(a, b):
        a = 0.0 if a is None or a != a else a
        b = 0.0 if b is None or b != b else b
        return abs(a - b) <= 1e-7 * (1 + max(abs(a), abs(b)))
    count = 0
    for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        count += not all(map(near, a, b))
    return count


def grid(common, combos):
    fast, slow = common.grid(combos)
    return fast, slow, sorted(set(fast.tolist())), sorted(set(slow.tolist()))


def others(arguments, combos):
    """Programs that hold whole matrices or take minutes: small grids only."""
    if combos > 1000:
        return
    here = pathlib.Path(__file__).parent
    if arguments.vectorbt:
        command = [arguments.vectorbt, "bench_vbt.py", "SPY_5m", str(combos), "auto", "0", "3"]
        out = subprocess.run(command, cwd=arguments.peers, stdout=subprocess.PIPE, check=True).stdout.decode()
        result = json.loads(out.split("RESULT ", 1)[1])
        yield "vectorbt", {"runs": result["runs"], "trades": result["sum_tr"]}
    if arguments.raptorbt:
        command = [arguments.raptorbt, str(here / "raptor.py"), str(arguments.peers), "SPY_5m", str(combos), "3"]
        yield "raptorbt", json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=pathlib.Path, default=pathlib.Path("../shared/peers"))
    parser.add_argument("--combos", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--root", help="the folder for workflows and results")
    parser.add_argument("--vectorbt", help="an interpreter that has vectorbt")
    parser.add_argument("--raptorbt", help="an interpreter that has raptorbt")
    arguments = parser.parse_args()
    if not (arguments.peers / "expert.py").is_file():
        sys.exit(f"{arguments.peers}: expert.py and common.py were expected there; see --peers")
    sys.path.insert(0, str(arguments.peers))
    import common
    import expert
    import numba
    import numpy

    numba.set_num_threads(arguments.threads)
    data = common.load("SPY_5m")
    opens, closes = data["o"], data["c"]

    def loop(version, fast, slow):
        windows, fi, si, first = expert.prepare(fast, slow)
        averages = expert.sma_matrix_par(closes, windows)
        if version == "v1":
            return expert.sweep_v1(opens, closes, averages, fi, si, first, 100000.0, 0.001, False)
        p1, p2 = expert.prefix(closes)
        return expert.sweep_v3(opens, closes, p1, p2, *expert.blocks(closes), averages, fi, si,
                               first, 100000.0, 0.001, False, arguments.threads)

    memory = "/dev/shm"
    root = arguments.root or (memory if os.access(memory, os.W_OK) else None)
    source = (arguments.peers / "../data/SPY_5m.csv").resolve()
    for combos in arguments.combos:
        fast, slow, fasts, slows = grid(common, combos)
        with tempfile.TemporaryDirectory(dir=root) as folder:
            folder = pathlib.Path(folder)
            case = lambda name, events: Admf(folder, name, WORKFLOW.format(
                data=source, fast=fasts, slow=slows, events=events), arguments.threads)
            traced, untraced = case("traced", EVENTS), case("untraced", "[]")
            first = traced.run()
            expected = {version: loop(version, fast, slow) for version in ("v1", "v3")}
            order = [0, 2, 3, 4, 5]
            for version, table in expected.items():
                rows = table[:, order].tolist()
                count = differences(traced.metrics(first["results"]), rows)
                print(f"{combos} combinations, {len(closes)} bars: {count} of {combos} differ from numba {version}"
                      " (pairs that tie to the last bit)")
                if count > combos // 1000 + 10:
                    sys.exit("the results differ; no time is printed")
            times = {"admf traced": [], "admf untraced": [], "numba v1": [], "numba v3": []}
            wholes = {"admf traced": [], "admf untraced": []}
            peaks = {}
            for _ in range(arguments.rounds):
                for name, job in (("admf traced", traced), ("admf untraced", untraced)):
                    ran = job.run()
                    times[name].append(ran["inner"])
                    wholes[name].append(ran["whole"])
                    peaks[name] = max(peaks.get(name, 0.0), ran["peak"])
                for version in ("v1", "v3"):
                    started = time.perf_counter()
                    loop(version, fast, slow)
                    times[f"numba {version}"].append(time.perf_counter() - started)
            trades = sum(row[2] for row in traced.metrics(first["results"]))
            for name, result in others(arguments, combos):
                print(f"{name}: {result['trades']:.0f} trades where admf has {trades:.0f}")
                if abs(result["trades"] - trades) > combos:
                    sys.exit("the trades differ; no time is printed")
                times[name] = result["runs"]
        ours = statistics.median(times["admf traced"])
        print("| system | inner s | ns per bar and combination | times admf traced | whole process s | peak MiB |")
        print("|---|---|---|---|---|---|")
        for name, runs in times.items():
            inner = statistics.median(runs)
            whole = f"{statistics.median(wholes[name]):.3f}" if name in wholes else ""
            peak = f"{peaks[name]:.1f}" if name in peaks else ""
            print(f"| {name} | {inner:.4f} | {inner / combos / len(closes) * 1e9:.3f} | {inner / ours:.2f} | {whole} | {peak} |")


if __name__ == "__main__":
    main()
