// SPDX-License-Identifier: MIT OR Apache-2.0
//! A release's bills of materials (CycloneDX): which crates are linked into the program and into
//! the C library.

use crate::build::checkout::Checkout;
use crate::build::stage::Version;
use crate::util::arch::Arch;
use crate::util::{process, tools, workspace};
use anyhow::{Context, Result, bail};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The tool that makes them, and its version.
const TOOL: (&str, &str) = ("cargo-cyclonedx", "0.5.9");

/// What a bill is of: what its file is called, and the package that it begins with.
const SUBJECTS: [(&str, &str); 2] = [("ashmem", "ashmem-cli"), ("libashmem", "libashmem")];

/// Makes both bills, of the committed source, and holds them to what cargo links.
pub(crate) fn make(version: &Version, checkout: &Checkout, folder: &Path) -> Result<Vec<PathBuf>> {
    let tool = tools::from_crates_io(TOOL.0, TOOL.1, &[])?;
    let _lock = workspace::lock("release-sbom")?;
    let work = workspace::cache("release-sbom")?.join("ashmem-linux");
    let mut bills = Vec::new();
    workspace::make_whole(&work, |part| {
        checkout.unpack(part)?;
        let mut cyclonedx = Command::new(&tool);
        // Both architectures' program is made of the same crates, which `check` sees to.
        cyclonedx.args(["cyclonedx", "--quiet", "--quiet", "--format", "json"]).args([
            "--spec-version",
            "1.5",
            "--no-build-deps",
            "--target",
            &Arch::X86_64.rust_target(),
        ]);
        cyclonedx.current_dir(part).env("SOURCE_DATE_EPOCH", checkout.time());
        process::capture(&mut cyclonedx)?;
        for (name, package) in SUBJECTS {
            let made = part.join(format!("crates/{package}/{package}.cdx.json"));
            let text =
                fs::read_to_string(&made).with_context(|| format!("reading {}", made.display()))?;
            let place = folder.join(format!("{name}-{version}.cdx.json"));
            // The folder's name is nobody's business, and another in each build.
            let text = text.replace(&part.display().to_string(), "/ashmem-linux");
            fs::write(&place, text).with_context(|| format!("writing {}", place.display()))?;
            bills.push(place);
        }
        Ok(())
    })?;
    fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))?;
    check(version, folder)?;
    Ok(bills)
}

/// Whether a release's bills are what they say: of this version of the format, without a trace of
/// the build, and with every crate that cargo links for each architecture. What was seen, in one
/// line.
pub(crate) fn check(version: &Version, folder: &Path) -> Result<String> {
    let mut seen = Vec::new();
    for (name, package) in SUBJECTS {
        let file = folder.join(format!("{name}-{version}.cdx.json"));
        let text =
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let root = workspace::root().display().to_string();
        if let Some(trace) = trace_of_build(&text, &root) {
            bail!("{} tells of the build that made it: {trace}", file.display());
        }
        let listed = components(&text).with_context(|| format!("in {}", file.display()))?;
        for arch in Arch::ALL {
            let linked = linked(package, arch)?;
            let missing: Vec<_> = linked.difference(&listed).collect();
            if !missing.is_empty() {
                bail!("{} has no {missing:?}, which are linked for {arch}", file.display());
            }
        }
        seen.push(format!("{name}: {} crates", listed.len()));
    }
    Ok(seen.join(", "))
}

/// What a bill tells of the machine that made it, if it does.
fn trace_of_build(text: &str, root: &str) -> Option<String> {
    if text.contains("serialNumber") {
        return Some("serialNumber".to_owned());
    }
    // A folder stands in it as it is, and in addresses, with percent signs.
    let text = percent_decode_str(text).decode_utf8_lossy();
    if text.contains(root) {
        return Some(root.to_owned());
    }
    const SCHEME: &str = "file:///";
    let mut folders = text.match_indices(SCHEME).filter_map(|(at, _)| text.get(at..));
    let is_elsewhere = |address: &&str| {
        let rest = address.strip_prefix("file:///ashmem-linux");
        !rest.is_some_and(|rest| rest.starts_with(['/', '"', '#', '?', '&']))
    };
    let found = folders.find(is_elsewhere)?;
    Some(found.chars().take_while(|letter| *letter != '"').collect())
}

