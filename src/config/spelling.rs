//! Owns the suggestions for misspelt names.

/// The name nearest to `word`, if their distance is at most a third of the word's length, and at most 4.
pub(super) fn nearest<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let near = word.chars().count().div_ceil(3).min(4);
    names
        .into_iter()
        .map(|name| (strsim::levenshtein(word, name), name))
        .filter(|(distance, _)| *distance <= near)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["listen", "max_connections", "share"];
        assert_eq!(nearest("listne", names), Some("listen"));
        assert_eq!(nearest("max-connection", names), Some("max_connections"));
        assert_eq!(nearest("shrae", names), Some("share"));
        assert_eq!(nearest("colour", names), None);
    }
}
