"""Reference values of every feature, made with TA-Lib and talipp, independent programs.

    pip install TA-Lib==0.8.2 talipp==2.7.0 pandas==3.1.1
    python tools/oracle/make_indicators.py FILE.csv OUT.bin     writes the values that tests compare
    python tools/oracle/make_indicators.py FILE.csv --against OURS.csv
                                                                compares with `admf features` output

Each column has the name that `admf features` prints. Where a library seeds an average in another
way than admf, its own option is used (`set_compatibility(1)`: an average begins with its first
value), or the series is led in by copies of its first value, which such an average cannot notice.
No tolerance is involved in making the values.

OUT.bin, little endian: a line of JSON {"bars", "rows", "columns"}, then for each column its values
at the rows, as f64; NaN where there is none. The rows are the first 700 bars and every 11th after.
"""
import json
import math
import sys

import numpy as np
import pandas as pd
import talib
from talipp.indicators import (
    VTX, VWAP, VWMA, Ichimoku, SuperTrend, StochRSI, StdDev,
)
from talipp.ohlcv import OHLCV

TOLERANCE = 1e-9


def first_seeded(series, length, times=1):
    """EMA of EMA of ... the series, each seeded with its first value, from the first bar on."""
    lead = times * length + 1
    talib.set_compatibility(1)
    line = np.concatenate([np.full(lead, series[0]), series])
    for _ in range(times):
        line = talib.EMA(line, length) if length > 1 else line
        line = np.where(np.isnan(line), series[0], line)
    talib.set_compatibility(0)
    return line[lead:]


def hidden(line, first):
    """NaN before the first defined bar."""
    line = np.array(line, dtype=float)
    line[:first] = np.nan
    return line


def shifted(line, by):
    return np.concatenate([np.full(by, np.nan), line[:-by]])


def total(line, n):
    """Sum of the last n values, each window on its own."""
    out = np.full(len(line), np.nan)
    for i in range(n - 1, len(line)):
        out[i] = math.fsum(line[i - n + 1:i + 1])
    return out


def talipp_values(indicator, get=lambda value: value):
    return np.array([np.nan if value is None or get(value) is None else get(value) for value in indicator])


