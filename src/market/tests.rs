//! Imports: what is read, what is refused, and what the cache does with damage.

use super::{BarBlock, BarLabel, BarsFile, ImportOptions, import, open_or_import, synth};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn zone(timezone: &str, bar_label: BarLabel) -> ImportOptions {
    ImportOptions {
        timezone: timezone.to_owned(),
        bar_label,
    }
}

fn utc() -> ImportOptions {
    ImportOptions::default()
}

/// Imports a CSV text; gives its timestamps (in seconds) and closes.
fn imported(text: &str, options: &ImportOptions) -> Result<Vec<(i64, f64)>> {
    let folder = folder();
    let source = folder.path().join("data.csv");
    std::fs::write(&source, text).expect("writable");
    imported_file(&source, options)
}

fn imported_file(source: &Path, options: &ImportOptions) -> Result<Vec<(i64, f64)>> {
    let out = source.with_extension("bars");
    import(source, options, &out)?;
    let bars = BarsFile::open(&out)?;
    let mut block = BarBlock::new();
    let mut read = Vec::new();
    for quantum in 0..bars.bars().div_ceil(512) {
        bars.read_quantum(quantum, &mut block)?;
        let times = block.ts_ns[..block.bars]
            .iter()
            .map(|ts| ts / 1_000_000_000);
        read.extend(times.zip(block.close.iter().copied()));
    }
    Ok(read)
}

fn refused(text: &str, options: &ImportOptions, words: &[&str]) {
    refusal(imported(text, options).map(|_| ()), words);
}

fn refusal(outcome: Result<()>, words: &[&str]) {
    let message = outcome.expect_err("it is refused").to_string();
    for word in words {
        assert!(message.contains(word), "`{word}` is missing: {message}");
    }
}

const ROW: &str = "100,102,99,101,5";

#[test]
fn a_date_and_a_time_of_day_are_one_timestamp() {
    let text = format!(
        "date,time,open,high,low,close,volume\n2024-03-26,09:30:00,{ROW}\n2024-03-26,09:35:00,{ROW}\n"
    );
    let read = imported(&text, &utc()).expect("it is read");
    assert_eq!(read, [(1_711_445_400, 101.0), (1_711_445_700, 101.0)]);
    // Where a column has the whole time, they are not looked at.
    let text = format!("date,time,timestamp,open,high,low,close,volume\nx,y,1711445400,{ROW}\n");
    assert_eq!(imported(&text, &utc()).expect("it is read").len(), 1);
    let text = format!("date,time,open,high,low,close,volume\n2024-03-26 09:30,09:30,{ROW}\n");
    refused(
        &text,
        &utc(),
        &["csv:2", "2024-03-26 09:30 09:30", "no timestamp"],
    );
}

#[test]
fn columns_that_are_there_twice_are_refused() {
    let text = format!("timestamp,open,high,low,close,volume,Close\n1711445400,{ROW},7\n");
    refused(&text, &utc(), &["csv:1", "5 and 7 are both called `close`"]);
}

#[test]
fn a_row_without_end_is_refused_before_it_fills_memory() {
    let long = "x".repeat(1 << 20);
    refused(&long, &utc(), &["csv:1", "65536 bytes"]);
    let header = "timestamp,open,high,low,close,volume\n";
    refused(&format!("{header}{long}"), &utc(), &["65536 bytes"]);
    // A quote that is never closed makes the rest of the file one field.
    let rows = format!("1711445400,{ROW}\n").repeat(10_000);
    refused(
        &format!("{header}\"{rows}"),
        &utc(),
        &["65536 bytes", "quote"],
    );
    // The bound is the same wherever the row lies in a buffer.
    for (bytes, is_read) in [(65_000, true), (65_537, false)] {
        let note = "n".repeat(bytes - format!("1711445401,{ROW},\n").len());
        let text = format!(
            "timestamp,open,high,low,close,volume,note\n1711445400,{ROW},\n1711445401,{ROW},{note}\n1711445402,{ROW},\n"
        );
        assert_eq!(imported(&text, &utc()).is_ok(), is_read, "{bytes}");
    }
}

