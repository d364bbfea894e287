//! SEGMENT.md is the layout: every table in it is read and compared with what the code writes.

use admf_formats::archive::{
    self, ArchiveHeader, CHUNK_HEADER_BYTES, ChunkHeader, ChunkKind, SLOT_BYTES, Seal, Slot,
};
use admf_formats::bars::{self, BarsHeader};
use admf_formats::checkpoint::CheckpointHeader;
use admf_formats::event::{EventKind, Stamp, SystemStart};
use admf_formats::result::{EquityTotals, ExecutionTotals, Ledger, ResultRecord, TradeTotals};
use admf_formats::segment::{
    DESCRIPTOR_BYTES, Descriptor, FRAME_HEADER_BYTES, POOL_HEADER_BYTES, PoolHeader, commit_word,
    frame_bytes, write_frame,
};
use admf_formats::vocabulary::{Vocabulary, code_of, detail_of};

const TEXT: &str = include_str!("../SEGMENT.md");

/// A row of a layout table.
struct Row {
    offset: usize,
    bytes: usize,
    kind: String,
    field: String,
}

/// The size in the heading and the rows of the layout with this name.
fn layout(name: &str) -> (usize, Vec<Row>) {
    let heading = format!("### {name}, ");
    let start = TEXT
        .find(&heading)
        .unwrap_or_else(|| panic!("no heading {heading}"));
    let mut lines = TEXT[start + heading.len()..].lines();
    let size = lines.next().and_then(|line| line.strip_suffix(" bytes"));
    let size = size
        .and_then(|size| size.parse().ok())
        .expect("a size in the heading");
    let rows = lines
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let number = |cell: &str| cell.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            Row {
                offset: number(cells[0]),
                bytes: number(cells[1]),
                kind: cells[2].to_owned(),
                field: cells[3].to_owned(),
            }
        })
        .collect();
    (size, rows)
}

/// The layout has this size without holes, and `bytes` holds in each row what `expected` names:
/// zeros where the row says so. A row of type `crc` is over the bytes before it, from `seed`.
fn check(name: &str, bytes: &[u8], seed: u32, expected: &[(&str, &[u8])]) {
    let (size, rows) = layout(name);
    assert_eq!(bytes.len(), size, "size of {name}");
    let mut end = 0;
    let mut named = Vec::new();
    for row in &rows {
        let at = format!("{name}: {} at {}", row.field, row.offset);
        assert_eq!(row.offset, end, "{at}: a hole or an overlap");
        end += row.bytes;
        let found = &bytes[row.offset..end];
        match row.kind.as_str() {
            "zero" => assert!(found.iter().all(|byte| *byte == 0), "{at}"),
            "crc" => {
                let crc = crc32c::crc32c_append(seed, &bytes[..row.offset]);
                assert_eq!(found, crc.to_le_bytes(), "{at}");
            }
            kind => {
                let width = match kind {
                    "u8" => 1,
                    "u16" => 2,
                    "u32" => 4,
                    "u64" | "i64" | "f64" => 8,
                    _ => row.bytes,
                };
                assert_eq!(row.bytes % width, 0, "{at}: size of {kind}");
                let value = expected.iter().find(|(field, _)| *field == row.field);
                let (_, value) =
                    value.unwrap_or_else(|| panic!("{at}: the code has no such field"));
                assert_eq!(found, *value, "{at}");
                named.push(row.field.as_str());
            }
        }
    }
    assert_eq!(end, size, "{name}: rows and heading");
    for (field, _) in expected {
        assert!(named.contains(field), "{name}: no row for {field}");
    }
}

const SEED: u32 = 0x1234_5678;

