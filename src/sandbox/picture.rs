//! Owns the placeholder image: a small SVG, whose colour depends on the task's id.

/// The image of this file name, `ldtask_….svg`. The task need not exist: a signed URL outlives its task too.
pub(super) fn svg(name: &str) -> Option<String> {
    let id = name.strip_suffix(".svg")?;
    let digits = id.strip_prefix("ldtask_")?;
    // Only hexadecimal digits reach the markup, so no name can inject any.
    if digits.len() != 32 || !digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let hue = u32::from_str_radix(&digits[..4], 16).ok()? % 360;
    let other = (hue + 60) % 360;
    Some(format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="512" height="512" viewBox="0 0 512 512">
<defs><linearGradient id="g" x2="1" y2="1"><stop stop-color="hsl({hue} 70% 60%)"/><stop offset="1" stop-color="hsl({other} 70% 45%)"/></linearGradient></defs>
<rect width="512" height="512" fill="url(#g)"/>
<text x="256" y="250" font-family="sans-serif" font-size="40" fill="#fff" text-anchor="middle">sandbox</text>
<text x="256" y="290" font-family="monospace" font-size="16" fill="#fff" text-anchor="middle">{id}</text>
</svg>
"##
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_its_picture_and_nothing_else_has_one() {
        let id = format!("ldtask_{:032x}", 7);
        let picture = svg(&format!("{id}.svg")).unwrap();
        assert!(picture.starts_with("<svg ") && picture.contains(&id), "{picture}");
        assert_ne!(Some(picture), svg(&format!("ldtask_{:032x}.svg", 7_u128 << 120)));
        let markup = format!("ldtask_<script>{}.svg", "0".repeat(24));
        for name in [&*markup, "ldtask_.svg", "ldtask_0.svg", ".svg", "", &format!("{id}.png"), &id] {
            assert_eq!(svg(name), None, "{name}");
        }
    }
}
