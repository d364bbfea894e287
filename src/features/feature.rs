//! The features by name: parameters, definition, first defined bar, memory.

use super::bars::Bar;
use super::history::Lookback;
use super::indicator::{Carrying, Indicator, carrying};
use super::levels::{self, Side};
use super::own::Own;
use super::{averages, oscillators, statistics, trend, volume};
use std::fmt;
use std::hash::{Hash, Hasher};

/// The longest window of an indicator; its history is part of the plan.
pub const WINDOW_BARS_MAX: u32 = 1 << 20;

/// A parameter of a feature: a window in bars, or any finite number.
trait Parameter: Copy {
    fn read(value: f64) -> Result<Self, String>;
    fn number(self) -> f64;
}

impl Parameter for u32 {
    fn read(value: f64) -> Result<u32, String> {
        if value >= 1.0 && value <= f64::from(WINDOW_BARS_MAX) && value.fract() == 0.0 {
            Ok(value as u32)
        } else {
            Err(format!(
                "{value} was found; a whole number from 1 to {WINDOW_BARS_MAX} was expected"
            ))
        }
    }

    fn number(self) -> f64 {
        f64::from(self)
    }
}

impl Parameter for f64 {
    fn read(value: f64) -> Result<f64, String> {
        if value.is_finite() {
            Ok(value)
        } else {
            Err(format!("{value} was found; a finite number was expected"))
        }
    }

    fn number(self) -> f64 {
        self
    }
}

/// Name, parameters and their usual values of a feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeatureName {
    /// Name.
    pub name: &'static str,
    /// Names and usual values of its parameters, in order.
    pub parameters: &'static [(&'static str, f64)],
}