#[test]
fn frames_and_pools_are_as_specified() {
    let stamp = Stamp {
        sequence: 0x1112_1314_1516_1718,
        ts_ns: -2,
        trade: 0x2122_2324,
        bar: 0x3132_3334,
        cause_back: 0x4142_4344,
        symbol: 0x5152,
        code: 0x61,
        detail: 0x62,
    };
    let payload = SystemStart {
        capital: 1.5,
        bars: 7,
    };
    let mut bytes = [0xff; 64];
    write_frame(&mut bytes, &stamp, &payload);
    let word = commit_word(0x7172_7374, EventKind::SystemStart, 64);
    bytes[..8].copy_from_slice(&word.to_le_bytes());
    let fields: [(&str, &[u8]); 11] = [
        ("generation", &0x7172_7374_u32.to_le_bytes()),
        ("kind", &[15]),
        ("units", &[4]),
        ("sequence", &stamp.sequence.to_le_bytes()),
        ("ts_ns", &stamp.ts_ns.to_le_bytes()),
        ("trade", &stamp.trade.to_le_bytes()),
        ("bar", &stamp.bar.to_le_bytes()),
        ("cause_back", &stamp.cause_back.to_le_bytes()),
        ("symbol", &stamp.symbol.to_le_bytes()),
        ("code", &[0x61]),
        ("detail", &[0x62]),
    ];
    check("frame", &bytes[..FRAME_HEADER_BYTES], 0, &fields);
    let mut after = [0; 24];
    after[..8].copy_from_slice(&1.5_f64.to_le_bytes());
    after[8] = 7;
    assert_eq!(bytes[FRAME_HEADER_BYTES..], after, "payload, then zeros");

    let header = PoolHeader {
        pool: 0x0102_0304,
        segment_bytes: 1024,
        segments: 5,
        manifest_bytes: 600,
        manifest_crc: 0x0506_0708,
    };
    let fields: [(&str, &[u8]); 7] = [
        ("magic", b"\x89ADP\r\n\x1a\n"),
        ("version", &1_u32.to_le_bytes()),
        ("pool", &header.pool.to_le_bytes()),
        ("segment_bytes", &1024_u32.to_le_bytes()),
        ("segments", &5_u32.to_le_bytes()),
        ("manifest_bytes", &600_u32.to_le_bytes()),
        ("manifest_crc", &header.manifest_crc.to_le_bytes()),
    ];
    let encoded = header.encode();
    check("pool header", &encoded, 0, &fields);
    assert_eq!(
        encoded[POOL_HEADER_BYTES - 4..],
        header.seed().to_le_bytes()
    );
    assert_eq!(header.descriptor_offset(1), 4096 + 128);
    assert_eq!(header.manifest_offset(), 4096 + 128 * 5);
    assert_eq!(header.segment_offset(2), 8192 + 2 * 1024);

    let descriptor = Descriptor {
        generation: 0x0a0b_0c0d,
        owned: true,
        owner: 0x1a1b_1c1d_1e1f,
    };
    let fields: [(&str, &[u8]); 4] = [
        ("generation", &descriptor.generation.to_le_bytes()),
        ("owned", &[1]),
        ("owner", &descriptor.owner.to_le_bytes()),
        ("segment", &9_u32.to_le_bytes()),
    ];
    let encoded = descriptor.encode(SEED, 9);
    assert_eq!(encoded.len(), DESCRIPTOR_BYTES);
    check("descriptor", &encoded, SEED, &fields);
}