#[test]
fn bars_that_are_labelled_by_their_end_are_known_by_their_start() {
    let rows = |times: &[i64]| {
        let rows: Vec<String> = times.iter().map(|ts| format!("{ts},{ROW}\n")).collect();
        format!("timestamp,open,high,low,close,volume\n{}", rows.concat())
    };
    // Two sessions of five-minute bars; the night is not an interval.
    let times = [
        1_711_445_700,
        1_711_446_000,
        1_711_446_300,
        1_711_532_100,
        1_711_532_400,
    ];
    let read = imported(&rows(&times), &zone("UTC", BarLabel::End)).expect("it is read");
    let starts: Vec<i64> = read.iter().map(|(ts, _)| *ts).collect();
    assert_eq!(starts, times.map(|ts| ts - 300));
    let read = imported(&rows(&times), &utc()).expect("it is read");
    assert_eq!(read[0].0, times[0]);
    let irregular = rows(&[1_711_445_700, 1_711_446_000, 1_711_446_900, 1_711_448_900]);
    refused(
        &irregular,
        &zone("UTC", BarLabel::End),
        &["bar_label: end", "one interval"],
    );
}

/// A source with 1,300 bars: three chunks.
fn source(folder: &Path) -> PathBuf {
    let path = folder.join("data.csv");
    let rows: Vec<String> = (0..1300)
        .map(|n| format!("{},{ROW}\n", 1_711_445_400 + 60 * n))
        .collect();
    let text = format!("timestamp,open,high,low,close,volume\n{}", rows.concat());
    std::fs::write(&path, text).expect("writable");
    path
}

fn cached(folder: &Path) -> PathBuf {
    let mut files = std::fs::read_dir(folder).expect("a cache");
    files.next().expect("a file").expect("an entry").path()
}

#[test]
fn a_damaged_file_of_the_cache_is_made_again() {
    let folder = folder();
    let (source, cache) = (source(folder.path()), folder.path().join("cache"));
    let mut notes = Vec::new();
    let mut open = || {
        let mut note = |text: &str| notes.push(text.to_owned());
        open_or_import(&source, &cache, &utc(), &mut note, &mut |_| Ok(()))
            .expect("bars")
            .digest()
    };
    let digest = open();
    let file = cached(&cache);
    let whole = std::fs::read(&file).expect("a readable file");
    let damages: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes[4096 + 24_640 + 5000] ^= 1,
        |bytes| bytes.truncate(40_000),
        |bytes| bytes[8] = 0,
        Vec::clear,
    ];
    for damage in damages {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        std::fs::write(&file, bytes).expect("writable");
        assert_eq!(open(), digest);
        assert!(std::fs::read(&file).expect("a readable file") == whole);
    }
    assert_eq!(open(), digest);
    assert_eq!(notes.len(), 4, "{notes:?}");
    assert!(
        notes[0].contains("checksum") && notes[2].contains("version 0"),
        "{notes:?}"
    );
    assert!(
        notes.iter().all(|note| note.contains("imported again")),
        "{notes:?}"
    );
}

#[test]
fn threads_may_import_the_same_file_at_once() {
    let folder = folder();
    let (source, cache) = (source(folder.path()), folder.path().join("cache"));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut note = |text: &str| panic!("{text}");
                let bars = open_or_import(&source, &cache, &utc(), &mut note, &mut |_| Ok(()));
                assert_eq!(bars.expect("bars").bars(), 1300);
            });
        }
    });
    assert_eq!(std::fs::read_dir(&cache).expect("a cache").count(), 1);
}

#[test]
fn a_chunk_of_another_file_is_not_taken_for_this_one() {
    let folder = folder();
    let (long, short) = (
        folder.path().join("long.bars"),
        folder.path().join("short.bars"),
    );
    synth(1024, 1, &long).expect("bars");
    synth(1000, 1, &short).expect("bars");
    // The last chunk of the short file has a valid checksum and the right first bar.
    let mut bytes = std::fs::read(&long).expect("a readable file");
    let chunk = 4096 + 24_640;
    bytes[chunk..].copy_from_slice(&std::fs::read(&short).expect("a readable file")[chunk..]);
    std::fs::write(&long, bytes).expect("writable");
    let bars = BarsFile::open(&long).expect("the header is whole");
    let outcome = bars.read_quantum(1, &mut BarBlock::new());
    assert!(matches!(outcome, Err(Error::Damaged { .. })));
    refusal(outcome, &["has 488 bars, by the header it has 512"]);
    refusal(bars.verify(), &["488"]);
}

#[cfg(feature = "parquet")]
mod parquet_files {
    use super::*;
    use crate::market::ImportMemory;
    use parquet::basic::Compression;
    use parquet::column::writer::ColumnWriter;
    use parquet::data_type::{ByteArray, Int96};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use std::sync::Arc;

