//! Owns the place in docs/performance.md where the tables stand.

use std::path::Path;

use crate::Failure;

const BEGIN: &str = "<!-- bench/peers/run write: from here -->\n";
const END: &str = "<!-- bench/peers/run write: to here -->";

pub fn write(text: &str) -> Result<(), Failure> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
    let page = std::fs::read_to_string(&path)?;
    let marks = page.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
    let (head, tail) = marks.ok_or("docs/performance.md has lost its marks")?;
    std::fs::write(&path, format!("{head}{BEGIN}\n{}\n\n{END}{tail}", text.trim()))?;
    Ok(())
}
