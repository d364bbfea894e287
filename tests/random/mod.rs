//! Random workflows over random bars: what the property tests of trading run.
//!
//! Everything follows from a seed, so that a failure is repeated by its number. New rules are
//! covered once `Random::workflow` draws their keys.

use admf::container::Span;
use admf::market::{Bar, BarsFile, BarsWriter};
use admf::sequencer::{Listened, listen};
use admf::strategy::{self, Strategy};
use admf::topology::{Job, ParameterSet};
use admf::workflow::{self, Workflow};
use admf_formats::event::{AnyPayload, Stamp};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// One event.
pub(crate) type Event = (Stamp, AnyPayload);

/// Random numbers from a seed (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bf0_3635)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A whole number of `from..until`.
    pub(crate) fn within(&mut self, from: u64, until: u64) -> u64 {
        from + self.number() % (until - from)
    }

    /// From 0 to below 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.number().is_multiple_of(times)
    }

    pub(crate) fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.within(0, choices.len() as u64) as usize]
    }
}

/// Bars that a market could have: gaps between days, closes on a grid of 1/16 so that levels and
/// averages meet exactly now and then, weekends, days of unequal length.
pub(crate) fn bars(random: &mut Random, count: usize) -> Vec<Bar> {
    let hour = 3_600_000_000_000;
    let (mut price, mut time) = (1600_i64, 1_700_000_000_000_000_000 / hour * hour);
    (0..count)
        .map(|_| {
            let jump = if random.once_in(12) { 60 } else { 0 };
            let mut step = |size: u64| random.within(0, 2 * size + 1) as i64 - size as i64;
            let open = (price + step(6 + jump)).max(200);
            let close = (open + step(30)).max(200);
            let high = open.max(close) + step(12).abs();
            let low = (open.min(close) - step(12).abs()).max(100);
            price = close;
            let hours = match random.within(0, 20) {
                0 => 62,
                1..4 => 17,
                _ => 1,
            };
            time += hours * hour;
            let volume = random.within(0, 1000) as f64;
            let [open, high, low, close] = [open, high, low, close].map(|p| p as f64 / 16.0);
            Bar {
                ts_ns: time,
                ohlcv: [open, high, low, close, volume],
            }
        })
        .collect()
}

/// Writes them as a bars file.
pub(crate) fn write(bars: &[Bar], path: &Path) -> BarsFile {
    let mut writer = BarsWriter::create(path).expect("writable");
    for bar in bars {
        writer.push(bar).expect("sound bars");
    }
    writer.finish().expect("writable")
}

/// Strategy and parameters, as YAML.
fn strategy_of(random: &mut Random) -> String {
    let mut all = strategy::all();
    all.retain(|one| !one.usual().is_empty());
    let strategy = all[random.within(0, all.len() as u64) as usize];
    let values: Vec<String> = strategy
        .parameters()
        .iter()
        .zip(strategy.usual())
        .map(|(name, usual)| format!("{name}: {}", parameter(random, strategy, name, *usual)))
        .collect();
    format!(
        "strategy: {{name: {}, parameters: {{{}}}}}\n",
        strategy.name(),
        values.join(", ")
    )
}

/// Short windows, for short series: a trade every few bars.
fn parameter(random: &mut Random, strategy: &dyn Strategy, name: &str, usual: f64) -> String {
    if strategy.thresholds().contains(&name) {
        return match name {
            "oversold" | "overbought" => format!("{}", usual + random.within(0, 10) as f64 - 5.0),
            _ => format!("{}", usual * (0.4 + 0.6 * random.share())),
        };
    }
    match name {
        "slow" => format!("{}", random.within(5, 20)),
        _ => format!("{}", random.within(2, 6)),
    }
}

/// How large an entry is.
fn sizing(random: &mut Random) -> String {
    let percent = random.within(1, 20);
    match random.within(0, 6) {
        0 => "{percent_of_equity: 100}".to_owned(),
        1 => format!("{{percent_of_equity: {}}}", random.within(5, 95)),
        2 => format!("{{quantity: {}}}", random.within(1, 900)),
        3 => format!("{{cash: {}}}", random.within(1_000, 90_000)),
        4 => format!(
            "{{atr: {{percent: {percent}, multiple: {}, period: {}}}}}",
            random.within(1, 4),
            random.within(2, 20)
        ),
        _ => format!(
            "{{volatility: {{annual: {}, period: {}}}}}",
            0.1 + random.share(),
            random.within(2, 20)
        ),
    }
}