    /// Values of the time column, as they are stored.
    #[derive(Clone)]
    enum Times {
        Int32(Vec<i32>),
        Int64(Vec<i64>),
        Int96(Vec<Int96>),
        Text(Vec<&'static str>),
    }

    /// Writes a file of one row group per slice of prices; opens, highs, lows and closes are equal.
    fn write(path: &Path, time: &str, price: &str, groups: &[(Times, Vec<Option<i64>>)]) {
        let properties = WriterProperties::builder().build();
        write_with(properties, path, time, price, groups);
    }

    fn write_with(
        properties: WriterProperties,
        path: &Path,
        time: &str,
        price: &str,
        groups: &[(Times, Vec<Option<i64>>)],
    ) {
        let names = ["open", "high", "low", "close"];
        let prices: Vec<String> = names
            .iter()
            .map(|name| price.replace("NAME", name))
            .collect();
        let schema = format!("message bars {{ {time}; {} }}", prices.concat());
        let schema = Arc::new(parse_message_type(&schema).expect("a schema"));
        let file = std::fs::File::create(path).expect("writable");
        let properties = Arc::new(properties);
        let mut writer = SerializedFileWriter::new(file, schema, properties).expect("a writer");
        for (times, values) in groups {
            let mut group = writer.next_row_group().expect("a row group");
            let mut first = true;
            while let Some(mut column) = group.next_column().expect("a column") {
                let present: Vec<i64> = values.iter().flatten().copied().collect();
                let levels: Vec<i16> = values
                    .iter()
                    .map(|value| i16::from(value.is_some()))
                    .collect();
                let written = match (column.untyped(), times) {
                    (ColumnWriter::Int32ColumnWriter(writer), Times::Int32(times)) if first => {
                        writer.write_batch(times, None, None)
                    }
                    (ColumnWriter::Int64ColumnWriter(writer), Times::Int64(times)) if first => {
                        writer.write_batch(times, None, None)
                    }
                    (ColumnWriter::Int96ColumnWriter(writer), Times::Int96(times)) if first => {
                        writer.write_batch(times, None, None)
                    }
                    (ColumnWriter::ByteArrayColumnWriter(writer), Times::Text(times)) if first => {
                        let times: Vec<ByteArray> =
                            times.iter().map(|text| ByteArray::from(*text)).collect();
                        writer.write_batch(&times, None, None)
                    }
                    (ColumnWriter::DoubleColumnWriter(writer), _) => {
                        let values: Vec<f64> = present.iter().map(|value| *value as f64).collect();
                        writer.write_batch(&values, Some(&levels), None)
                    }
                    (ColumnWriter::FloatColumnWriter(writer), _) => {
                        let values: Vec<f32> = present.iter().map(|value| *value as f32).collect();
                        writer.write_batch(&values, Some(&levels), None)
                    }
                    (ColumnWriter::Int32ColumnWriter(writer), _) => {
                        let values: Vec<i32> = present.iter().map(|value| *value as i32).collect();
                        writer.write_batch(&values, Some(&levels), None)
                    }
                    (ColumnWriter::Int64ColumnWriter(writer), _) => {
                        writer.write_batch(&present, Some(&levels), None)
                    }
                    (ColumnWriter::BoolColumnWriter(writer), _) => {
                        writer.write_batch(&vec![true; present.len()], Some(&levels), None)
                    }
                    _ => panic!("the column has another type"),
                };
                written.expect("values");
                column.close().expect("a column");
                first = false;
            }
            group.close().expect("a row group");
        }
        writer.close().expect("a file");
    }

    const DOUBLE: &str = "optional double NAME;";

    fn check(time: &str, times: Times, timezone: &str, expected: &[i64]) {
        let folder = folder();
        let path = folder.path().join("data.parquet");
        let prices = vec![Some(7); expected.len()];
        write(&path, time, DOUBLE, &[(times, prices)]);
        let read = imported_file(&path, &zone(timezone, BarLabel::Start)).expect("it is read");
        let expected: Vec<(i64, f64)> = expected.iter().map(|ts| (*ts, 7.0)).collect();
        assert_eq!(read, expected, "{time} in {timezone}");
    }

    /// 2024-03-26 13:30 UTC, and the same reading of a clock in New York.
    const UTC: i64 = 1_711_459_800;
    const NEW_YORK: i64 = UTC + 4 * 3600;

