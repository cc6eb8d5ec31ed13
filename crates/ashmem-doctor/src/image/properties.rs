// SPDX-License-Identifier: MIT OR Apache-2.0
//! An image's properties, and what its init scripts make of `sys.use_memfd`.

use std::collections::HashMap;

use serde::Serialize;

use super::tree::ImageTree;

/// Where Android keeps its properties, in the order in which init reads them.
const FILES: [&str; 14] = [
    "/default.prop",
    "/system/etc/prop.default",
    "/prop.default",
    "/system/build.prop",
    "/build.prop",
    "/system/system_ext/etc/build.prop",
    "/system_ext/etc/build.prop",
    "/vendor/default.prop",
    "/vendor/build.prop",
    "/system/vendor/build.prop",
    "/vendor/waydroid.prop",
    "/vendor/odm/etc/build.prop",
    "/product/etc/build.prop",
    "/system/product/etc/build.prop",
];

/// Where init's scripts lie, and those that they call.
const SCRIPTS: [&str; 8] = [
    "/system/etc/init/hw",
    "/system/etc/init",
    "/vendor/etc/init/hw",
    "/vendor/etc/init",
    "/etc/init",
    "/",
    "/vendor/bin",
    "/system/bin",
];

/// A place where an image sets `sys.use_memfd`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct UseMemfd {
    /// The file.
    pub path: String,
    /// What triggers it (`on ...`); empty in a shell script.
    pub on: String,
    /// The value.
    pub value: String,
}

/// What `build.prop` and its like say.
pub(super) struct Properties(HashMap<String, String>);

impl Properties {
    /// An image's; of a `ro.` property the first value counts, as init keeps it.
    pub(super) fn of(tree: &ImageTree) -> Self {
        let mut properties = HashMap::new();
        for text in FILES.iter().filter_map(|path| tree.text(path)) {
            for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
                if let Some((key, value)) = line.split_once('=') {
                    let key = key.trim().to_owned();
                    properties.entry(key).or_insert_with(|| plain(value.trim()));
                }
            }
        }
        Self(properties)
    }

    /// A property's value; `None` where it is not set, or empty.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// Where an image's scripts set `sys.use_memfd`.
pub(super) fn use_memfd(tree: &ImageTree) -> Vec<UseMemfd> {
    let mut found = Vec::new();
    for folder in SCRIPTS {
        let names = tree.names(folder);
        for name in names.iter().filter(|name| name.ends_with(".rc") || name.ends_with(".sh")) {
            let path = format!("{}/{name}", folder.trim_end_matches('/'));
            let Some(text) = tree.text(&path) else { continue };
            let mut on = "";
            for line in text.lines().map(str::trim) {
                on = line.strip_prefix("on ").unwrap_or(on);
                if let Some((before, value)) = line.split_once("setprop sys.use_memfd")
                    && !before.contains('#')
                {
                    let on = if name.ends_with(".rc") { plain(on) } else { String::new() };
                    let value = value.split_whitespace().next().unwrap_or_default();
                    found.push(UseMemfd { path: plain(&path), on, value: plain(value) });
                }
            }
        }
    }
    found
}

/// Without what a terminal would obey, and not endless.
pub(super) fn plain(text: &str) -> String {
    text.chars().take(200).map(|sign| if sign.is_control() { '\u{fffd}' } else { sign }).collect()
}
