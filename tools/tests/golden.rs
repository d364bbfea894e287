//! Golden files: what was written by every version is decoded today as it was then, by this
//! program and by the independent decoder.

mod python;
mod samples;

use admf::segment::FileKind;
use admf_formats::compression::{Compression, Compressor};
use admf_tools::decode::What;
use admf_tools::{decode, files, line, recover, verify};
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
    // Ranges of containers name files, so that another archive has another folder.
    let packed = folder.join("zstd");
    std::fs::create_dir_all(&packed).expect("writable");
    let _ = std::fs::remove_file(packed.join("archive_00000.admf"));
    samples::kept(&packed, &manifest, Compression::Zstd);
    for (path, _) in files::all(&folder).expect("files are there") {
        std::fs::write(path.with_extension("jsonl"), dump(&path)).expect("writable");
    }
}

#[test]
fn compression_changes_no_line_and_no_finding() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let both = [Compression::None, Compression::Zstd].map(|compression| {
        let folder = folder.path().join(format!("{compression:?}"));
        samples::kept(&folder, &samples::manifest("packed"), compression);
        let path = folder.join("archive_00000.admf");
        let found = verify::file(&path, FileKind::Archive, &mut |_| {}).expect("readable");
        assert_eq!((found.losses, found.notes), (0, 1), "one has begun only");
        assert_eq!(
            (found.committed, found.events, found.unsealed_events),
            (2, 609, 6)
        );
        // A recovery copies chunks as they are.
        let out = folder.join("recovered.admf");
        recover::file(&path, FileKind::Archive, &out).expect("intact");
        assert!(dump(&out) == dump(&path));
        let bytes = std::fs::metadata(&path).expect("a file").len();
        (dump(&path), bytes)
    });
    assert!(both[0].0 == both[1].0);
    assert!(both[1].1 + 20_000 < both[0].1, "{} bytes", both[1].1);
}

#[test]
fn payloads_of_every_kind_are_decompressed_by_the_independent_decoder() {
    let mut state = 1_u64;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut compressor = Compressor::new().expect("memory");
    let mut payloads = Vec::new();
    // Sizes about the limits of the format; bytes of few and of many values, noise and repeats.
    for bytes in [
        17,
        64,
        255,
        256,
        257,
        1000,
        1024,
        5000,
        16 << 10,
        130_000,
        300_000,
    ] {
        for kind in 0..6 {
            let mut payload: Vec<u8> = Vec::with_capacity(bytes);
            while payload.len() < bytes {
                let back = random(1 << (4 + kind * 2)) as usize + 1;
                match kind {
                    0 => payload.push(7),
                    1 => payload.push(random(3) as u8),
                    2 => payload.push((random(256) & random(256) & random(256)) as u8),
                    _ if back > payload.len() || random(3) == 0 => {
                        payload.extend((0..random(9)).map(|_| random(256) as u8));
                    }
                    _ => {
                        for _ in 0..random(60) {
                            payload.push(payload[payload.len() - back]);
                        }
                    }
                }
            }
            payload.truncate(bytes);
            if let Some(packed) = compressor.compress(&payload).expect("memory") {
                payloads.push((packed.to_vec(), payload));
            }
        }
    }
    payloads.push((
        compressor
            .compress(&samples::every_kind(1).repeat(40))
            .expect("memory")
            .expect("smaller")
            .to_vec(),
        samples::every_kind(1).repeat(40),
    ));
    assert!(payloads.len() > 50, "{}", payloads.len());
    let packed: Vec<(&[u8], usize)> = payloads
        .iter()
        .map(|(packed, payload)| (&packed[..], payload.len()))
        .collect();
    if let Some(unpacked) = python::decompress(&packed) {
        let expected: Vec<u8> = payloads
            .into_iter()
            .flat_map(|(_, payload)| payload)
            .collect();
        assert!(unpacked == expected);
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