#[test]
fn archives_are_as_specified() {
    let header = ArchiveHeader {
        range: 0x0102_0304_0506,
        manifest_bytes: 5000,
        manifest_crc: 0x0708_090a,
    };
    let fields: [(&str, &[u8]); 5] = [
        ("magic", b"\x89ADA\r\n\x1a\n"),
        ("version", &1_u32.to_le_bytes()),
        ("manifest_bytes", &5000_u32.to_le_bytes()),
        ("range", &header.range.to_le_bytes()),
        ("manifest_crc", &header.manifest_crc.to_le_bytes()),
    ];
    let encoded = header.encode();
    check("archive header", &encoded, 0, &fields);
    assert_eq!(encoded[4092..], header.seed().to_le_bytes());
    assert_eq!(header.slots_offset(), 4096 + 8192);
    assert_eq!(
        header.seal_offset(),
        header.slots_offset() + 4096 * SLOT_BYTES as u64
    );
    assert_eq!(header.chunks_offset(), header.seal_offset() + 4096);
    assert_eq!(
        header.slot_offset(4097),
        header.slots_offset() + SLOT_BYTES as u64
    );
    assert_eq!(archive::file_name(7), "archive_00007.admf");

    let mut seal = Seal {
        file_bytes: 0x1122_3344_5566,
        committed: [0; 64],
    };
    seal.add(4096);
    seal.add(4105);
    let mut bits = [0; 512];
    (bits[0], bits[1]) = (1, 2);
    let fields: [(&str, &[u8]); 3] = [
        ("magic", b"SEAL"),
        ("file_bytes", &seal.file_bytes.to_le_bytes()),
        ("committed", &bits),
    ];
    check("seal", &seal.encode(SEED), SEED, &fields);
    assert_eq!(Seal::decode(&seal.encode(SEED), SEED), Some(seal));

    let mut frame = [0; 64];
    write_frame(
        &mut frame,
        &Stamp {
            sequence: 0x0a0b,
            ..Stamp::default()
        },
        &SystemStart {
            capital: 1.0,
            bars: 1,
        },
    );
    frame[..8].copy_from_slice(&commit_word(0, EventKind::SystemStart, 64).to_le_bytes());
    let mut frames = [frame, frame].concat();
    frames[64 + 8] = 0x0c;
    let chunk = ChunkHeader::new(
        SEED,
        ChunkKind::Trades,
        0x31_3233,
        0x41_4243,
        0x5152,
        &frames,
    );
    let fields: [(&str, &[u8]); 12] = [
        ("magic", b"CHNK"),
        ("kind", &[2]),
        ("compression", &[0]),
        ("units", &[0; 2]),
        ("container", &0x31_3233_u64.to_le_bytes()),
        ("offset", &0x41_4243_u64.to_le_bytes()),
        ("previous", &0x5152_u64.to_le_bytes()),
        ("bytes", &128_u32.to_le_bytes()),
        ("frames", &2_u32.to_le_bytes()),
        ("first_sequence", &0x0a0b_u64.to_le_bytes()),
        ("last_sequence", &0x0a0c_u64.to_le_bytes()),
        (
            "payload_crc",
            &crc32c::crc32c_append(SEED, &frames).to_le_bytes(),
        ),
    ];
    let encoded = chunk.encode(SEED);
    assert_eq!(encoded.len(), CHUNK_HEADER_BYTES);
    check("chunk header", &encoded, SEED, &fields);
    assert_eq!(ChunkHeader::decode(&encoded, SEED, 0x41_4243), Some(chunk));
    assert_eq!(
        ChunkHeader::decode(&encoded, SEED, 0x41_4244),
        None,
        "elsewhere"
    );
    assert_eq!(
        ChunkHeader::decode(&encoded, SEED + 1, 0x41_4243),
        None,
        "of another file"
    );
    // The same chunk, of which something else stands in the place of its frames.
    let packed = chunk.packed(SEED, b"packed");
    let mut compressed = fields;
    compressed[2].1 = &[1];
    compressed[3].1 = &[8, 0];
    compressed[7].1 = &[6, 0, 0, 0];
    let crc = crc32c::crc32c_append(SEED, b"packed").to_le_bytes();
    compressed[11].1 = &crc;
    let encoded = packed.encode(SEED);
    check("chunk header", &encoded, SEED, &compressed);
    assert_eq!(ChunkHeader::decode(&encoded, SEED, 0x41_4243), Some(packed));
    for kind in ChunkKind::ALL {
        let name = format!("{} `{}`", kind as u8, format!("{kind:?}").to_lowercase());
        assert!(TEXT.contains(&name), "SEGMENT.md names no chunk {name}");
    }
}

/// A record whose every field has a value of its own, and the bytes of each by name.
fn record() -> (ResultRecord, Vec<(String, Vec<u8>)>) {
    let mut fields = Vec::new();
    let mut next = 0_u64;
    let mut whole = |name: &str, bytes: usize| {
        next += 0x0101_0101;
        fields.push((name.to_owned(), next.to_le_bytes()[..bytes].to_vec()));
        next
    };
    let (index, first_bar, events) = (whole("index", 8), whole("first_bar", 8), whole("events", 8));
    let (first_ts, last_ts) = (whole("first_ts_ns", 8), whole("last_ts_ns", 8));
    let (status, symbol) = (whole("status", 4) as u32, whole("symbol", 4) as u32);
    let mut real_fields = Vec::new();
    let mut last = 0.5;
    let mut real = |name: &str| {
        last += 1.25;
        real_fields.push((name.to_owned(), f64::to_le_bytes(last).to_vec()));
        last
    };
    let parameters = [(); 8].map(|()| real("-"));
    let equity = EquityTotals {
        bars: whole("equity.bars", 8),
        bars_in_market: whole("equity.bars_in_market", 8),
        return_sum: real("equity.return_sum"),
        return_square_sum: real("equity.return_square_sum"),
        downside_square_sum: real("equity.downside_square_sum"),
        initial: real("equity.initial"),
        last: real("equity.last"),
        peak: real("equity.peak"),
        drawdown_max: real("equity.drawdown_max"),
        units: real("equity.units"),
        drawdowns: whole("equity.drawdowns", 8),
        drawdown_sum: real("equity.drawdown_sum"),
        drawdown_bars_max: whole("equity.drawdown_bars_max", 8),
    };
    let trades = TradeTotals {
        trades: whole("trades.trades", 8),
        winning: whole("trades.winning", 8),
        losing: whole("trades.losing", 8),
        gross_profit: real("trades.gross_profit"),
        gross_loss: real("trades.gross_loss"),
        pnl: real("trades.pnl"),
        commission: real("trades.commission"),
        pnl_square_sum: real("trades.pnl_square_sum"),
        bars_held: whole("trades.bars_held", 8),
        mae_sum: real("trades.mae_sum"),
        mfe_sum: real("trades.mfe_sum"),
        mae_max: real("trades.mae_max"),
    };
    let execution = ExecutionTotals {
        fills: whole("execution.fills", 8),
        rejected: whole("execution.rejected", 8),
        unfilled: whole("execution.unfilled", 8),
        breaches: whole("execution.breaches", 8),
        turnover: real("execution.turnover"),
        commission: real("execution.commission"),
        slippage: real("execution.slippage"),
        borrow: real("execution.borrow"),
    };
    let ledger = Ledger {
        attempted: whole("ledger.attempted", 8),
        retained: whole("ledger.retained", 8),
        recycled_trade_closed: whole("ledger.recycled_trade_closed", 8),
        recycled_window: whole("ledger.recycled_window", 8),
        dropped_without_trade: whole("ledger.dropped_without_trade", 8),
        dropped_at_cap: whole("ledger.dropped_at_cap", 8),
    };
    let record = ResultRecord {
        index,
        first_bar,
        events,
        first_ts_ns: first_ts as i64,
        last_ts_ns: last_ts as i64,
        status,
        symbol,
        parameters,
        equity,
        trades,
        execution,
        ledger,
    };
    real_fields.retain(|(name, _)| name != "-");
    fields.extend(real_fields);
    let values = parameters.iter().flat_map(|value| value.to_le_bytes());
    fields.push(("parameters".to_owned(), values.collect()));
    (record, fields)
}

