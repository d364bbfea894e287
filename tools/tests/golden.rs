//! Golden files: what was written by every version is decoded today as it was then, by this
//! program and by the independent decoder.

mod python;
mod samples;

use admf_tools::decode::What;
use admf_tools::{decode, files, line, verify};
use std::path::{Path, PathBuf};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../formats/golden")
}

/// What `admf-tools dump` prints of a path.
fn dump(path: &Path) -> Vec<u8> {
    let mut lines = Vec::new();
    for (path, kind) in files::list(path).expect("files are there") {
        decode::file(&path, kind, What::Events, &|_, _| Ok(true), &mut |event| {
            serde_json::to_writer(&mut lines, &line::of(event)).expect("memory is writable");
            lines.push(b'\n');
            Ok(())
        })
        .expect("the file is intact");
    }
    lines
}

#[test]
fn files_of_every_version_are_decoded_as_they_were() {
    let mut versions = 0;
    for folder in std::fs::read_dir(golden()).expect("the golden files") {
        let folder = folder.expect("an entry").path();
        if !folder.is_dir() {
            continue;
        }
        versions += 1;
        for (path, kind) in files::all(&folder).expect("files are there") {
            let what = path.display();
            let expected = std::fs::read(path.with_extension("jsonl")).expect("its lines");
            let decoded = dump(&path);
            assert!(
                decoded == expected,
                "{what} is not decoded as it was. A format that changed needs a new version; until \
                 the first release: cargo test -p admf-tools --test golden -- --ignored"
            );
            assert!(decoded.len() > 1000, "{what}");
            if let Some(decoded) = python::decode(&path) {
                assert!(decoded == expected, "{what}: the Python decoder disagrees");
            }
            let mut faults = Vec::new();
            let findings = verify::file(&path, kind, &mut |fault| faults.push(fault));
            assert_eq!(findings.expect("readable").losses, 0, "{what}: {faults:?}");
        }
    }
    assert!(versions > 0);
}

#[test]
#[ignore = "writes the golden files of the current version"]
fn golden_files_of_the_current_version_are_written() {
    let folder = golden().join("v1");
    std::fs::create_dir_all(&folder).expect("writable");
    let _ = std::fs::remove_file(folder.join("archive_00000.admf"));
    let manifest = samples::manifest("golden");
    samples::first_half(&folder, &manifest, 100.0);
    samples::second_half(&folder, &manifest, 100.0);
    samples::pool(&folder.join("worker_1.pool"), &manifest);
    for (path, _) in files::all(&folder).expect("files are there") {
        std::fs::write(path.with_extension("jsonl"), dump(&path)).expect("writable");
    }
}

#[test]
fn numbers_are_written_the_same_by_both() {
    // Powers of ten and their neighbours, and bits of a linear congruential generator.
    let mut values = vec![0.0, -0.0, 1.0, f64::MAX, f64::MIN_POSITIVE, f64::NAN];
    for exponent in -30..40 {
        let power = 10_f64.powi(exponent);
        for value in [power, 1.5 * power, 123_456_789.0 * power] {
            values.extend([value.next_down(), value, -value, value.next_up()]);
        }
    }
    let mut bits = 1_u64;
    for _ in 0..20_000 {
        bits = bits
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        values.push(f64::from_bits(bits));
        values.push((bits >> 20) as f64 / 1024.0);
    }
    if let Some(written) = python::numbers(&values) {
        assert_eq!(written.len(), values.len());
        for (value, written) in values.iter().zip(&written) {
            let ours = serde_json::json!(admf_formats::units::finite(*value)).to_string();
            assert_eq!(ours, *written, "{:x}", value.to_bits());
        }
    }
}

#[test]
fn a_pool_whose_generations_began_again_is_decoded_by_both() {
    use admf_formats::segment::{DESCRIPTOR_BYTES, Descriptor, PoolHeader, read_frame};
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("worker_1.pool");
    samples::pool(&path, &samples::manifest("first"));
    let expected = dump(&path);
    let mut bytes = std::fs::read(&path).expect("readable");
    let header = PoolHeader::decode(&bytes).expect("a header");
    for segment in 0..header.segments {
        let at = header.descriptor_offset(segment);
        let slots = &bytes[at..at + 2 * DESCRIPTOR_BYTES];
        let Some(newest) = Descriptor::newest(slots, header.seed(), segment) else {
            continue;
        };
        // The last generation was another owner's, the one after it has the frames.
        let (mut before, mut now) = (newest, newest);
        (before.generation, before.owner) = (u32::MAX, newest.owner + 1);
        now.generation = 2;
        for (slot, descriptor) in [(1, before), (0, now)] {
            let at = at + slot * DESCRIPTOR_BYTES;
            bytes[at..at + DESCRIPTOR_BYTES]
                .copy_from_slice(&descriptor.encode(header.seed(), segment));
        }
        let mut at = header.segment_offset(segment);
        let end = at + header.segment_bytes as usize;
        while let Some(frame) = read_frame(&bytes[at..end])
            && frame.generation == newest.generation
        {
            bytes[at..at + 4].copy_from_slice(&2_u32.to_le_bytes());
            at += frame.bytes;
        }
    }
    std::fs::write(&path, bytes).expect("writable");
    assert!(expected.len() > 1000 && dump(&path) == expected);
    if let Some(decoded) = python::decode(&path) {
        assert!(decoded == expected, "the Python decoder disagrees");
    }
}