def columns(frame):
    o, h, l, c, v = (frame[name].to_numpy(dtype=float) for name in ["open", "high", "low", "close", "volume"])
    day = pd.DatetimeIndex(frame["time"]).normalize().asi8
    bars = [OHLCV(*row) for row in zip(o, h, l, c, v)]
    tp = talib.TYPPRICE(h, l, c)
    out = {"open": o, "high": h, "low": l, "close": c, "volume": v}

    ema = lambda n: first_seeded(c, n)
    out["sma(20)"] = talib.SMA(c, 20)
    out["ema(20)"] = hidden(ema(20), 19)
    e1, e2, e3 = (first_seeded(c, 20, times) for times in (1, 2, 3))
    out["dema(20)"] = hidden(2 * e1 - e2, 38)
    out["tema(20)"] = hidden(3 * e1 - 3 * e2 + e3, 57)
    out["wma(20)"] = talib.WMA(c, 20)
    out["hma(20)"] = talib.WMA(2 * talib.WMA(c, 10) - talib.WMA(c, 20), 4)
    out["vwma(20)"] = talipp_values(VWMA(20, bars))
    out["rsi(14)"] = talib.RSI(c, 14)
    atr = talib.ATR(h, l, c, 14)
    out["atr(14)"] = atr
    out["adx(14)"] = talib.ADX(h, l, c, 14)
    out["plus_di(14)"] = talib.PLUS_DI(h, l, c, 14)
    out["minus_di(14)"] = talib.MINUS_DI(h, l, c, 14)
    out["mfi(14)"] = talib.MFI(h, l, c, v, 14)
    out["williams_r(14)"] = talib.WILLR(h, l, c, 14)
    vortex = VTX(14, bars)
    out["vortex_plus(14)"] = talipp_values(vortex, lambda value: value.plus_vtx)
    out["vortex_minus(14)"] = talipp_values(vortex, lambda value: value.minus_vtx)
    # talipp's own average true range counts the first bar: its sums begin a bar early.
    for name in ["vortex_plus(14)", "vortex_minus(14)"]:
        out[name] = hidden(out[name], 14)
    deviation = talipp_values(StdDev(20, list(c)))
    mean = np.array(talib.SMA(c, 20))
    out["bollinger(20, 2)"] = mean + 2 * deviation
    out["bollinger(20, -2)"] = mean - 2 * deviation
    out["keltner(20, 2)"] = hidden(ema(20) + 2 * talib.ATR(h, l, c, 20), 20)
    out["keltner(20, -2)"] = hidden(ema(20) - 2 * talib.ATR(h, l, c, 20), 20)
    out["donchian_high(20)"] = shifted(talib.MAX(h, 20), 1)
    out["donchian_low(20)"] = shifted(talib.MIN(l, 20), 1)
    out["donchian_middle(20)"] = (out["donchian_high(20)"] + out["donchian_low(20)"]) / 2
    out["highest(20)"] = talib.MAX(h, 20)
    out["lowest(20)"] = talib.MIN(l, 20)
    out["cci(20)"] = talib.CCI(h, l, c, 20)
    returns = np.concatenate([[0.0], np.diff(np.log(c))])
    returns = hidden(talib.VAR(returns, 20), 20)
    out["volatility(20)"] = np.sqrt(returns * 20 / 19)
    out["std_dev(20)"] = deviation
    out["z_score(20)"] = (c - mean) / deviation
    line = ema(12) - ema(26)
    signal = first_seeded(line, 9)
    out["macd(12, 26)"] = hidden(line, 25)
    out["macd_signal(12, 26, 9)"] = hidden(signal, 33)
    out["macd_histogram(12, 26, 9)"] = hidden(line - signal, 33)
    k, _ = talib.STOCHF(h, l, c, fastk_period=14, fastd_period=1)
    _, d = talib.STOCHF(h, l, c, fastk_period=14, fastd_period=3)
    out["stochastic_k(14)"] = k
    out["stochastic_d(14, 3)"] = d
    stochastic = StochRSI(14, 14, 3, 3, list(c))
    out["stochastic_rsi_k(14, 14, 3)"] = talipp_values(stochastic, lambda value: value.k)
    out["stochastic_rsi_d(14, 14, 3, 3)"] = talipp_values(stochastic, lambda value: value.d)
    # talipp counts the shift of its slow span from the bar before: 25 there is 26 here.
    ichimoku = Ichimoku(26, 9, 26, 52, 26, bars)
    out["ichimoku_conversion(9)"] = talipp_values(ichimoku, lambda value: value.conversion_line)
    out["ichimoku_base(26)"] = talipp_values(ichimoku, lambda value: value.base_line)
    out["ichimoku_span_a(9, 26, 26)"] = talipp_values(ichimoku, lambda value: value.cloud_leading_fast_line)
    ichimoku = Ichimoku(26, 9, 26, 52, 25, bars)
    out["ichimoku_span_b(52, 26)"] = talipp_values(ichimoku, lambda value: value.cloud_leading_slow_line)
    out["psar(0.02, 0.2)"] = talib.SAR(h, l, 0.02, 0.2)
    trend = SuperTrend(10, 3, bars)
    out["supertrend(10, 3)"] = hidden(talipp_values(trend, lambda value: value.value), 10)
    direction = talipp_values(trend, lambda value: 1.0 if value.trend.name == "UP" else -1.0)
    out["supertrend_direction(10, 3)"] = hidden(direction, 10)
    down, up = talib.AROON(h, l, 25)
    out["aroon_up(25)"], out["aroon_down(25)"] = up, down
    out["aroon_oscillator(25)"] = talib.AROONOSC(h, l, 25)
    out["momentum(10)"] = talib.MOM(c, 10)
    out["roc(10)"] = talib.ROC(c, 10)
    out["ultimate(7, 14, 28)"] = talib.ULTOSC(h, l, c, 7, 14, 28)

    # talipp's VWAP runs from its first bar: one for each UTC day.
    starts = np.flatnonzero(np.concatenate([[True], day[1:] != day[:-1]]))
    ends = np.concatenate([starts[1:], [len(c)]])
    out["vwap"] = np.concatenate([talipp_values(VWAP(bars[a:b])) for a, b in zip(starts, ends)])
    volume, value = total(v, 20), total(tp * v, 20)
    vwap = talipp_values(VWMA(20, [OHLCV(0, 0, 0, p, w) for p, w in zip(tp, v)]))
    out["rolling_vwap(20)"] = vwap
    spread = np.full(len(c), np.nan)
    for i in range(19, len(c)):
        window = slice(i - 19, i + 1)
        spread[i] = math.sqrt(math.fsum(v[window] * (tp[window] - vwap[i]) ** 2) / volume[i])
    out["vwap_band(20, 2)"] = vwap + 2 * spread
    out["vwap_band(20, -2)"] = vwap - 2 * spread
    out["obv"] = talib.OBV(c, v)
    # Each bar's own part of TA-Lib's line, so that no large total rounds it.
    flow = np.array([talib.AD(h[i:i + 1], l[i:i + 1], c[i:i + 1], v[i:i + 1])[0] for i in range(len(c))])
    out["cmf(20)"] = total(flow, 20) / volume
    out["accumulation_distribution"] = talib.AD(h, l, c, v)

    support, resistance = shifted(talib.MIN(l, 20), 1), shifted(talib.MAX(h, 20), 1)
    for i in range(20, len(c)):
        if np.sum(l[i - 20:i] <= support[i] * 1.002) < 2:
            support[i] = np.nan
        if np.sum(h[i - 20:i] >= resistance[i] * (1 - 0.002)) < 2:
            resistance[i] = np.nan
    out["support(20, 2, 0.002)"], out["resistance(20, 2, 0.002)"] = support, resistance
    days = pd.DataFrame({"day": day, "high": h, "low": l, "close": c}).groupby("day", sort=False)
    days = days.agg(high=("high", "max"), low=("low", "min"), close=("close", "last")).shift(1)
    at = pd.factorize(day)[0]
    dh, dl, dc = (days[name].to_numpy()[at] for name in ["high", "low", "close"])
    pivot = (dh + dl + dc) / 3
    out["pivot(0)"] = pivot
    out["pivot(1)"], out["pivot(-1)"] = 2 * pivot - dl, 2 * pivot - dh
    out["pivot(2)"], out["pivot(-2)"] = pivot + (dh - dl), pivot - (dh - dl)
    out["pivot(3)"], out["pivot(-3)"] = dh + 2 * (pivot - dl), dl - 2 * (dh - pivot)
    for name, price, extreme, beyond in [("high", h, talib.MAX, np.greater), ("low", l, talib.MIN, np.less)]:
        recent = extreme(price, 5)
        older, middle = shifted(recent, 6), shifted(price, 5)
        with np.errstate(invalid="ignore"):
            is_swing = beyond(middle, recent) & beyond(middle, older)
        level, line = np.full(len(c), np.nan), np.full(len(c), np.nan)
        found = []
        for i in range(len(c)):
            if is_swing[i]:
                found.append((i - 5, price[i - 5]))
            if found:
                level[i] = found[-1][1]
            if len(found) > 1:
                (x1, y1), (x2, y2) = found[-2:]
                line[i] = np.polyval(np.polyfit([0, x2 - x1], [y1, y2], 1), i - x1)
        out[f"swing_{name}(5)"], out[f"trendline_{name}(5)"] = level, line
    top, bottom = talib.MAX(h, 50), talib.MIN(l, 50)
    out["fibonacci(50, 0.618)"] = top - 0.618 * (top - bottom)
    out["linear_regression(20)"] = talib.LINEARREG(c, 20)
    out["linear_regression_intercept(20)"] = talib.LINEARREG_INTERCEPT(c, 20)
    out["linear_regression_slope(20)"] = talib.LINEARREG_SLOPE(c, 20)
    # TA-Lib's CORREL has rounding of 1e-8 at these prices; numpy's takes the means away first.
    count = np.arange(20.0)
    out["linear_regression_r2(20)"] = np.array(
        [np.nan] * 19 + [np.corrcoef(count, c[i - 19:i + 1])[0, 1] ** 2 for i in range(19, len(c))])
    return out