#[test]
fn result_records_and_slots_are_as_specified() {
    let (record, fields) = record();
    let expected: Vec<(&str, &[u8])> = fields
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    let slot = Slot {
        record,
        last_chunk: [0x1112, 0x2122, 0x3132, 0x4142, 0x5152],
    };
    let bytes = slot.encode(SEED);
    check("result record", &bytes[..ResultRecord::BYTES], 0, &expected);
    let chunks: Vec<u8> = slot
        .last_chunk
        .iter()
        .flat_map(|at| at.to_le_bytes())
        .collect();
    let fields: [(&str, &[u8]); 3] = [
        ("record", &bytes[..ResultRecord::BYTES]),
        ("last_chunk", &chunks),
        ("mark", b"SLOT"),
    ];
    check("slot", &bytes, SEED, &fields);
    assert_eq!(Slot::decode(&bytes, SEED), Some(slot));
    assert_eq!(Slot::decode(&bytes, SEED + 1), None, "of another file");
}

#[test]
fn bars_files_are_as_specified() {
    let header = BarsHeader {
        bars: 0x0102_0304,
        first_ts_ns: -5,
        last_ts_ns: 0x0506_0708,
        digest: [0x5a; 32],
    };
    let fields: [(&str, &[u8]); 7] = [
        ("magic", b"\x89ADB\r\n\x1a\n"),
        ("version", &1_u32.to_le_bytes()),
        ("quantum_bars", &512_u32.to_le_bytes()),
        ("bars", &header.bars.to_le_bytes()),
        ("first_ts_ns", &header.first_ts_ns.to_le_bytes()),
        ("last_ts_ns", &header.last_ts_ns.to_le_bytes()),
        ("digest", &header.digest),
    ];
    check("bars header", &header.encode(), 0, &fields);
    let mut chunk: Vec<u8> = (0..bars::CHUNK_BYTES)
        .map(|at| (at / 4096 + 1) as u8)
        .collect();
    bars::seal_chunk(&mut chunk, 0x0a0b, 77);
    // Its checksum skips itself, so that the common rule does not apply.
    let (size, rows) = layout("bars chunk");
    assert_eq!(size, bars::CHUNK_BYTES);
    let ends = rows.iter().scan(0, |end, row| {
        assert_eq!(row.offset, *end, "{}: a hole or an overlap", row.field);
        *end += row.bytes;
        Some(*end)
    });
    assert_eq!(ends.last(), Some(size));
    let columns: Vec<&str> = rows
        .iter()
        .filter(|row| row.kind == "column")
        .map(|row| row.field.as_str())
        .collect();
    assert_eq!(columns, bars::COLUMNS);
    let place = |field: &str| {
        rows.iter()
            .find(|row| row.field == field)
            .map(|row| row.offset)
    };
    assert_eq!(place("ts_ns"), Some(bars::CHUNK_HEADER_BYTES));
    assert_eq!(
        place("open"),
        Some(bars::CHUNK_HEADER_BYTES + bars::COLUMN_BYTES)
    );
    assert_eq!(
        place("first_bar").map(|at| chunk[at..at + 2].to_vec()),
        Some(vec![0x0b, 0x0a])
    );
    assert_eq!(place("bars").map(|at| chunk[at]), Some(77));
    let crc = crc32c::crc32c_append(crc32c::crc32c(&chunk[..12]), &chunk[16..]);
    assert_eq!(
        place("crc").map(|at| chunk[at..at + 4].to_vec()),
        Some(crc.to_le_bytes().to_vec())
    );
}

