//! Owns the places where the tables stand: all of them in docs/performance.md, what matters most in README.md.

use std::path::Path;

use crate::Failure;
use crate::subject::Kind;
use crate::table::Table;

const BEGIN: &str = "<!-- bench/peers/run write: from here -->\n";
const END: &str = "<!-- bench/peers/run write: to here -->";

/// README's rows.
const ROWS: [&str; 12] = [
    "crowd: polls",
    "crowd: requests upstream",
    "crowd: of these answered 429",
    "crowd: errors that clients saw",
    "crowd: age of what a client has, p50, s",
    "crowd: time that a client has nothing, %",
    "500 waiters: last, ms",
    "2000 waiters: last, ms",
    "CPU per cached hit, µs",
    "cached hits/s on one core",
    "their p99, ms",
    "RSS idle, MiB",
];
/// README's columns.
const KINDS: [Kind; 4] = [Kind::Taskgate, Kind::Nginx, Kind::Haproxy, Kind::Varnish];

/// Puts the text where docs/performance.md has its tables, and what README shows of them there.
pub fn write(text: &str, tables: &[Table]) -> Result<(), Failure> {
    replace("docs/performance.md", text)?;
    let mut brief = Table::default();
    for name in ROWS {
        let cells =
            tables.iter().find_map(|table| table.row(name)).ok_or(format!("no row {name:?} for README"))?;
        for (kind, cell) in cells.iter().filter(|(kind, _)| KINDS.contains(kind)) {
            brief.put(name, *kind, cell);
        }
    }
    replace("README.md", &brief.to_string())
}

fn replace(page: &str, text: &str) -> Result<(), Failure> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let whole = std::fs::read_to_string(&path)?;
    let marks = whole.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
    let (head, tail) = marks.ok_or(format!("{page} has lost its marks"))?;
    std::fs::write(&path, format!("{head}{BEGIN}\n{}\n\n{END}{tail}", text.trim()))?;
    Ok(())
}
