//! Every input that fuzzing saved goes through its target again, within the same cap of memory, and
//! so do random changes of them: without a fuzzer's eye for new paths, but with every build.
//! `ADMF_INPUTS=100000` makes so many for each target.

#[path = "../../fuzz/bodies/mod.rs"]
mod bodies;

use std::path::{Path, PathBuf};

type Body = fn(&[u8]);

const TARGETS: [(&str, Body); 6] = [
    ("pool", bodies::pool::run),
    ("archive", bodies::archive::run),
    ("checkpoint", bodies::checkpoint::run),
    ("workflow", bodies::text::workflow),
    ("csv", bodies::text::csv),
    ("ring", bodies::ring::run),
];

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let entries = std::fs::read_dir(folder.join(name)).expect("a corpus");
    let mut paths: Vec<PathBuf> = (entries.map(|entry| entry.expect("an entry").path())).collect();
    assert!(!paths.is_empty(), "{name} has no corpus");
    paths.sort();
    let read = |path: PathBuf| (path.clone(), std::fs::read(path).expect("readable"));
    paths.into_iter().map(read).collect()
}

#[test]
fn the_corpus_is_replayed() {
    for (name, body) in TARGETS {
        for (path, input) in corpus(name) {
            println!("{}", path.display());
            body(&input);
        }
    }
}

#[test]
fn random_changes_of_the_corpus_do_no_harm() {
    let inputs = std::env::var("ADMF_INPUTS").unwrap_or_else(|_| "300".to_owned());
    let inputs: u64 = inputs.parse().expect("ADMF_INPUTS is a number");
    for (name, body) in TARGETS {
        let corpus = corpus(name);
        for number in 0..inputs {
            let mut state = number;
            let mut below = |end: usize| {
                // splitmix64
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                ((z ^ (z >> 31)) % end.max(1) as u64) as usize
            };
            let mut input = corpus[below(corpus.len())].1.clone();
            for _ in 0..=below(12) {
                let at = below(input.len() + 1);
                match below(5) {
                    0 if at < input.len() => input[at] = below(256) as u8,
                    1 => input.insert(at, below(256) as u8),
                    2 => input.truncate(at),
                    3 => {
                        // An edit of a file is eight bytes.
                        let more: Vec<u8> = (0..8).map(|_| below(256) as u8).collect();
                        input.extend(more);
                    }
                    _ => {
                        let end = (at + below(64)).min(input.len());
                        let part = input[at..end].to_vec();
                        let to = below(input.len() + 1);
                        input.splice(to..to, part);
                    }
                }
            }
            input.truncate(1 << 14);
            if std::panic::catch_unwind(|| body(&input)).is_err() {
                panic!("{name}, input {number}: {input:?}");
            }
        }
        println!("{name}: {inputs} inputs");
    }
}