macro_rules! features {
    ($(
        $(#[$doc:meta])*
        $variant:ident $name:literal $(( $($parameter:ident : $type:ty = $usual:expr),+ ))?
    ),+ $(,)?) => {
        /// An indicator with its parameters.
        ///
        /// A window of n has n values, this bar's last, unless it says otherwise. Undefined values
        /// are NaN, and so is every comparison with them false. `src/features/README.md` has the
        /// definitions with their sources.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Feature {
            $( $(#[$doc])* $variant $(( $($type),+ ))?, )+
            /// A feature of the user's own.
            Own(Own),
        }

        /// Every built-in feature.
        pub const FEATURES: &[FeatureName] = &[
            $( FeatureName {
                name: $name,
                parameters: &[$( $( (stringify!($parameter), $usual as f64) ),+ )?],
            } ),+
        ];

        fn from_values(name: &str, values: &[f64]) -> Result<Feature, String> {
            let mut values = values.iter();
            let mut next = || values.next().copied().unwrap_or(f64::NAN);
            match name {
                $( $name => Ok(Feature::$variant $(( $(
                    <$type>::read(next()).map_err(|message| {
                        format!(concat!($name, ": `", stringify!($parameter), "`: {}"), message)
                    })?
                ),+ ))?), )+
                _ => Err(format!("`{name}` is no feature")),
            }
        }

        /// Features that are equal have the same hash.
        impl Hash for Feature {
            fn hash<H: Hasher>(&self, state: &mut H) {
                std::mem::discriminant(self).hash(state);
                match self {
                    // A zero may have either sign.
                    $( Feature::$variant $(( $($parameter),+ ))? => {
                        $( $( (0.0 + $parameter.number()).to_bits().hash(state); )+ )?
                    } )+
                    Feature::Own(own) => {
                        own.name().hash(state);
                        for value in own.parameters() {
                            (0.0 + value).to_bits().hash(state);
                        }
                    }
                }
            }
        }

        fn to_values(feature: Feature) -> (&'static str, Vec<f64>) {
            match feature {
                $( Feature::$variant $(( $($parameter),+ ))? => {
                    ($name, vec![$( $($parameter.number()),+ )?])
                } )+
                Feature::Own(own) => (own.name(), own.parameters().to_vec()),
            }
        }
    };
}

features! {
    /// Opens.
    Open "open",
    /// Highs.
    High "high",
    /// Lows.
    Low "low",
    /// Closes.
    Close "close",
    /// Volumes.
    Volume "volume",
    /// Mean of the last n closes.
    Sma "sma" (n: u32 = 20),
    /// Exponential mean, alpha = 2 / (n + 1), seeded with the first close, used from bar n - 1.
    Ema "ema" (n: u32 = 20),
    /// 2 EMA - EMA of EMA, each seeded with its first value.
    Dema "dema" (n: u32 = 20),
    /// 3 EMA - 3 EMA of EMA + EMA of that, each seeded with its first value.
    Tema "tema" (n: u32 = 20),
    /// Mean of closes weighted 1 (oldest) to n.
    Wma "wma" (n: u32 = 20),
    /// Hull: WMA(sqrt n) of 2 WMA(n / 2) - WMA(n), lengths rounded down; n of 2 or more.
    Hma "hma" (n: u32 = 20),
    /// Mean of closes weighted by volume.
    Vwma "vwma" (n: u32 = 20),
    /// Relative strength index after Wilder: the first averages are plain means of n moves.
    /// 100 where there was no loss, 50 where there was no move at all.
    Rsi "rsi" (n: u32 = 14),
    /// Average true range after Wilder: the first is the plain mean of the true ranges of bars 1 to
    /// n (bar 0 has none), then (previous * (n - 1) + true range) / n.
    Atr "atr" (n: u32 = 14),
    /// Average directional index after Wilder, seeded as in TA-Lib.
    Adx "adx" (n: u32 = 14),
    /// Directional indicator +DI.
    PlusDi "plus_di" (n: u32 = 14),
    /// Directional indicator -DI.
    MinusDi "minus_di" (n: u32 = 14),
    /// Money flow index of typical prices; 50 where no money flowed.
    Mfi "mfi" (n: u32 = 14),
    /// Williams %R, -100 to 0; -50 in a window without range.
    WilliamsR "williams_r" (n: u32 = 14),
    /// Vortex VI+: sum of |high - low before| over sum of true ranges.
    VortexPlus "vortex_plus" (n: u32 = 14),
    /// Vortex VI-: sum of |low - high before| over sum of true ranges.
    VortexMinus "vortex_minus" (n: u32 = 14),
    /// SMA(n) + k population standard deviations of the same closes; k may be negative.
    Bollinger "bollinger" (n: u32 = 20, k: f64 = 2),
    /// EMA(n) + k ATR(n); k may be negative.
    Keltner "keltner" (n: u32 = 20, k: f64 = 2),
    /// Highest high of the n bars before this one.
    DonchianHigh "donchian_high" (n: u32 = 20),
    /// Lowest low of the n bars before this one.
    DonchianLow "donchian_low" (n: u32 = 20),
    /// Middle between the two.
    DonchianMiddle "donchian_middle" (n: u32 = 20),
    /// Highest high of n bars.
    Highest "highest" (n: u32 = 20),
    /// Lowest low of n bars.
    Lowest "lowest" (n: u32 = 20),
    /// Commodity channel index of typical prices; 0 in a window without deviation.
    Cci "cci" (n: u32 = 20),
    /// Sample standard deviation of the last n log returns, per bar; n of 2 or more.
    Volatility "volatility" (n: u32 = 20),
    /// Population standard deviation of n closes.
    StdDev "std_dev" (n: u32 = 20),
    /// (close - SMA(n)) / population standard deviation; undefined where that is 0.
    ZScore "z_score" (n: u32 = 20),
    /// EMA(fast) - EMA(slow).
    Macd "macd" (fast: u32 = 12, slow: u32 = 26),
    /// EMA(signal) of the MACD line, seeded with its first value.
    MacdSignal "macd_signal" (fast: u32 = 12, slow: u32 = 26, signal: u32 = 9),
    /// MACD line - signal line.
    MacdHistogram "macd_histogram" (fast: u32 = 12, slow: u32 = 26, signal: u32 = 9),
    /// Stochastic %K, not smoothed, 0 to 100; 50 in a window without range.
    StochasticK "stochastic_k" (n: u32 = 14),
    /// Mean of the last d %K.
    StochasticD "stochastic_d" (n: u32 = 14, d: u32 = 3),
    /// %K of RSI(rsi) over n values, then the mean of k of them.
    StochasticRsiK "stochastic_rsi_k" (rsi: u32 = 14, n: u32 = 14, k: u32 = 3),
    /// Mean of the last d of that.
    StochasticRsiD "stochastic_rsi_d" (rsi: u32 = 14, n: u32 = 14, k: u32 = 3, d: u32 = 3),
    /// Ichimoku conversion line (tenkan): middle of the range of n bars.
    IchimokuConversion "ichimoku_conversion" (n: u32 = 9),
    /// Ichimoku base line (kijun): middle of the range of n bars.
    IchimokuBase "ichimoku_base" (n: u32 = 26),
    /// Leading span A as it lies at this bar: mean of both lines, `shift` bars ago.
    IchimokuSpanA "ichimoku_span_a" (conversion: u32 = 9, base: u32 = 26, shift: u32 = 26),
    /// Leading span B as it lies at this bar: middle of the range of n bars, `shift` bars ago.
    IchimokuSpanB "ichimoku_span_b" (n: u32 = 52, shift: u32 = 26),
    /// Parabolic stop and reverse after Wilder, started as in TA-Lib.
    Psar "psar" (step: f64 = 0.02, max: f64 = 0.2),
    /// Supertrend line: the middle of the bar -+ k ATR(n), ratcheted; the range of bar 0 counts.
    Supertrend "supertrend" (n: u32 = 10, k: f64 = 3),
    /// 1 while the supertrend line is the lower one, else -1.
    SupertrendDirection "supertrend_direction" (n: u32 = 10, k: f64 = 3),
    /// 100 where the highest high of the last n + 1 bars is this bar's, 0 where it is n bars old.
    AroonUp "aroon_up" (n: u32 = 25),
    /// The same of lows.
    AroonDown "aroon_down" (n: u32 = 25),
    /// Up - down.
    AroonOscillator "aroon_oscillator" (n: u32 = 25),
    /// close - close n bars ago.
    Momentum "momentum" (n: u32 = 10),
    /// 100 (close / close n bars ago - 1).
    Roc "roc" (n: u32 = 10),
    /// Ultimate oscillator.
    Ultimate "ultimate" (short: u32 = 7, medium: u32 = 14, long: u32 = 28),
    /// Mean typical price weighted by volume since the UTC day's first bar.
    Vwap "vwap",
    /// Mean typical price of n bars weighted by volume.
    RollingVwap "rolling_vwap" (n: u32 = 20),
    /// Rolling VWAP + k population standard deviations of the typical price, weighted alike.
    VwapBand "vwap_band" (n: u32 = 20, k: f64 = 2),
    /// On balance volume; the first bar counts as a rise.
    Obv "obv",
    /// Chaikin money flow.
    Cmf "cmf" (n: u32 = 20),
    /// Accumulation and distribution line.
    AccumulationDistribution "accumulation_distribution",
    /// Lowest low of the n bars before this one, where at least `touches` of them have a low of at
    /// most level * (1 + tolerance); else undefined.
    Support "support" (n: u32 = 20, touches: u32 = 2, tolerance: f64 = 0.002),
    /// Highest high of the n bars before this one, where at least `touches` of them have a high of
    /// at least level * (1 - tolerance); else undefined.
    Resistance "resistance" (n: u32 = 20, touches: u32 = 2, tolerance: f64 = 0.002),
    /// Floor pivots of the UTC day before: level 0 the pivot, 1 to 3 resistance, -1 to -3 support.
    Pivot "pivot" (level: f64 = 0),
    /// Latest swing high: strictly above the highs of k bars before and k bars after; known, and
    /// used, k bars later.
    SwingHigh "swing_high" (k: u32 = 5),
    /// Latest swing low, likewise.
    SwingLow "swing_low" (k: u32 = 5),
    /// Line through the last two swing highs, at this bar.
    TrendlineHigh "trendline_high" (k: u32 = 5),
    /// Line through the last two swing lows, at this bar.
    TrendlineLow "trendline_low" (k: u32 = 5),
    /// Highest high - ratio * (highest high - lowest low) of n bars.
    Fibonacci "fibonacci" (n: u32 = 50, ratio: f64 = 0.618),
    /// Least squares line through n closes, at this bar; n of 2 or more.
    LinearRegression "linear_regression" (n: u32 = 20),
    /// The same line at the oldest of the n bars.
    LinearRegressionIntercept "linear_regression_intercept" (n: u32 = 20),
    /// Its slope per bar.
    LinearRegressionSlope "linear_regression_slope" (n: u32 = 20),
    /// Share of the closes' variance that it explains; undefined where they have none.
    LinearRegressionR2 "linear_regression_r2" (n: u32 = 20),
}

/// Bytes of an indicator beside its windows.
const STATE_BYTES: usize = 1024;

impl Feature {
    /// The feature with this name; parameters that are left out at the end have their usual value.
    ///
    /// Errors: an unknown name, too many parameters, a value that a parameter cannot have.
    pub fn named(name: &str, values: &[f64]) -> Result<Feature, String> {
        let Some(known) = FEATURES.iter().find(|known| known.name == name) else {
            let names: Vec<&str> = FEATURES.iter().map(|known| known.name).collect();
            return Err(format!(
                "`{name}` is no feature; there are {}",
                names.join(", ")
            ));
        };
        if values.len() > known.parameters.len() {
            let names: Vec<&str> = known.parameters.iter().map(|(name, _)| *name).collect();
            return Err(format!(
                "{name} has {} parameters ({}), {} were found",
                names.len(),
                names.join(", "),
                values.len()
            ));
        }
        let usual = known.parameters[values.len()..]
            .iter()
            .map(|(_, value)| *value);
        let values: Vec<f64> = values.iter().copied().chain(usual).collect();
        let feature = from_values(name, &values)?;
        feature.check().map(|()| feature)
    }

    /// Its name and parameter values.
    pub fn values(self) -> (&'static str, Vec<f64>) {
        to_values(self)
    }

    /// Whether its parameters are ones that it can have.
    ///
    /// Errors: the parameter, what was found and what was expected.
    pub fn check(self) -> Result<(), String> {
        let (name, values) = self.values();
        if let Feature::Own(own) = self {
            return own.check();
        }
        from_values(name, &values)?;
        let wrong = match self {
            Feature::Hma(n) | Feature::Volatility(n) => (n < 2).then_some("2 bars or more"),
            Feature::LinearRegression(n)
            | Feature::LinearRegressionIntercept(n)
            | Feature::LinearRegressionSlope(n)
            | Feature::LinearRegressionR2(n) => (n < 2).then_some("2 bars or more"),
            Feature::Pivot(level) => (!(-3.0..=3.0).contains(&level) || level.fract() != 0.0)
                .then_some("a whole level from -3 to 3"),
            Feature::Psar(step, max) => {
                (step <= 0.0 || max < step).then_some("a step above 0 and a maximum not below it")
            }
            Feature::Support(_, _, tolerance) | Feature::Resistance(_, _, tolerance) => {
                (!(0.0..1.0).contains(&tolerance)).then_some("a tolerance from 0 to below 1")
            }
            _ => None,
        };
        wrong.map_or(Ok(()), |expected| {
            Err(format!("{self}: {expected} was expected"))
        })
    }

    /// Bars that must have been seen before the first defined value. Where a value needs an event
    /// that may come late (a swing, a day's end), the earliest bar it can have one.
    pub fn first_defined(self) -> u64 {
        use Feature as F;
        let bars = |n: u32| u64::from(n);
        match self {
            F::Open | F::High | F::Low | F::Close | F::Volume => 0,
            F::Vwap | F::Obv | F::AccumulationDistribution => 0,
            F::Sma(n) | F::Ema(n) | F::Wma(n) | F::Vwma(n) | F::Bollinger(n, _) => bars(n) - 1,
            F::Dema(n) => 2 * (bars(n) - 1),
            F::Tema(n) => 3 * (bars(n) - 1),
            F::Hma(n) => bars(n) + bars(n.isqrt()) - 2,
            F::Rsi(n) | F::Atr(n) | F::PlusDi(n) | F::MinusDi(n) | F::Mfi(n) => bars(n),
            F::Adx(n) => 2 * bars(n) - 1,
            F::VortexPlus(n) | F::VortexMinus(n) | F::Keltner(n, _) => bars(n),
            F::DonchianHigh(n) | F::DonchianLow(n) | F::DonchianMiddle(n) => bars(n),
            F::Volatility(n) => bars(n),
            F::Support(n, ..) | F::Resistance(n, ..) => bars(n),
            F::Highest(n) | F::Lowest(n) | F::WilliamsR(n) | F::Cci(n) => bars(n) - 1,
            F::StdDev(n) | F::ZScore(n) | F::StochasticK(n) => bars(n) - 1,
            F::StochasticD(n, d) => bars(n) + bars(d) - 2,
            F::StochasticRsiK(rsi, n, k) => bars(rsi) + bars(n) + bars(k) - 2,
            F::StochasticRsiD(rsi, n, k, d) => bars(rsi) + bars(n) + bars(k) + bars(d) - 3,
            F::Macd(_, slow) => bars(slow) - 1,
            F::MacdSignal(_, slow, signal) | F::MacdHistogram(_, slow, signal) => {
                bars(slow) + bars(signal) - 2
            }
            F::IchimokuConversion(n) | F::IchimokuBase(n) => bars(n) - 1,
            F::IchimokuSpanA(conversion, base, shift) => {
                bars(conversion.max(base)) - 1 + bars(shift)
            }
            F::IchimokuSpanB(n, shift) => bars(n) - 1 + bars(shift),
            F::Psar(..) | F::Pivot(_) => 1,
            F::Supertrend(n, _) | F::SupertrendDirection(n, _) => bars(n),
            F::AroonUp(n) | F::AroonDown(n) | F::AroonOscillator(n) => bars(n),
            F::Momentum(n) | F::Roc(n) => bars(n),
            F::Ultimate(short, medium, long) => bars(short.max(medium).max(long)),
            F::RollingVwap(n) | F::VwapBand(n, _) | F::Cmf(n) => bars(n) - 1,
            F::SwingHigh(k) | F::SwingLow(k) => 2 * bars(k),
            F::TrendlineHigh(k) | F::TrendlineLow(k) => 3 * bars(k) + 1,
            F::Fibonacci(n, _) | F::LinearRegression(n) | F::LinearRegressionSlope(n) => {
                bars(n) - 1
            }
            F::LinearRegressionIntercept(n) | F::LinearRegressionR2(n) => bars(n) - 1,
            F::Own(own) => own.first_defined(),
        }
    }

    /// How far it looks back on the shared history; `None` where it carries all that it needs.
    pub(super) const fn lookback(self) -> Option<Lookback> {
        let (closes, sums) = match self {
            Feature::Sma(n) => (0, n as usize),
            Feature::Bollinger(n, _) => (n as usize, n as usize),
            Feature::Ema(_) | Feature::Macd(..) | Feature::MacdSignal(..) => (0, 0),
            Feature::Rsi(_) => (1, 0),
            _ => return None,
        };
        Some(Lookback { closes, sums })
    }

    /// Bytes on the heap that it carries at most, the shared history apart.
    pub fn bytes(self) -> usize {
        use Feature as F;
        let n = |n: u32| n as usize + 1;
        let words = match self {
            F::Wma(a) | F::Volatility(a) | F::StdDev(a) | F::ZScore(a) => n(a),
            F::Momentum(a) | F::Roc(a) => n(a),
            F::LinearRegression(a)
            | F::LinearRegressionIntercept(a)
            | F::LinearRegressionSlope(a) => n(a),
            F::Hma(a) | F::Vwma(a) | F::Mfi(a) | F::Cci(a) | F::Cmf(a) => 2 * n(a),
            F::RollingVwap(a) | F::LinearRegressionR2(a) => 2 * n(a),
            F::DonchianHigh(a) | F::DonchianLow(a) | F::Highest(a) | F::Lowest(a) => 2 * n(a),
            F::AroonUp(a) | F::AroonDown(a) => 2 * n(a + 1),
            F::VortexPlus(a) | F::VortexMinus(a) | F::VwapBand(a, _) => 3 * n(a),
            F::Support(a, ..) | F::Resistance(a, ..) => 3 * n(a),
            F::WilliamsR(a) | F::StochasticK(a) | F::Fibonacci(a, _) => 4 * n(a),
            F::DonchianMiddle(a) => 4 * n(a),
            F::IchimokuConversion(a) | F::IchimokuBase(a) | F::AroonOscillator(a) => 4 * n(a + 1),
            F::SwingHigh(a) | F::SwingLow(a) | F::TrendlineHigh(a) | F::TrendlineLow(a) => 4 * n(a),
            F::StochasticD(a, d) => 4 * n(a) + n(d),
            F::StochasticRsiK(_, a, k) => 4 * n(a) + n(k),
            F::StochasticRsiD(_, a, k, d) => 4 * n(a) + n(k) + n(d),
            F::IchimokuSpanA(a, b, shift) => 4 * (n(a) + n(b)) + n(shift),
            F::IchimokuSpanB(a, shift) => 4 * n(a) + n(shift),
            F::Ultimate(a, b, c) => 2 * (n(a) + n(b) + n(c)),
            F::Own(own) => own.bytes().div_ceil(8),
            // What they carry is the shared history's, or lies in their column.
            F::Sma(_) | F::Ema(_) | F::Rsi(_) | F::Bollinger(..) => return 0,
            F::Macd(..) | F::MacdSignal(..) => return 0,
            _ => 0,
        };
        STATE_BYTES + 8 * words
    }

    /// The indicator before its first bar; `None` where the shared history serves it.
    pub(super) fn indicator(self) -> Option<Box<dyn Indicator>> {
        use Feature as F;
        let missing = self.first_defined();
        macro_rules! of {
            ($value:expr) => {
                Box::new($value.hidden(missing))
            };
        }
        Some(match self {
            F::Sma(_) | F::Ema(_) | F::Rsi(_) | F::Bollinger(..) => return None,
            F::Macd(..) | F::MacdSignal(..) => return None,
            F::Open => of!(carrying((), |_, bar: &Bar| bar.open)),
            F::High => of!(carrying((), |_, bar: &Bar| bar.high)),
            F::Low => of!(carrying((), |_, bar: &Bar| bar.low)),
            F::Close => of!(carrying((), |_, bar: &Bar| bar.close)),
            F::Volume => of!(carrying((), |_, bar: &Bar| bar.volume)),
            F::Dema(n) => of!(averages::dema(n)),
            F::Tema(n) => of!(averages::tema(n)),
            F::Wma(n) => of!(averages::wma(n)),
            F::Hma(n) => of!(averages::hma(n)),
            F::Vwma(n) => of!(averages::vwma(n)),
            F::MacdHistogram(fast, slow, signal) => {
                of!(averages::macd_histogram(fast, slow, signal))
            }
            F::Atr(n) => of!(trend::atr(n)),
            F::Adx(n) => of!(trend::adx(n)),
            F::PlusDi(n) => of!(trend::directional_indicator(n, 0)),
            F::MinusDi(n) => of!(trend::directional_indicator(n, 1)),
            F::VortexPlus(n) => of!(trend::vortex(n, true)),
            F::VortexMinus(n) => of!(trend::vortex(n, false)),
            F::Keltner(n, k) => of!(trend::keltner(n, k)),
            F::Psar(step, max) => of!(trend::psar(step, max)),
            F::Supertrend(n, k) => of!(trend::supertrend(n, k)),
            F::SupertrendDirection(n, k) => of!(trend::supertrend_direction(n, k)),
            F::WilliamsR(n) => of!(oscillators::williams_r(n)),
            F::Cci(n) => of!(oscillators::cci(n)),
            F::StochasticK(n) => of!(oscillators::stochastic_k(n)),
            F::StochasticD(n, d) => of!(oscillators::stochastic_d(n, d)),
            F::StochasticRsiK(rsi, n, k) => of!(oscillators::stochastic_rsi(rsi, n, k, None)),
            F::StochasticRsiD(rsi, n, k, d) => {
                of!(oscillators::stochastic_rsi(rsi, n, k, Some(d)))
            }
            F::AroonUp(n) => of!(oscillators::aroon_up(n)),
            F::AroonDown(n) => of!(oscillators::aroon_down(n)),
            F::AroonOscillator(n) => of!(oscillators::aroon_oscillator(n)),
            F::Momentum(n) => of!(oscillators::momentum(n)),
            F::Roc(n) => of!(oscillators::roc(n)),
            F::Ultimate(short, medium, long) => {
                of!(oscillators::ultimate([short, medium, long]))
            }
            F::Mfi(n) => of!(volume::mfi(n)),
            F::Vwap => of!(volume::vwap()),
            F::RollingVwap(n) => of!(volume::rolling_vwap(n)),
            F::VwapBand(n, k) => of!(volume::vwap_band(n, k)),
            F::Obv => of!(volume::obv()),
            F::Cmf(n) => of!(volume::cmf(n)),
            F::AccumulationDistribution => of!(volume::accumulation_distribution()),
            F::DonchianHigh(n) => of!(levels::donchian(Side::High, n)),
            F::DonchianLow(n) => of!(levels::donchian(Side::Low, n)),
            F::DonchianMiddle(n) => of!(levels::donchian_middle(n)),
            F::Highest(n) => of!(levels::extreme(Side::High, n)),
            F::Lowest(n) => of!(levels::extreme(Side::Low, n)),
            F::IchimokuConversion(n) | F::IchimokuBase(n) => of!(levels::ichimoku_line(n)),
            F::IchimokuSpanA(conversion, base, shift) => {
                of!(levels::ichimoku_span_a(conversion, base, shift))
            }
            F::IchimokuSpanB(n, shift) => of!(levels::ichimoku_span_b(n, shift)),
            F::Support(n, touches, tolerance) => {
                of!(levels::touched(Side::Low, n, touches, tolerance))
            }
            F::Resistance(n, touches, tolerance) => {
                of!(levels::touched(Side::High, n, touches, tolerance))
            }
            F::Pivot(level) => of!(levels::pivot(level as i32)),
            F::SwingHigh(k) => of!(levels::swing(Side::High, k)),
            F::SwingLow(k) => of!(levels::swing(Side::Low, k)),
            F::TrendlineHigh(k) => of!(levels::trendline(Side::High, k)),
            F::TrendlineLow(k) => of!(levels::trendline(Side::Low, k)),
            F::Fibonacci(n, ratio) => of!(levels::fibonacci(n, ratio)),
            F::StdDev(n) => of!(statistics::standard_deviation(n)),
            F::ZScore(n) => of!(statistics::z_score(n)),
            F::Volatility(n) => of!(statistics::volatility(n)),
            F::LinearRegression(n) => of!(statistics::linear_regression(n, 1.0)),
            F::LinearRegressionIntercept(n) => of!(statistics::linear_regression(n, -1.0)),
            F::LinearRegressionSlope(n) => of!(statistics::linear_regression_slope(n)),
            F::LinearRegressionR2(n) => of!(statistics::linear_regression_r2(n)),
            F::Own(own) => return Some(own.indicator()),
        })
    }
}

/// As `keltner(20, -2)`.
impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, values) = self.values();
        let values: Vec<String> = values.iter().map(f64::to_string).collect();
        match values.is_empty() {
            true => f.write_str(name),
            false => write!(f, "{name}({})", values.join(", ")),
        }
    }
}

/// From `keltner(20, -2)`; `keltner` and `keltner(20)` have the usual values for what is left out.
impl std::str::FromStr for Feature {
    type Err = String;

    fn from_str(text: &str) -> Result<Feature, String> {
        let text = text.trim();
        let (name, inside) = match text.split_once('(') {
            None => (text, ""),
            Some((name, rest)) => (
                name.trim(),
                rest.strip_suffix(')')
                    .ok_or_else(|| format!("`{text}`: the closing bracket is missing"))?,
            ),
        };
        let values = inside
            .split(',')
            .filter(|_| !inside.trim().is_empty())
            .map(|value| {
                value
                    .trim()
                    .parse::<f64>()
                    .map_err(|_| format!("`{text}`: `{}` is no number", value.trim()))
            })
            .collect::<Result<Vec<f64>, String>>()?;
        Feature::named(name, &values)
    }
}
