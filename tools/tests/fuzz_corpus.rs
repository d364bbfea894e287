//! Every input that fuzzing saved goes through its target again, within the same cap of memory.

#[path = "../../fuzz/bodies/mod.rs"]
mod bodies;

use std::path::Path;

type Body = fn(&[u8]);

#[test]
fn the_corpus_is_replayed() {
    let targets: [(&str, Body); 5] = [
        ("pool", bodies::pool::run),
        ("archive", bodies::archive::run),
        ("workflow", bodies::text::workflow),
        ("csv", bodies::text::csv),
        ("ring", bodies::ring::run),
    ];
    for (name, body) in targets {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/corpus")
            .join(name);
        let mut inputs = 0;
        for entry in std::fs::read_dir(folder).expect("a corpus") {
            let path = entry.expect("an entry").path();
            println!("{}", path.display());
            body(&std::fs::read(path).expect("readable"));
            inputs += 1;
        }
        assert!(inputs > 0, "{name} has no corpus");
    }
}
