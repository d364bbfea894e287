"""Makes the oracle cases in examples/oracles with backtesting.py, an independent program.

    pip install backtesting==0.6.6
    python tools/oracle/make_cases.py examples/data examples/oracles

The format is that of `admf oracle`: case.json, trades.csv, equity.csv, stats.json.
"""
import csv
import json
import math
import pathlib
import sys

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy

DATA, OUT = (pathlib.Path(arg) for arg in sys.argv[1:3])
NAME = "sp500_daily_2000_2020"

CASES = [
    dict(id="sp500_sma_20_100_long", strategy="sma_cross", params=dict(fast=20, slow=100), side="long",
         commission=0.001, fill="next_open", size="all_in", sl_pct=None, tp_pct=None),
    dict(id="sp500_sma_10_50_flip_sameclose", strategy="sma_cross", params=dict(fast=10, slow=50), side="flip",
         commission=0.0005, fill="same_close", size="all_in", sl_pct=None, tp_pct=None),
    dict(id="sp500_ema_12_26_long_fixed20", strategy="ema_cross", params=dict(fast=12, slow=26), side="long",
         commission=0.001, fill="next_open", size=20, sl_pct=None, tp_pct=None),
    dict(id="sp500_rsi_14_30_60_long", strategy="rsi_revert", params=dict(n=14, lo=30, hi=60), side="long",
         commission=0.0005, fill="next_open", size="all_in", sl_pct=None, tp_pct=None),
    dict(id="sp500_sma_20_100_sl3_tp6_flip", strategy="sma_cross", params=dict(fast=20, slow=100), side="flip",
         commission=0.0005, fill="next_open", size="all_in", sl_pct=0.03, tp_pct=0.06),
    # Its averages cross on the last bar, so that the step after it closes a trade and opens another.
    dict(id="sp500_sma_7_42_flip_finalize", strategy="sma_cross", params=dict(fast=7, slow=42), side="flip",
         commission=0.001, fill="next_open", size="all_in", sl_pct=None, tp_pct=None, finalize=True),
]


def sma(close, n):
    out = np.full(len(close), np.nan)
    for i in range(n - 1, len(close)):
        out[i] = math.fsum(close[i - n + 1:i + 1]) / n
    return out


def ema(close, n):
    out = np.full(len(close), np.nan)
    value, alpha = close[0], 2 / (n + 1)
    for i, price in enumerate(close):
        value = price if i == 0 else value + alpha * (price - value)
        if i >= n - 1:
            out[i] = value
    return out


def rsi(close, n):
    out = np.full(len(close), np.nan)
    gain = loss = 0.0
    for i in range(1, len(close)):
        move = close[i] - close[i - 1]
        up, down = max(move, 0.0), max(-move, 0.0)
        if i <= n:
            gain, loss = gain + up / n, loss + down / n
        else:
            gain, loss = (gain * (n - 1) + up) / n, (loss * (n - 1) + down) / n
        if i >= n:
            out[i] = 100.0 if loss == 0 else 100 - 100 / (1 + gain / loss)
    return out


def signals(case, close):
    """Arrays up and down, and the first bar on which the strategy decides."""
    p = case["params"]
    if case["strategy"] == "rsi_revert":
        value = rsi(close, p["n"])
        first = p["n"] + 1
        up, down = value < p["lo"], value > p["hi"]
    else:
        line = sma if case["strategy"] == "sma_cross" else ema
        a, b = line(close, p["fast"]), line(close, p["slow"])
        first = p["slow"]
        up, down = np.zeros(len(close), bool), np.zeros(len(close), bool)
        up[1:] = (a[:-1] < b[:-1]) & (a[1:] > b[1:])
        down[1:] = (a[:-1] > b[:-1]) & (a[1:] < b[1:])
    up[:first] = down[:first] = False
    return up, down, first


def run(case, frame):
    close = frame.Close.to_numpy()
    up, down, first = signals(case, close)
    flip = case["side"] == "flip"

    class Oracle(Strategy):
        def init(self):
            pass

        def next(self):
            i = len(self.data) - 1
            if i < first:
                return
            price = self.data.Close[-1]
            size = {} if case["size"] == "all_in" else {"size": case["size"]}
            stops = lambda sign: {
                **({"sl": price * (1 - sign * case["sl_pct"])} if case["sl_pct"] else {}),
                **({"tp": price * (1 + sign * case["tp_pct"])} if case["tp_pct"] else {}),
            }
            if up[i] and not self.position.is_long:
                self.position.close()
                self.buy(**size, **stops(1))
            elif down[i] and flip and not self.position.is_short:
                self.position.close()
                self.sell(**size, **stops(-1))
            elif down[i] and not flip and self.position.is_long:
                self.position.close()

    test = Backtest(frame, Oracle, cash=100_000, commission=case["commission"],
                    trade_on_close=case["fill"] == "same_close", exclusive_orders=False,
                    finalize_trades=case.get("finalize", False))
    return test.run(), first