fn commission(random: &mut Random) -> String {
    match random.within(0, 5) {
        0 => "{rate: 0}".to_owned(),
        1 => format!("{{rate: {}}}", 0.004 * random.share()),
        2 => format!("{{per_share: {}}}", 0.02 * random.share()),
        3 => format!("{{fixed: {}}}", random.within(0, 20)),
        _ => format!(
            "{{per_share: {{rate: {}, minimum: {}, maximum: {}, maximum_rate: 0.02}}}}",
            0.03 * random.share(),
            random.within(0, 5),
            random.within(5, 30)
        ),
    }
}

/// Slippage or spread.
fn price_cost(random: &mut Random) -> String {
    match random.within(0, 3) {
        0 => "{rate: 0}".to_owned(),
        1 => format!("{{rate: {}}}", 0.002 * random.share()),
        _ => format!("{{fixed: {}}}", 0.05 * random.share()),
    }
}

/// Limits, each of them or not; none at all half of the time.
fn risk(random: &mut Random) -> String {
    let mut limits = Vec::new();
    if random.once_in(2) {
        let mut limit = |name: &str, value: f64| {
            if random.once_in(2) {
                limits.push(format!("{name}: {value}"));
            }
        };
        limit("max_position", 300.0);
        limit("max_exposure", 0.7);
        limit("max_drawdown", 0.12);
        limit("max_daily_loss", 0.03);
    }
    if limits.is_empty() {
        return String::new();
    }
    format!("risk: {{{}}}\n", limits.join(", "))
}

/// A workflow with a container of random rules.
pub(crate) fn workflow(random: &mut Random) -> String {
    let zone = random.one_of(&["UTC", "America/New_York", "Asia/Tokyo"]);
    let mut text =
        format!("workflow: single_backtest\ndata: {{path: none.bars, timezone: {zone}}}\n");
    text += &strategy_of(random);
    // One period for every ATR: some strategies leave room for one feature more.
    let period = random.within(2, 8);
    let (entry, exits) = (entry(random, period), exits(random, period));
    // Entries are added by the market alone; risk per trade needs a stop.
    let has_pyramid = entry == "market" && random.once_in(2);
    let sizing = if exits.contains("stop_loss") && random.once_in(3) {
        format!("{{risk_per_trade: {{percent: {}}}}}", random.within(1, 10))
    } else {
        sizing(random)
    };
    text += &format!(
        "portfolio: {{direction: {}, sizing: {sizing}, pyramiding: {{max_entries: {}}}, whole_units: {}, \
         close_at_end: {}}}\n",
        random.one_of(&["long_only", "short_only", "long_short"]),
        if has_pyramid { random.within(2, 5) } else { 1 },
        random.once_in(2),
        random.once_in(2)
    );
    text += &format!(
        "execution: {{fill: {}, commission: {}, slippage: {}, spread: {}, \
         borrow: {{annual_rate: {}}}, entry: {entry}}}\n",
        random.one_of(&["next_open", "same_close"]),
        commission(random),
        price_cost(random),
        price_cost(random),
        if random.once_in(2) {
            0.0
        } else {
            0.1 * random.share()
        }
    );
    text += &exits;
    text += &risk(random);
    text += &format!("warmup: {}\n", random.one_of(&["history", "none"]));
    text
}

/// A distance of a few bars' moves.
fn distance(random: &mut Random, period: u64) -> String {
    match random.within(0, 3) {
        0 => format!("{{percent: {}}}", 0.2 + 4.0 * random.share()),
        1 => format!("{{absolute: {}}}", random.within(1, 60) as f64 / 16.0),
        _ => format!("{{atr: {}, period: {period}}}", 0.3 + 2.0 * random.share()),
    }
}

