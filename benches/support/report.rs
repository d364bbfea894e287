//! Arguments, medians and the table.

/// What the command line asks for; other words are names of cases.
pub(crate) struct Arguments {
    filter: Vec<String>,
    /// Place of the only thing to time, for a profiler: 0 is the loop, then the traces.
    pub(crate) only: Option<usize>,
    /// Rounds of every measurement.
    pub(crate) rounds: usize,
}

impl Arguments {
    /// From the command line; `--bench` is what cargo passes.
    pub(crate) fn parse() -> Arguments {
        let mut words = std::env::args().skip(1).peekable();
        let mut arguments = Arguments {
            filter: Vec::new(),
            rounds: 7,
            only: None,
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" => {}
                "--rounds" => {
                    let rounds = words.next().and_then(|text| text.parse().ok());
                    arguments.rounds = rounds.expect("--rounds takes a number");
                }
                "--only" => arguments.only = words.next().and_then(|text| text.parse().ok()),
                _ => arguments.filter.push(word),
            }
        }
        arguments
    }

    /// Whether a case of this name is asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.filter.is_empty() || self.filter.iter().any(|part| name == part)
    }
}

/// The median.
pub(crate) fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A Markdown table.
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    /// A table with these headings.
    pub(crate) fn new(headings: &[&str]) -> Table {
        Table(vec![
            headings.iter().map(|word| (*word).to_owned()).collect(),
        ])
    }

    /// One more row.
    pub(crate) fn row(&mut self, cells: &[String]) {
        eprintln!("  {}", cells.join("  "));
        self.0.push(cells.to_vec());
    }

    /// Prints it.
    pub(crate) fn print(&self) {
        for (number, row) in self.0.iter().enumerate() {
            println!("| {} |", row.join(" | "));
            if number == 0 {
                println!("|{}", "---|".repeat(row.len()));
            }
        }
    }
}