    #[test]
    fn the_logical_type_says_what_a_time_means() {
        let zone = "America/New_York";
        for (unit, factor) in [
            ("MILLIS", 1_000),
            ("MICROS", 1_000_000),
            ("NANOS", 1_000_000_000),
        ] {
            let time =
                |adjusted: bool| format!("required int64 timestamp (TIMESTAMP({unit},{adjusted}))");
            let times = Times::Int64(vec![UTC * factor, (UTC + 60) * factor]);
            check(&time(true), times.clone(), zone, &[UTC, UTC + 60]);
            check(
                &time(false),
                times.clone(),
                zone,
                &[NEW_YORK, NEW_YORK + 60],
            );
            check(&time(false), times, "UTC", &[UTC, UTC + 60]);
            // One second after 1970: by its magnitude it would be read as another unit.
            check(&time(true), Times::Int64(vec![factor]), zone, &[1]);
        }
        let days = Times::Int32(vec![19_808, 19_809]);
        check(
            "required int32 date (DATE)",
            days.clone(),
            "UTC",
            &[1_711_411_200, 1_711_497_600],
        );
        check(
            "required int32 date (DATE)",
            days,
            zone,
            &[1_711_425_600, 1_711_512_000],
        );
        let (day, within) = (2_440_588 + 19_808, 48_600_000_000_000_u64);
        let mut julian = Int96::new();
        julian.set_data(within as u32, (within >> 32) as u32, day);
        check(
            "required int96 timestamp",
            Times::Int96(vec![julian]),
            "UTC",
            &[UTC],
        );
        check(
            "required int96 timestamp",
            Times::Int96(vec![julian]),
            zone,
            &[NEW_YORK],
        );
        check(
            "required int64 time",
            Times::Int64(vec![UTC, UTC + 60]),
            zone,
            &[UTC, UTC + 60],
        );
        let texts = Times::Text(vec!["2024-03-26 13:30:00", "2024-03-26T13:31:00Z"]);
        check(
            "required binary timestamp (STRING)",
            texts.clone(),
            "UTC",
            &[UTC, UTC + 60],
        );
    }

    const MILLIS: &str = "required int64 timestamp (TIMESTAMP(MILLIS,true))";

    fn prices(price: &str, values: Vec<Option<i64>>) -> Result<Vec<(i64, f64)>> {
        let folder = folder();
        let path = folder.path().join("data.parquet");
        let times = (0..values.len() as i64).map(|n| (UTC + n) * 1000).collect();
        write(&path, MILLIS, price, &[(Times::Int64(times), values)]);
        imported_file(&path, &utc())
    }

