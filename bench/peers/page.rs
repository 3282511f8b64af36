//! Owns the places of the tables: all of them in docs/performance.md, three of their rows in README.md.

use taskgate_bench::root;

use crate::Failure;
use crate::contender::Kind;
use crate::table::Table;

const BEGIN: &str = "<!-- bench/peers/run write: from here -->\n";
const END: &str = "<!-- bench/peers/run write: to here -->";

/// The rows in README.md: the name in the full table, and the name for a reader of README.md alone.
const ROWS: [(&str, &str); 3] = [
    ("crowd: polls", "polls that the clients sent"),
    ("crowd: requests upstream", "requests that reached the API"),
    ("crowd: of these answered 429", "of these, refused with 429"),
];
/// The columns in README.md.
const KINDS: [Kind; 4] = [Kind::Taskgate, Kind::Nginx, Kind::Haproxy, Kind::Varnish];

/// Replaces the tables in docs/performance.md by `text`, and the table in README.md by its rows.
pub fn write(text: &str, tables: &[Table]) -> Result<(), Failure> {
    replace("docs/performance.md", text)?;
    let mut brief = Table::default();
    for (name, plain_name) in ROWS {
        let cells =
            tables.iter().find_map(|table| table.row(name)).ok_or(format!("no row {name:?} for README"))?;
        for (kind, cell) in cells.iter().filter(|(kind, _)| KINDS.contains(kind)) {
            brief.put(plain_name, *kind, median(cell));
        }
    }
    replace("README.md", &brief.to_string())
}

/// The median of a cell, without the least and the largest value behind it.
fn median(cell: &str) -> &str {
    cell.split_once(" (").map_or(cell, |(median, _)| median)
}

fn replace(page: &str, text: &str) -> Result<(), Failure> {
    let path = root().join(page);
    let whole = std::fs::read_to_string(&path)?;
    let marks = whole.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
    let (head, tail) = marks.ok_or(format!("{page} has lost its marks"))?;
    std::fs::write(&path, format!("{head}{BEGIN}\n{}\n\n{END}{tail}", text.trim()))?;
    Ok(())
}
