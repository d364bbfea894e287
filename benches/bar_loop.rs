//! Time per bar and container: the engine traced and untraced, beside the loop that one would
//! write by hand, in one run. Results are compared before any time is printed.
//!
//! `cargo bench --bench bar_loop [-- FILTER] [--rounds N]`. Data: the file that `ADMF_BENCH_BARS`
//! names, else `../shared/data/SPY_5m.csv`, else a synthetic series of as many bars.

mod support;

use support::grids::{self, Case};
use support::{engine, report, scalar};

fn main() {
    let arguments = report::Arguments::parse();
    let data = engine::Data::open();
    println!("{}: {} bars; one worker", data.name, data.bars());
    println!(
        "ns per bar and container, median of {} rounds",
        arguments.rounds
    );
    let mut table = report::Table::new(&[
        "case",
        "containers",
        "scalar",
        "untraced",
        "traced",
        "all trades kept",
        "untraced/scalar",
        "traced/untraced",
        "events",
        "ns per event",
        "all trades/untraced",
    ]);
    for case in grids::all() {
        if !arguments.wants(&case.name) {
            continue;
        }
        measure(&case, &data, &arguments, &mut table);
    }
    table.print();
}

fn measure(
    case: &Case,
    data: &engine::Data,
    arguments: &report::Arguments,
    table: &mut report::Table,
) {
    let sweep = engine::Sweep::new(case, data, 1);
    let columns = scalar::Columns::new(case, &data.series);
    let differences = sweep.compare(&scalar::run(case, &data.series, &columns));
    assert!(differences.is_empty(), "{}: {differences:#?}", case.name);
    let work = (case.sets.len() * data.series.close.len()) as f64;
    let mut times: [Vec<f64>; 4] = Default::default();
    if let Some(only) = arguments.only {
        for _ in 0..arguments.rounds {
            match only.checked_sub(1) {
                None => drop(scalar::run(case, &data.series, &columns)),
                Some(trace) => drop(sweep.time(engine::Trace::ALL[trace])),
            }
        }
        return;
    }
    for _ in 0..arguments.rounds {
        let started = std::time::Instant::now();
        std::hint::black_box(scalar::run(case, &data.series, &columns));
        times[0].push(started.elapsed().as_secs_f64());
        for (trace, into) in engine::Trace::ALL.into_iter().zip(&mut times[1..]) {
            into.push(sweep.time(trace));
        }
    }
    let ns = times.map(|times| report::median(times) * 1e9 / work);
    let events = sweep.traced_events() as f64;
    table.row(&[
        case.name.clone(),
        case.sets.len().to_string(),
        format!("{:.2}", ns[0]),
        format!("{:.3}", ns[1]),
        format!("{:.3}", ns[2]),
        format!("{:.3}", ns[3]),
        format!("{:.3}", ns[1] / ns[0]),
        format!("{:.2}", ns[2] / ns[1]),
        format!("{events:.0}"),
        format!("{:.1}", (ns[2] - ns[1]) * work / events),
        format!("{:.2}", ns[3] / ns[1]),
    ]);
}
