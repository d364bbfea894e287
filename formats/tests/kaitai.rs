//! segment.ksy says what SEGMENT.md says: the fields of every event and record, and every list of
//! names.

const TEXT: &str = include_str!("../SEGMENT.md");
const KSY: &str = include_str!("../segment.ksy");

/// Cells of the table's rows that follows this line.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let start = TEXT.find(heading).unwrap_or_else(|| panic!("no {heading}"));
    TEXT[start..]
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

/// The lines that are indented deeper than this name.
fn block(indent: usize, name: &str) -> Vec<&'static str> {
    let head = format!("{}{name}:", " ".repeat(indent));
    let lines: Vec<&str> = KSY
        .lines()
        .skip_while(|line| *line != head)
        .skip(1)
        .take_while(|line| line.len() > indent && line[..=indent].trim().is_empty())
        .collect();
    assert!(!lines.is_empty(), "segment.ksy has no {name}");
    lines
}

/// Names and types of a type's fields.
fn fields(name: &str) -> Vec<(String, String)> {
    let field = |line: &str| {
        let line = line.trim().strip_prefix("- {id: ")?;
        let (id, rest) = line.split_once(", type: ")?;
        let kind = rest.split([',', '}']).next()?;
        Some((id.to_owned(), kind.to_owned()))
    };
    block(2, name).into_iter().filter_map(field).collect()
}

fn kind(name: &str) -> String {
    let (letter, bits) = name.split_at(1);
    let bytes = bits.parse::<usize>().expect("bits of a type") / 8;
    let letter = if letter == "i" { "s" } else { letter };
    format!("{letter}{bytes}")
}

#[test]
fn events_are_those_of_the_page() {
    let mut units = vec!["0".to_owned()];
    let mut numbers = Vec::new();
    for row in table("| number | kind | bytes |") {
        let name = row[1].to_lowercase();
        let expected: Vec<(String, String)> = row[3]
            .split(", ")
            .filter_map(|field| field.split_once(' '))
            .map(|(name, of)| (name.to_owned(), kind(of)))
            .collect();
        let is_run = name == "bar" || name == "features";
        let payload = if is_run { "bar_run" } else { &name };
        assert_eq!(fields(payload), expected, "{name}");
        let case = format!("            kind::{name}: {payload}");
        assert!(KSY.lines().any(|line| line == case), "no line {case}");
        numbers.push(format!("    {}: {name}", row[0]));
        let bytes: usize = row[2].parse().expect("bytes of the payload");
        units.push((40 + bytes).div_ceil(16).to_string());
    }
    assert_eq!(block(2, "kind"), numbers);
    let units = format!("[{}][word_kind]", units.join(", "));
    assert!(KSY.contains(&units), "sizes of frames are not {units}");
}

#[test]
fn records_are_those_of_the_page() {
    let mut expected = Vec::new();
    let mut bytes = 0;
    for row in table("### result record,") {
        bytes += row[1].parse::<usize>().expect("bytes of the field");
        let (group, name) = row[3].split_once('.').unwrap_or(("", row[3]));
        expected.push((group.to_owned(), (name.to_owned(), kind(row[2]))));
    }
    let mut found = Vec::new();
    for (name, of) in fields("record") {
        if of == format!("{name}_totals") {
            let inner = fields(&of).into_iter();
            found.extend(inner.map(|field| (name.clone(), field)));
        } else {
            found.push((String::new(), (name, of)));
        }
    }
    assert_eq!(found, expected);
    let slots = block(2, "archive").join("\n");
    assert!(
        slots.contains(&format!("size: {}\n", bytes + 56)),
        "{slots}"
    );
    let mark = format!("pos: {}", bytes + 48);
    assert!(block(2, "slot").join("\n").contains(&mark), "no {mark}");
}

#[test]
fn names_are_those_of_the_page() {
    let rows = table("| names | numbers |");
    assert!(rows.len() > 3);
    for row in rows {
        let numbers: Vec<String> = row[1]
            .split(", ")
            .map(|pair| format!("    {}", pair.replace('`', "").replacen(' ', ": ", 1)))
            .collect();
        assert_eq!(block(2, &row[0].replace(' ', "_")), numbers, "{}", row[0]);
    }
}