/// How positions are entered: at the market in every second case.
fn entry(random: &mut Random, period: u64) -> String {
    let order = match random.within(0, 6) {
        0 => format!("limit: {}", distance(random, period)),
        1 => format!("stop: {}", distance(random, period)),
        2 => {
            let (stop, limit) = (distance(random, period), distance(random, period));
            format!("stop_limit: {{stop: {stop}, limit: {limit}}}")
        }
        _ => return "market".to_owned(),
    };
    let bars = random.within(1, 9);
    let force = match random.within(0, 3) {
        0 => "gtc".to_owned(),
        1 => "day".to_owned(),
        _ => format!("{{bars: {bars}}}"),
    };
    format!("{{{order}, time_in_force: {force}}}")
}

/// Exits beside the strategy's own, each in every third case.
pub(crate) fn exits(random: &mut Random, period: u64) -> String {
    let mut keys = Vec::new();
    for level in ["stop_loss", "take_profit", "trailing_stop"] {
        if random.once_in(3) {
            keys.push(format!("{level}: {}", distance(random, period)));
        }
    }
    if random.once_in(3) {
        keys.push(format!("max_bars: {}", random.within(1, 30)));
    }
    if random.once_in(3) {
        keys.push(format!("end_of_day: \"{}:30\"", random.within(10, 24)));
    }
    keys.push(format!(
        "anchor: {}",
        random.one_of(&["signal_close", "fill"])
    ));
    keys.push(format!(
        "both_touched: {}",
        random.one_of(&["stop_first", "target_first"])
    ));
    keys.push(format!(
        "reentry: {}",
        random.one_of(&["at_once", "after_reset"])
    ));
    if random.once_in(4) {
        let first = 0.5 + 2.0 * random.share();
        keys.push(format!(
            "scale_out: [{{percent: {first}, part: {}}}, {{percent: {}, part: 0.5}}]",
            0.1 + 0.8 * random.share(),
            first + 2.0
        ));
    }
    format!("exits: {{{}}}\n", keys.join(", "))
}

/// A workflow that was drawn, with the bars it runs on.
pub(crate) struct Case {
    /// Its text.
    pub(crate) text: String,
    /// It, checked.
    pub(crate) workflow: Workflow,
    /// The strategy.
    pub(crate) strategy: &'static dyn Strategy,
    /// First bar of the window; indicators may see those before.
    pub(crate) first: u64,
}

impl Case {
    /// The case of this seed; its window begins at a random bar.
    pub(crate) fn new(random: &mut Random) -> Case {
        Case::of(workflow(random), random)
    }

    /// This workflow.
    pub(crate) fn of(text: String, random: &mut Random) -> Case {
        let workflow = workflow::parse(&text, Path::new("random.yaml"))
            .unwrap_or_else(|error| panic!("{error}\n{text}"));
        let strategy = strategy::by_name(&workflow.strategy).expect("a known strategy");
        Case {
            text,
            workflow,
            strategy,
            first: if random.once_in(2) {
                0
            } else {
                random.within(0, 600)
            },
        }
    }

    /// The job of its one container on these bars, and its set.
    pub(crate) fn job<'a>(
        &'a self,
        bars: &'a BarsFile,
        stop: &'a AtomicBool,
    ) -> (Job<'a>, ParameterSet) {
        let phase = &self.workflow.phases[0];
        let job = Job {
            strategy: self.strategy,
            rules: &phase.container,
            bars,
            symbol: 0,
            span: Span {
                first: self.first,
                end: bars.bars(),
            },
            features_from: match phase.warmup {
                admf::sequencer::Warmup::History => 0,
                admf::sequencer::Warmup::None => self.first,
            },
            bars_per_year: 252.0,
            stop,
        };
        let set = ParameterSet {
            index: 0,
            values: self.workflow.space.values(0),
        };
        (job, set)
    }

    /// Runs it; every event, and what it came to.
    pub(crate) fn run(&self, bars: &BarsFile) -> (Vec<Event>, Listened) {
        let stop = AtomicBool::new(false);
        let (job, set) = self.job(bars, &stop);
        let mut events = Vec::new();
        let listened = listen(job, &set, &mut |stamp, payload| {
            events.push((*stamp, *payload));
        })
        .expect("sound bars");
        (events, listened)
    }
}

/// How many seeds a property is tried with: `ADMF_CASES`, or so many.
pub(crate) fn seeds(usual: u64) -> std::ops::Range<u64> {
    let wanted = std::env::var("ADMF_CASES").ok();
    0..wanted.and_then(|text| text.parse().ok()).unwrap_or(usual)
}
