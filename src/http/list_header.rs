//! Owns the splitting of header fields that hold lists (RFC 9110, 5.6.1): a comma or semicolon inside a quoted
//! string separates nothing.

use std::borrow::Cow;

/// The elements of a list, which commas separate.
pub(super) fn elements(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    Split { rest: Some(field), separator: b',', has_escapes: true }
}

/// An element's own text, then its parameters, which semicolons separate.
pub(super) fn parameters(element: &[u8]) -> impl Iterator<Item = &[u8]> {
    Split { rest: Some(element), separator: b';', has_escapes: true }
}

/// The tags of a list of entity tags. Their quotes know no escapes (RFC 9110, 8.8.3).
pub(super) fn entity_tags(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    Split { rest: Some(field), separator: b',', has_escapes: false }
}

/// The value of a token or a quoted string (RFC 9110, 5.6.4). `None` for a string whose quotes do not match.
pub(super) fn word(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Some(quoted) = text.strip_prefix(b"\"") else { return Some(text.into()) };
    let mut value = Vec::new();
    let mut bytes = quoted.iter();
    loop {
        match bytes.next()? {
            b'\\' => value.push(*bytes.next()?),
            b'"' => return bytes.as_slice().is_empty().then_some(value.into()),
            byte => value.push(*byte),
        }
    }
}

/// The parts of a field, without the blanks around them. A quoted string without an end reaches to the end of
/// the field: nothing behind its first quote is taken for a part of its own.
struct Split<'f> {
    rest: Option<&'f [u8]>,
    separator: u8,
    has_escapes: bool,
}

impl<'f> Iterator for Split<'f> {
    type Item = &'f [u8];

    fn next(&mut self) -> Option<&'f [u8]> {
        let text = self.rest.take()?;
        let mut is_quoted = false;
        let mut bytes = text.iter().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => is_quoted = !is_quoted,
                b'\\' if is_quoted && self.has_escapes => drop(bytes.next()),
                byte if *byte == self.separator && !is_quoted => {
                    self.rest = text.get(at + 1..);
                    return text.get(..at).map(<[u8]>::trim_ascii);
                }
                _ => {}
            }
        }
        Some(text.trim_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<'t>(parts: impl Iterator<Item = &'t [u8]>) -> Vec<&'t str> {
        parts.map(|part| std::str::from_utf8(part).unwrap()).collect()
    }

    #[test]
    fn what_is_quoted_separates_nothing() {
        let rows: &[(&str, &[&str])] = &[
            ("", &[""]),
            ("a", &["a"]),
            (" a ,\tb,,c", &["a", "b", "", "c"]),
            (r#"x="a, b", c"#, &[r#"x="a, b""#, "c"]),
            (r#"x="a\", b", c"#, &[r#"x="a\", b""#, "c"]),
            (r#"x="a\\", b"#, &[r#"x="a\\""#, "b"]),
            (r#"x="a, b"#, &[r#"x="a, b"#]),
            (r#"x="a\"#, &[r#"x="a\"#]),
            (r"\, a", &[r"\", "a"]),
        ];
        for (field, meant) in rows {
            assert_eq!(texts(elements(field.as_bytes())), *meant, "{field}");
        }
        assert_eq!(texts(parameters(br#"a;b="x;y";c"#)), ["a", r#"b="x;y""#, "c"]);
        assert_eq!(texts(entity_tags(br#""a\", W/"b,c""#)), [r#""a\""#, r#"W/"b,c""#]);
    }

    #[test]
    fn words_are_read_with_and_without_quotes() {
        let read = |text: &str| word(text.as_bytes()).map(|word| String::from_utf8(word.to_vec()).unwrap());
        for (text, meant) in
            [("", Some("")), ("10", Some("10")), (r#""10""#, Some("10")), (r#""1\0""#, Some("10"))]
        {
            assert_eq!(read(text).as_deref(), meant, "{text}");
        }
        for text in [r#"""#, r#""10"#, r#""10"0"#, r#""10\""#, r#""a"b""#] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