def write(case, frame):
    stats, first = run(case, frame)
    folder = OUT / case["id"]
    folder.mkdir(parents=True, exist_ok=True)
    trades, equity = stats["_trades"], stats["_equity_curve"].Equity.to_numpy()
    # An open position at the end is not a closed trade.
    closed = trades[trades.ExitBar.notna()]
    still_open = stats._strategy.trades
    with open(folder / "trades.csv", "w", newline="") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow("trade,direction,size,entry_bar,entry_time,entry_price,exit_bar,exit_time,exit_price,"
                      "pnl,return,commission,exit_reason".split(","))
        for n, t in enumerate(closed.sort_values("ExitBar", kind="stable").itertuples()):
            size, sign = abs(t.Size), math.copysign(1, t.Size)
            commission = case["commission"] * size * (t.EntryPrice + t.ExitPrice)
            pnl = t.Size * (t.ExitPrice - t.EntryPrice) - commission
            gain = sign * (t.ExitPrice / t.EntryPrice - 1) - commission / (size * t.EntryPrice)
            assert abs(pnl - t.PnL) < 1e-6, (pnl, t.PnL)
            level = lambda pct, away: pct is not None
            reason = "signal"
            if level(case["sl_pct"], -1) or level(case["tp_pct"], 1):
                base = frame.Close.iloc[t.EntryBar - 1]
                stop, goal = base * (1 - sign * case["sl_pct"]), base * (1 + sign * case["tp_pct"])
                bar = frame.iloc[t.ExitBar]
                if (bar.Low <= stop if sign > 0 else bar.High >= stop) and t.ExitPrice in (stop, bar.Open) \
                        and (t.ExitPrice <= stop if sign > 0 else t.ExitPrice >= stop):
                    reason = "sl"
                elif (bar.High >= goal if sign > 0 else bar.Low <= goal) and t.ExitPrice in (goal, bar.Open) \
                        and (t.ExitPrice >= goal if sign > 0 else t.ExitPrice <= goal):
                    reason = "tp"
            # No case decides to close on the bar before the last: this was the step after it.
            if case.get("finalize") and n == len(closed) - 1 and t.ExitBar == len(frame) - 1:
                reason = "finalize"
            rows.writerow([n, "long" if sign > 0 else "short", size, t.EntryBar, t.EntryTime, t.EntryPrice,
                           t.ExitBar, t.ExitTime, t.ExitPrice, pnl, gain, commission, reason])
    with open(folder / "equity.csv", "w", newline="") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(["bar", "timestamp", "equity"])
        rows.writerows([i, frame.index[i], value] for i, value in enumerate(equity))
    pnl = (closed.PnL).to_numpy()
    r = equity[1:] / equity[:-1] - 1
    peak = np.maximum.accumulate(equity)
    profit, loss = pnl[pnl > 0].sum(), -pnl[pnl < 0].sum()
    simple = dict(
        total_return=equity[-1] / 100_000 - 1, final_equity=equity[-1],
        sharpe_per_bar=r.mean() / r.std(ddof=1), sortino_per_bar=r.mean() / np.sqrt((np.minimum(r, 0) ** 2).mean()),
        max_drawdown=(1 - equity / peak).max(), n_trades=len(pnl), win_rate=(pnl > 0).mean(),
        profit_factor_cash=profit / loss, gross_profit=profit, gross_loss=loss,
        sqn=math.sqrt(len(pnl)) * pnl.mean() / pnl.std(ddof=1),
        avg_bars_held=(closed.ExitBar - closed.EntryBar).mean())
    (folder / "stats.json").write_text(json.dumps(
        {"simple": {k: (int(v) if k == "n_trades" else float(v)) for k, v in simple.items()}}, indent=1) + "\n")
    position = None
    if still_open:
        t = still_open[0]
        position = dict(direction="long" if t.is_long else "short", size=abs(t.size), entry_bar=int(t.entry_bar),
                        entry_price=float(t.entry_price))
    (folder / "case.json").write_text(json.dumps(dict(
        case, dataset=NAME, data_file=NAME, cash=100_000, finalize=case.get("finalize", False), engine="backtesting.py 0.6.6",
        n_bars=len(frame), first_decision_bar=first, open_position_at_end=position), indent=1) + "\n")


frame = pd.read_csv(DATA / f"{NAME}.csv", parse_dates=["date"], index_col="date")
frame.columns = [c.capitalize() for c in frame.columns]
for case in CASES:
    write(case, frame[["Open", "High", "Low", "Close", "Volume"]])
