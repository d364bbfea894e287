//! Every input of `fuzz/corpus` goes through the body of its kind.

#[path = "../../fuzz/bodies.rs"]
mod bodies;

use std::path::Path;

type Body = fn(&[u8]);

#[test]
fn the_corpus_is_replayed() {
    let targets: [(&str, Body); 5] = [
        ("pool", bodies::pool),
        ("archive", bodies::archive),
        ("workflow", bodies::workflow),
        ("csv", bodies::csv),
        ("ring", bodies::ring),
    ];
    for (name, body) in targets {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/corpus")
            .join(name);
        let mut inputs = 0;
        for entry in std::fs::read_dir(folder).expect("a corpus") {
            body(&std::fs::read(entry.expect("an entry").path()).expect("readable"));
            inputs += 1;
        }
        assert!(inputs > 0, "{name} has no corpus");
    }
}