#[test]
fn checkpoints_are_as_specified() {
    let header = CheckpointHeader {
        generation: 0x0102_0304_0506,
        next_block: 0x1112_1314,
        containers: 0x2122,
        payload_bytes: 0x3132_3334_3536,
        payload_crc: 0x4142_4344,
        phase: [0x5a; 32],
        program: [0xa5; 32],
    };
    let fields: [(&str, &[u8]); 8] = [
        ("magic", b"\x89ADC\r\n\x1a\n"),
        ("version", &1_u32.to_le_bytes()),
        ("payload_crc", &header.payload_crc.to_le_bytes()),
        ("generation", &header.generation.to_le_bytes()),
        ("next_block", &header.next_block.to_le_bytes()),
        ("containers", &header.containers.to_le_bytes()),
        ("payload_bytes", &header.payload_bytes.to_le_bytes()),
        ("digests", &[header.phase, header.program].concat()),
    ];
    let encoded = header.encode();
    check("checkpoint header", &encoded, 0, &fields);
    assert_eq!(CheckpointHeader::decode(&encoded), Some(header));
    for at in 0..encoded.len() {
        let mut damaged = encoded;
        damaged[at] ^= 1;
        assert_eq!(CheckpointHeader::decode(&damaged), None, "byte {at}");
    }
}

#[test]
fn every_event_and_every_name_has_its_row() {
    let label = |of: Option<(&str, Vocabulary)>| {
        of.map_or("0".to_owned(), |(key, names)| {
            format!("{} as `{key}`", names.label())
        })
    };
    let mut rows = Vec::new();
    for kind in EventKind::ALL {
        let fields: Vec<String> = kind
            .payload_fields()
            .iter()
            .map(|(name, field)| format!("{name} {}", field.name()))
            .collect();
        rows.push(format!(
            "| {} | {} | {} | {} | {} | {} |",
            kind as u8,
            kind.name(),
            kind.payload_bytes(),
            fields.join(", "),
            label(code_of(kind)),
            label(detail_of(kind)),
        ));
        assert_eq!(
            frame_bytes(kind),
            (40 + kind.payload_bytes()).next_multiple_of(16)
        );
    }
    for names in Vocabulary::ALL {
        let names_of = (0..=u8::MAX)
            .filter_map(|number| names.name(number).map(|name| format!("{number} `{name}`")));
        let list: Vec<String> = names_of.collect();
        rows.push(format!("| {} | {} |", names.label(), list.join(", ")));
    }
    let missing: Vec<&String> = rows
        .iter()
        .filter(|row| !TEXT.lines().any(|line| line == **row))
        .collect();
    assert!(
        missing.is_empty(),
        "SEGMENT.md needs the rows\n{}",
        join(&missing)
    );
    let count = TEXT
        .lines()
        .filter(|line| line.starts_with("| ") && rows.iter().any(|row| row == line))
        .count();
    assert_eq!(count, rows.len(), "a row stands twice");
}

fn join(rows: &[&String]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

#[test]
fn the_checksum_has_the_specified_vectors() {
    let start = TEXT
        .find("| bytes | from | CRC-32C |")
        .expect("the table of vectors");
    let ascending: Vec<u8> = (0..32).collect();
    let cases: [(&str, Vec<u8>, u32); 7] = [
        ("123456789", b"123456789".to_vec(), 0),
        ("32 times `00`", vec![0; 32], 0),
        ("32 times `FF`", vec![0xff; 32], 0),
        ("ascending", ascending, 0),
        ("\"6789\"", b"6789".to_vec(), crc32c::crc32c(b"12345")),
        ("| none |", Vec::new(), SEED),
        ("\"SEED\"", b"SEED".to_vec(), SEED),
    ];
    for (mark, bytes, seed) in cases {
        let row = TEXT[start..]
            .lines()
            .find(|line| line.contains(mark))
            .expect("a row");
        let crc = crc32c::crc32c_append(seed, &bytes);
        assert!(
            row.ends_with(&format!("| `{crc:08X}` |")),
            "{row}: {crc:08X}"
        );
    }
}
