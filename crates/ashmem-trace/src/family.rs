// SPDX-License-Identifier: MIT OR Apache-2.0
//! Families: what the names of regions begin with.

use std::fmt;

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
    let family = if word > 0 { Text::from(&bytes[..word]).to_string() } else { name.to_string() };
    // A name that says it is none.
    if family == NAMELESS { FamilyWord(&family).quoted() } else { family }
}

/// A family among other words: quoted, if it could be taken for more than itself. A precision cuts
/// it after so many characters, and shows that.
#[derive(Clone, Copy, Debug)]
pub struct FamilyWord<'a>(pub &'a str);

impl FamilyWord<'_> {
    fn is_plain(&self) -> bool {
        let Self(family) = self;
        FAMILIES.contains(family)
            || *family == NAMELESS
            || family.bytes().all(|byte| byte.is_ascii_alphabetic())
    }

    /// Between quotation marks. Its backslashes are doubled already.
    fn quoted(&self) -> String {
        format!("\"{}\"", self.0.replace('"', "\\\""))
    }
}

impl fmt::Display for FamilyWord<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = formatter.precision().unwrap_or(usize::MAX);
        let mut cut = self.0.to_owned();
        if let Some((end, _)) = self.0.char_indices().nth(most) {
            cut.truncate(end);
            cut.push('…');
        }
        formatter.write_str(&if self.is_plain() { cut } else { FamilyWord(&cut).quoted() })
    }
}

#[cfg(test)]
mod tests {
    use super::{FamilyWord, family};
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
            ("(no name)", "\"(no name)\""),
        ] {
            assert_eq!(family(&Text::from(name)), wanted);
        }
    }

    #[test]
    fn a_family_cannot_pose_as_several() {
        for (name, wanted) in [
            ("gralloc-1", "gralloc"),
            ("libc malloc", "libc malloc"),
            ("", "(no name)"),
            ("1 +9, +9T; gralloc", "\"1 +9, +9T; gralloc\""),
            ("1\" +9", "\"1\\\" +9\""),
            ("1\\", "\"1\\\\\""),
        ] {
            let found = family(&Text::from(name));
            assert_eq!(FamilyWord(&found).to_string(), wanted);
        }
        assert_eq!(format!("{:.2}", FamilyWord("1\\\\")), "\"1\\…\"");
        assert_eq!(format!("{:.2}", FamilyWord("cache")), "ca…");
    }
}