def read(path):
    frame = pd.read_csv(path)
    frame.columns = [name.lower() for name in frame.columns]
    frame = frame.rename(columns={"date": "time", "timestamp": "time"})
    frame["time"] = pd.to_datetime(frame["time"], utc=True)
    return frame


def compare(reference, ours):
    """Prints the largest difference of each column; gives how many are too large."""
    wrong = 0
    for name, values in reference.items():
        if name not in ours:
            print(f"{name:32} not in the file; add it with --of")
            continue
        a, b = values, ours[name].to_numpy(dtype=float)
        undefined = np.isnan(a) != np.isnan(b)
        distance = np.abs(a - b) / np.maximum(1.0, np.abs(a))
        worst = np.nanmax(distance)
        is_equal = not undefined.any() and worst <= TOLERANCE
        wrong += not is_equal
        print(f"{name:32} {'equal' if is_equal else 'DIFFERENT'}  worst {worst:.1e}"
              f"  {int((~np.isnan(a)).sum())} values" + (f"  defined otherwise on {undefined.sum()} bars,"
              f" first {np.flatnonzero(undefined)[0]}" if undefined.any() else ""))
    return wrong


def main():
    reference = columns(read(sys.argv[1]))
    if sys.argv[2] == "--against":
        sys.exit(1 if compare(reference, pd.read_csv(sys.argv[3])) else 0)
    bars = len(reference["close"])
    rows = list(range(min(700, bars))) + list(range(700, bars, 11))
    head = {"bars": bars, "rows": rows, "columns": list(reference)}
    with open(sys.argv[2], "wb") as out:
        out.write(json.dumps(head, separators=(",", ":")).encode() + b"\n")
        for values in reference.values():
            out.write(values[rows].astype("<f8").tobytes())


main()