/// The components of a bill, each as `name version`, with what it is the bill of.
fn components(text: &str) -> Result<BTreeSet<String>> {
    let bill: Value = serde_json::from_str(text).context("it is no JSON")?;
    let word = |value: &Value, field: &str| -> Option<String> {
        value.get(field).and_then(Value::as_str).map(ToOwned::to_owned)
    };
    if word(&bill, "bomFormat").as_deref() != Some("CycloneDX")
        || word(&bill, "specVersion").as_deref() != Some("1.5")
    {
        bail!("it is no CycloneDX 1.5");
    }
    let subject = bill.pointer("/metadata/component").context("it says not what it is of")?;
    let parts = bill.get("components").and_then(Value::as_array).context("it lists nothing")?;
    let named = |part: &Value| Some(format!("{} {}", word(part, "name")?, word(part, "version")?));
    parts
        .iter()
        .chain([subject])
        .map(|part| named(part).with_context(|| format!("a part without a name: {part}")))
        .collect()
}

/// What cargo links into a package for an architecture, each as `name version`.
fn linked(package: &str, arch: Arch) -> Result<BTreeSet<String>> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["tree", "--locked", "--quiet", "--package", package, "--edges", "normal"]);
    cargo.args(["--prefix", "none", "--format", "{p}", "--target", &arch.rust_target()]);
    let tree = process::capture(cargo.current_dir(workspace::root()))?;
    let linked: BTreeSet<_> = tree.lines().filter_map(name_and_version).collect();
    if linked.is_empty() {
        bail!("cargo links nothing into {package}");
    }
    Ok(linked)
}

/// `rustix v1.0.7 (proc-macro)` as `rustix 1.0.7`.
fn name_and_version(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let (name, version) = (words.next()?, words.next()?);
    Some(format!("{name} {}", version.strip_prefix('v')?))
}

#[cfg(test)]
mod tests {
    use super::{components, name_and_version, trace_of_build};

    #[test]
    fn a_bill_names_no_folder_but_the_one_of_every_build() {
        let trace = |text| trace_of_build(text, "/home/me/my src");
        assert_eq!(trace(r#"{"a":"path+file:///ashmem-linux/crates/x#0.1.0","b":"100%"}"#), None);
        assert_eq!(trace(r#"{"a":"pkg:cargo/x@1?download_url=file://.","b":"%zz%2"}"#), None);
        for told in [
            r#"{"a":"/home/me/my src/x"}"#,
            r#"{"a":"/home/me/my%20src/x"}"#,
            r#"{"a":"pkg:cargo/x@1?download_url=file%3A%2F%2F%2Fhome%2Fyou"}"#,
            r#"{"a":"file:///ashmem-linux-2/x"}"#,
            r#"{"serialNumber":"urn:uuid:1"}"#,
        ] {
            assert!(trace(told).is_some(), "{told}");
        }
    }

    #[test]
    fn a_bill_lists_its_parts_and_what_it_is_of() {
        let text = r#"{"bomFormat":"CycloneDX","specVersion":"1.5",
            "metadata":{"component":{"name":"ashmem-cli","version":"0.1.0"}},
            "components":[{"name":"rustix","version":"1.0.7"}]}"#;
        let listed = components(text).expect("a bill");
        assert_eq!(listed.into_iter().collect::<Vec<_>>(), ["ashmem-cli 0.1.0", "rustix 1.0.7"]);
        for other in [
            text.replace("1.5", "1.3"),
            text.replace("CycloneDX", "SPDX"),
            text.replace("\"version\":\"1.0.7\"", "\"versions\":1"),
            text.replace("components", "parts"),
            text.replace('}', ""),
        ] {
            assert!(components(&other).is_err(), "{other}");
        }
    }

    #[test]
    fn cargo_names_a_crate_by_its_first_two_words() {
        let name = |line| name_and_version(line);
        assert_eq!(
            name("clap_derive v4.5.1 (proc-macro) (*)").as_deref(),
            Some("clap_derive 4.5.1")
        );
        assert_eq!(name("ashmem-core v0.1.0 (/src/core)").as_deref(), Some("ashmem-core 0.1.0"));
        assert_eq!(name(""), None);
    }
}