    #[test]
    fn prices_may_be_any_numbers() {
        for (price, expected) in [
            (DOUBLE, 1250.0),
            ("optional float NAME;", 1250.0),
            ("optional int32 NAME;", 1250.0),
            ("optional int64 NAME;", 1250.0),
            ("optional int32 NAME (INTEGER(32,false));", 1250.0),
            ("optional int32 NAME (DECIMAL(9,2));", 12.5),
            ("optional int64 NAME (DECIMAL(18,3));", 1.25),
        ] {
            let read = prices(price, vec![Some(1250)]).expect(price);
            assert_eq!(read, [(UTC, expected)], "{price}");
        }
        let unsigned = prices(
            "optional int32 NAME (INTEGER(32,false));",
            vec![Some(4_000_000_000)],
        );
        assert_eq!(unsigned.expect("it is read")[0].1, 4e9);
        refusal(
            prices("optional boolean NAME;", vec![Some(1)]).map(|_| ()),
            &["`open`", "a number was expected"],
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_row() {
        let mut values = vec![Some(5); 3000];
        values[2500] = None;
        refusal(
            prices(DOUBLE, values.clone()).map(|_| ()),
            &["parquet:2501", "open is null"],
        );
        values[2500] = Some(-1);
        refusal(
            prices(DOUBLE, values).map(|_| ()),
            &["parquet:2501", "open is -1"],
        );
        let folder = folder();
        let path = folder.path().join("data.parquet");
        // The night in which clocks went back: 01:30 was there twice.
        let clock = 1_730_597_400 * 1000;
        let naive = "required int64 timestamp (TIMESTAMP(MILLIS,false))";
        write(
            &path,
            naive,
            DOUBLE,
            &[(Times::Int64(vec![UTC, clock]), vec![Some(1); 2])],
        );
        let new_york = zone("America/New_York", BarLabel::Start);
        refusal(
            imported_file(&path, &new_york).map(|_| ()),
            &["parquet:2", "exists twice"],
        );
        write(
            &path,
            MILLIS,
            DOUBLE,
            &[(Times::Int64(vec![i64::MAX]), vec![Some(1)])],
        );
        refusal(
            imported_file(&path, &utc()).map(|_| ()),
            &["parquet:1", "outside the years"],
        );
        let texts = Times::Text(vec!["noon"]);
        write(
            &path,
            "required binary time (STRING)",
            DOUBLE,
            &[(texts, vec![Some(1)])],
        );
        refusal(
            imported_file(&path, &utc()).map(|_| ()),
            &["parquet:1", "`noon` is no timestamp"],
        );
        std::fs::write(&path, "PAR1 not really").expect("writable");
        refusal(
            imported_file(&path, &utc()).map(|_| ()),
            &["not a Parquet file"],
        );
    }

    #[test]
    fn row_groups_follow_one_another_and_equal_the_csv() {
        let folder = folder();
        let path = folder.path().join("data.parquet");
        let group = |from: i64, count: i64| {
            let times = (from..from + count)
                .map(|n| (UTC + 60 * n) * 1000)
                .collect();
            (
                Times::Int64(times),
                (from..from + count).map(|n| Some(n + 1)).collect(),
            )
        };
        write(
            &path,
            MILLIS,
            DOUBLE,
            &[group(0, 1500), group(1500, 1), group(1501, 1024)],
        );
        let read = imported_file(&path, &utc()).expect("it is read");
        let rows: Vec<String> = (0..2525)
            .map(|n| format!("{},{p},{p},{p},{p}\n", UTC + 60 * n, p = n + 1))
            .collect();
        let csv = format!("time,open,high,low,close\n{}", rows.concat());
        assert_eq!(read, imported(&csv, &utc()).expect("it is read"));
        assert_eq!(read.len(), 2525);
    }

    /// What reading a file of 4,000 bars in pages of so many rows takes, without what the file says
    /// of itself.
    fn memory(time: &str, times: Times, page_rows: usize, compression: Compression) -> u64 {
        let folder = folder();
        let path = folder.path().join("data.parquet");
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_data_page_row_count_limit(page_rows)
            .set_write_batch_size(page_rows)
            .set_data_page_size_limit(1 << 20)
            .set_column_dictionary_enabled("timestamp".into(), matches!(times, Times::Text(_)));
        let prices = (0..4_000).map(|n| Some(n % 7 + 1)).collect();
        let float = "required float NAME;";
        write_with(properties.build(), &path, time, float, &[(times, prices)]);
        let mut asked = Vec::new();
        ImportMemory::ask(&path, &mut |memory| {
            asked.push(memory.clone());
            Ok(())
        })
        .expect("a file that is read");
        let [footer, memory] = &asked[..] else {
            panic!("{asked:?}");
        };
        assert!((200..4_000).contains(&footer.bytes), "{footer:?}");
        assert_eq!(memory.what, "pages of timestamp in row group 0");
        let file = std::fs::File::open(&path).expect("readable");
        let reader = parquet::file::reader::SerializedFileReader::new(file).expect("a file");
        memory.bytes - parquet::file::reader::FileReader::metadata(&reader).memory_size() as u64
    }

    #[test]
    fn the_largest_pages_are_counted() {
        let longs = || Times::Int64((0..4_000).map(|n| (UTC + n) * 1000).collect());
        let plain = Compression::UNCOMPRESSED;
        assert_eq!(memory(MILLIS, longs(), 4_000, plain), 32_000);
        // A page, with the one before it.
        assert_eq!(memory(MILLIS, longs(), 1_000, plain), 16_000);
        let snappy = memory(MILLIS, longs(), 1_000, Compression::SNAPPY);
        assert!((17_000..24_000).contains(&snappy), "{snappy}");
        // Texts of 20 bytes behind their length, each with what points to it; numbers of 12 bits.
        let text = "required binary timestamp (STRING)";
        let texts = (0..4_000).map(|n| {
            let text = admf_formats::units::rfc3339((UTC + n) * 1_000_000_000);
            &*text.expect("a time").leak()
        });
        let texts = memory(text, Times::Text(texts.collect()), 1_000, plain);
        let dictionary = 4_000 * (24 + size_of::<ByteArray>() as u64);
        let pages = dictionary + 2_000..dictionary + 4_000;
        assert!(pages.contains(&texts), "{texts}");
    }
}
