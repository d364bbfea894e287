//! Containers per second: with one worker and with two, over more containers and over more bars.
//!
//! `cargo bench --bench sweep [-- --rounds N]`. Data as in `bar_loop`; the longer series are
//! synthetic.

mod support;

use support::engine::{Data, Sweep, Trace};
use support::grids::{self, Case};
use support::report;

fn main() {
    let arguments = report::Arguments::parse();
    let cases = grids::growing();
    let case = |name: &str| -> &Case {
        let found = cases.iter().find(|case| case.name == name);
        found.expect("the grids have this case")
    };
    println!("traced, seconds are medians of {} rounds", arguments.rounds);
    let mut table = report::Table::new(&[
        "bars",
        "containers",
        "1 worker s",
        "2 workers s",
        "1 worker/2 workers",
        "containers/s, 2 workers",
        "ns per bar and container, 1 worker",
    ]);
    let data = Data::open();
    for name in ["sma_1000", "sma_10000", "sma_40000"] {
        row(case(name), &data, &arguments, &mut table);
    }
    for bars in [50_000, 100_000, 200_000] {
        row(
            case("sma_1000"),
            &Data::synthetic(bars),
            &arguments,
            &mut table,
        );
    }
    table.print();
}

fn row(case: &Case, data: &Data, arguments: &report::Arguments, table: &mut report::Table) {
    let sweeps = [1, 2].map(|threads| Sweep::new(case, data, threads));
    let mut times: [Vec<f64>; 2] = Default::default();
    for _ in 0..arguments.rounds {
        for (sweep, times) in sweeps.iter().zip(&mut times) {
            times.push(sweep.time(Trace::Trades));
        }
    }
    let [one, two] = times.map(report::median);
    let containers = case.sets.len();
    table.row(&[
        data.bars().to_string(),
        containers.to_string(),
        format!("{one:.4}"),
        format!("{two:.4}"),
        format!("{:.2}", one / two),
        format!("{:.0}", containers as f64 / two),
        format!("{:.3}", one * 1e9 / (containers * data.bars()) as f64),
    ]);
}
