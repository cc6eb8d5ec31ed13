// SPDX-License-Identifier: MIT OR Apache-2.0
//! The specification against CDI's published schema (version 0.5.0): names, required fields, types
//! and patterns; and the file.

use super::spec::{DEVICE, KIND, Spec};
use serde_json::{Map, Value};

const ID: &str = "fae27f22-285e-4301-9a83-f311f79c74d9";

fn spec() -> Value {
    serde_json::from_str(&Spec::of_boot(ID).to_json()).expect("it is JSON")
}

/// An object with no other fields than these; the schema allows none that it does not name.
fn object<'a>(value: &'a Value, required: &[&str], optional: &[&str]) -> &'a Map<String, Value> {
    let object = value.as_object().expect("an object");
    for field in required {
        assert!(object.contains_key(*field), "{field} is missing in {value}");
    }
    for field in object.keys() {
        assert!(
            required.contains(&field.as_str()) || optional.contains(&field.as_str()),
            "{field} is not in the schema"
        );
    }
    object
}

/// A name in the schema: letters and digits at both ends, and between them these as well.
fn is_name(text: &str, between: &str) -> bool {
    let is_end = |sign: char| sign.is_ascii_alphanumeric();
    !text.is_empty()
        && text.starts_with(is_end)
        && text.ends_with(is_end)
        && text.chars().all(|sign| is_end(sign) || between.contains(sign))
}

#[test]
fn it_is_valid_by_the_schema() {
    let spec = spec();
    let top = object(&spec, &["cdiVersion", "kind", "devices"], &["annotations", "containerEdits"]);
    let version: Vec<u32> = top["cdiVersion"]
        .as_str()
        .expect("text")
        .split('.')
        .map(|part| part.parse().expect("a number"))
        .collect();
    assert!(version.len() == 3 && version >= vec![0, 5, 0], "hostPath came with 0.5.0");
    let (vendor, class) =
        top["kind"].as_str().expect("text").split_once('/').expect("vendor/class");
    assert!(
        is_name(vendor, "-_.") && vendor.contains('.') && is_name(class, "-_"),
        "{vendor} {class}"
    );
    let devices = top["devices"].as_array().expect("a list");
    assert!(!devices.is_empty());
    for device in devices {
        let device = object(device, &["name", "containerEdits"], &["annotations"]);
        assert!(is_name(device["name"].as_str().expect("text"), "-_.:"));
        let edits =
            object(&device["containerEdits"], &[], &["deviceNodes", "env", "hooks", "mounts"]);
        assert!(!edits.is_empty(), "an edit must change something");
        for node in edits["deviceNodes"].as_array().expect("a list") {
            let optional =
                ["hostPath", "type", "major", "minor", "fileMode", "permissions", "uid", "gid"];
            let node = object(node, &["path"], &optional);
            assert!(node["path"].as_str().expect("text").starts_with('/'));
            assert!(["b", "c", "u", "p"].contains(&node["type"].as_str().expect("text")));
            assert!(
                node["permissions"]
                    .as_str()
                    .expect("text")
                    .chars()
                    .all(|right| "rwm".contains(right))
            );
            assert!(node["fileMode"].as_u64().expect("a number") <= 0o7777);
        }
    }
}

#[test]
fn both_names_lead_to_the_one_device_and_no_number_is_fixed() {
    let spec = spec();
    assert_eq!(
        (spec["kind"].as_str(), spec["devices"][0]["name"].as_str()),
        (Some(KIND), Some(DEVICE))
    );
    let nodes = spec["devices"][0]["containerEdits"]["deviceNodes"].as_array().expect("a list");
    let paths: Vec<_> =
        nodes.iter().map(|node| node["path"].as_str().expect("text").to_owned()).collect();
    assert_eq!(paths, ["/dev/ashmem".to_owned(), format!("/dev/ashmem{ID}")]);
    assert!(
        nodes.iter().all(|node| node["hostPath"] == "/dev/ashmem" && node.get("minor").is_none())
    );
}

#[test]
fn a_file_is_replaced_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cdi/ashmem.json");
    let spec = Spec::of_boot(ID);
    spec.write(&path).expect("the folder is made");
    spec.write(&path).expect("the file is replaced");
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), spec.to_json());
    assert_eq!(
        std::fs::read_dir(path.parent().expect("a folder")).expect("a list").count(),
        1,
        "nothing is left beside it"
    );

    let taken = folder.path().join("taken.json");
    std::fs::create_dir(&taken).expect("a folder in its place");
    let error = spec.write(&taken).expect_err("a folder cannot be replaced").to_string();
    assert!(error.contains("unchanged") && error.contains("sudo ashmem cdi"), "{error}");
    assert!(
        !std::fs::read_dir(folder.path()).expect("a list").any(|entry| entry
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .ends_with(".part"))
    );
}
