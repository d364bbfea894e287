//! Any text is a workflow or an error, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = admf::workflow::parse(text, std::path::Path::new("w.yaml"));
});
