// SPDX-License-Identifier: MIT OR Apache-2.0
//! Families: what the names of regions begin with.

use crate::text::Text;

/// Beginnings of names that belong together although what follows them is no separator, as Android
/// gives them.
const FAMILIES: &[&str] = &["CursorWindow", "gralloc", "dalvik-", "MemoryFile", "libc malloc"];

/// What regions without a name are gathered under.
pub const NAMELESS: &str = "(no name)";

/// What a name begins with, as far as that names a family: `CursorWindow` of `CursorWindow:
/// /data/…`, `dalvik-` of `dalvik-main space`. Otherwise up to the first character that is no
/// letter.
pub fn family(name: &Text) -> String {
    let bytes = name.as_bytes();
    if bytes.is_empty() {
        return NAMELESS.to_owned();
    }
    if let Some(family) = FAMILIES.iter().find(|family| bytes.starts_with(family.as_bytes())) {
        return (*family).to_owned();
    }
    let word = bytes.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    if word > 0 { Text::from(&bytes[..word]).to_string() } else { name.to_string() }
}

#[cfg(test)]
mod tests {
    use super::family;
    use crate::text::Text;

    #[test]
    fn names_find_their_family() {
        for (name, wanted) in [
            ("CursorWindow: /data/user/0/x.db", "CursorWindow"),
            ("gralloc-buffer-7", "gralloc"),
            ("dalvik-main space (region space)", "dalvik-"),
            ("MemoryFile", "MemoryFile"),
            ("wayland-shm", "wayland"),
            ("", "(no name)"),
            ("12", "12"),
        ] {
            assert_eq!(family(&Text::from(name)), wanted);
        }
    }
}
