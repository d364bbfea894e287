#!/usr/bin/env python3
"""Times raptorbt on a grid of crossovers, in chunks of 20: whole chunks do not fit a small machine.

    python3 -m venv r && r/bin/pip install raptorbt==0.13.4 numpy
    r/bin/python tools/compare/raptor.py ../shared/peers SPY_5m 1000 3

Signals are computed with its own averages and filled at its default, the close of the bar; prints
one JSON object with the seconds of every repetition and the trades of all combinations.
"""

import json
import sys
import time

import numpy
import raptorbt

CHUNK = 20


def main():
    folder, dataset, combos, repetitions = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    sys.path.insert(0, folder)
    import common
    data = common.load(dataset)
    columns = [numpy.ascontiguousarray(data[key], dtype=float) for key in "ohlc"]
    times = numpy.arange(len(columns[3]), dtype=numpy.int64) * 300_000_000_000
    volume = numpy.ones(len(columns[3]))
    fast, slow = (values.tolist() for values in common.grid(combos))

    def once():
        averages = {window: numpy.asarray(raptorbt.sma(columns[3], window)) for window in {*fast, *slow}}
        trades = 0
        for first in range(0, combos, CHUNK):
            items = []
            for number in range(first, min(first + CHUNK, combos)):
                a, b = averages[fast[number]], averages[slow[number]]
                above, below = a > b, a < b
                up, down = numpy.zeros(len(a), bool), numpy.zeros(len(a), bool)
                up[1:], down[1:] = above[1:] & below[:-1], below[1:] & above[:-1]
                items.append(raptorbt.BatchSingleItem(str(number), up, down))
            for _, result in raptorbt.batch_single_backtest(times, *columns, volume, items):
                trades += result.metrics.total_trades
        return trades

    once()
    seconds = []
    for _ in range(repetitions):
        started = time.perf_counter()
        trades = once()
        seconds.append(time.perf_counter() - started)
    print(json.dumps({"runs": seconds, "trades": trades}))


if __name__ == "__main__":
    main()
