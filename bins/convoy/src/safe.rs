//! Text that a terminal may be shown: what came from elsewhere cannot move its cursor or mislead the eye.

/// With control characters and those that turn the direction of text written as `\u{…}`.
pub(crate) fn line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_harmful(character) {
            safe.extend(character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    safe
}

/// JSON text with the same characters as `\uXXXX`: they can only stand inside its strings, the line feeds
/// and tabs of its layout apart.
pub(crate) fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_harmful(character) && !matches!(character, '\n' | '\t') {
            safe.push_str(&format_args!("\\u{:04x}", u32::from(character)).to_string());
        } else {
            safe.push(character);
        }
    }
    safe
}

fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
