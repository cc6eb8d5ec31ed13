// SPDX-License-Identifier: MIT OR Apache-2.0
//! Seccomp profiles in JSON: runtime-spec's `linux.seccomp`, alone or inside a bundle's
//! `config.json`, and the form of Docker, podman and containerd, which has conditions besides.
//!
//! All other content stays as it was, in its order.

use serde_json::{Value, json};

use super::{Error, NOTIFY_BY_DEFAULT, NOTIFY_ON_WRITE, Rule, check_needed, complement, rules};
use crate::seccomp::filter::{Fidelity, Test};

const NOTIFY: &str = "SCMP_ACT_NOTIFY";
/// The actions that let a call run.
const RUNNING: [&str; 2] = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG"];

/// The profile to start from if none is given: it allows everything.
pub const EMPTY: &str = r#"{
  "defaultAction": "SCMP_ACT_ALLOW",
  "architectures": [
    "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"
  ],
  "syscalls": []
}"#;

/// Adds the agent's rules to a profile, and the socket where the agent waits for listeners. In a
/// whole `config.json` it changes the seccomp section, and adds the mount of the node.
///
/// # Errors
/// See [`Error`].
pub fn add(text: &str, fidelity: Fidelity, listener_path: &str) -> Result<String, Error> {
    let mut document: Value =
        serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    if document.get("ociVersion").is_some() {
        mount_node(&mut document);
        let linux = document["linux"]
            .as_object_mut()
            .ok_or_else(|| malformed("it has no section \"linux\""))?;
        let empty = || serde_json::from_str(EMPTY).unwrap_or_default();
        add_to(linux.entry("seccomp").or_insert_with(empty), fidelity, listener_path)?;
    } else {
        add_to(&mut document, fidelity, listener_path)?;
    }
    serde_json::to_string_pretty(&document)
        .map(|text| text + "\n")
        .map_err(|error| malformed(error.to_string()))
}

fn malformed(why: impl Into<String>) -> Error {
    Error::Malformed { what: "seccomp profile in JSON", why: why.into() }
}

fn add_to(profile: &mut Value, fidelity: Fidelity, listener_path: &str) -> Result<(), Error> {
    let default = action_of(profile, "defaultAction")
        .ok_or_else(|| malformed("it has no \"defaultAction\""))?;
    let default = default.to_owned();
    if default == NOTIFY {
        return Err(Error::Refused(NOTIFY_BY_DEFAULT));
    }
    match profile.get("listenerPath").and_then(Value::as_str) {
        Some(other) if !other.is_empty() && other != listener_path => {
            return Err(Error::Taken(other.to_owned()));
        }
        _ => profile["listenerPath"] = listener_path.into(),
    }
    let object = profile.as_object_mut().ok_or_else(|| malformed("it is no object"))?;
    let syscalls = object.entry("syscalls").or_insert_with(|| json!([]));
    if syscalls.is_null() {
        *syscalls = json!([]);
    }
    let entries = syscalls.as_array_mut().ok_or_else(|| malformed("\"syscalls\" is no list"))?;
    let rules = rules(fidelity);
    check_other_listeners(entries, &rules)?;
    for rule in &rules {
        apply(entries, rule, &default);
    }
    entries.retain(|entry| names_of(entry).next().is_some());
    check_needed(|name| {
        entries.iter().any(|entry| is_notified(entry) && names_of(entry).any(|other| other == name))
    })
}

/// Rules of another supervisor cannot stand beside ours; existing rules of ours can.
fn check_other_listeners(entries: &[Value], rules: &[Rule]) -> Result<(), Error> {
    let full = super::rules(Fidelity::Full);
    for entry in entries.iter().filter(|entry| is_notified(entry)) {
        for name in names_of(entry) {
            if name == "write" {
                return Err(Error::Refused(NOTIFY_ON_WRITE));
            }
            if !rules.iter().chain(&full).any(|rule| rule.name == name && is_ours(entry, rule)) {
                return Err(Error::Taken(format!("a notify rule for {name}")));
            }
        }
    }
    Ok(())
}

/// Makes one call notified as its rule says, wherever the profile lets it run.
fn apply(entries: &mut Vec<Value>, rule: &Rule, default: &str) {
    let named = |entry: &Value| names_of(entry).any(|name| name == rule.name);
    let is_there = |tests: &Vec<Test>| {
        entries.iter().any(|entry| named(entry) && is_notified(entry) && has_tests(entry, tests))
    };
    if rule.conditions.iter().all(is_there) {
        return;
    }
    let whole: Vec<usize> =
        (0..entries.len()).filter(|at| named(&entries[*at]) && !has_args(&entries[*at])).collect();
    if whole.is_empty() {
        // The profile does not name the call, or only with certain arguments: those rules stay, and
        // the default action applies to the rest.
        if RUNNING.contains(&default) {
            entries.extend(rule.conditions.iter().map(
                |tests| json!({ "names": [rule.name], "action": NOTIFY, "args": args(tests) }),
            ));
        }
        return;
    }
    for at in whole {
        let action = action_of(&entries[at], "action").unwrap_or_default().to_owned();
        if !RUNNING.contains(&action.as_str()) {
            continue;
        }
        // The other fields of the entry (Docker's conditions) apply to its parts too.
        let mut part = entries[at].clone();
        if let Some(object) = part.as_object_mut() {
            object.remove("name");
            object.remove("comment");
        }
        part["names"] = json!([rule.name]);
        take_name_out(&mut entries[at], rule.name);
        let mut add = |action: &str, tests: &[Test]| {
            let mut part = part.clone();
            part["action"] = action.into();
            part["args"] = args(tests);
            if !entries.contains(&part) {
                entries.push(part);
            }
        };
        rule.conditions.iter().for_each(|tests| add(NOTIFY, tests));
        if action != default {
            complement(&rule.conditions).iter().for_each(|tests| add(&action, tests));
        }
    }
}

fn is_ours(entry: &Value, rule: &Rule) -> bool {
    is_notified(entry) && rule.conditions.iter().any(|tests| has_tests(entry, tests))
}

fn has_tests(entry: &Value, tests: &[Test]) -> bool {
    entry.get("args").cloned().unwrap_or_else(|| json!([])) == args(tests)
}

/// Tests as libseccomp writes them: the argument under the mask `value` equals `valueTwo`.
fn args(tests: &[Test]) -> Value {
    let compared = tests.iter().filter(|test| test.mask != 0);
    compared
        .map(|Test { arg, mask, value }| {
            json!({ "index": arg, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ" })
        })
        .collect()
}

fn is_notified(entry: &Value) -> bool {
    action_of(entry, "action") == Some(NOTIFY)
}

fn has_args(entry: &Value) -> bool {
    entry.get("args").and_then(Value::as_array).is_some_and(|args| !args.is_empty())
}

fn action_of<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// Docker's oldest profiles have one `name` in each entry.
fn names_of(entry: &Value) -> impl Iterator<Item = &str> {
    let many = entry.get("names").and_then(Value::as_array).into_iter().flatten();
    many.chain(entry.get("name")).filter_map(Value::as_str).filter(|name| !name.is_empty())
}

fn take_name_out(entry: &mut Value, name: &str) {
    if let Some(names) = entry.get_mut("names").and_then(Value::as_array_mut) {
        names.retain(|other| other != name);
    }
    if action_of(entry, "name") == Some(name)
        && let Some(object) = entry.as_object_mut()
    {
        object.remove("name");
    }
}

/// Mounts the null device on `/dev/ashmem`: path lookups find it, and an open that is not notified
/// holds a harmless descriptor until its first ioctl.
fn mount_node(config: &mut Value) {
    const NODE: &str = "/dev/ashmem";
    if config.get("mounts").is_none_or(Value::is_null) {
        config["mounts"] = json!([]);
    }
    let Some(mounts) = config["mounts"].as_array_mut() else { return };
    if !mounts.iter().any(|mount| mount["destination"] == NODE) {
        let options = ["bind", "rw", "nosuid", "noexec"];
        mounts.push(json!({
            "destination": NODE, "type": "bind", "source": "/dev/full", "options": options
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKET: &str = "/run/ashmem/agent.sock";

    fn added(text: &str) -> Value {
        let once = add(text, Fidelity::Full, SOCKET).expect("a profile");
        assert_eq!(
            add(&once, Fidelity::Full, SOCKET).expect("again"),
            once,
            "the second time changes nothing"
        );
        serde_json::from_str(&once).expect("JSON")
    }

    /// What the profile does with a call, read as libseccomp reads it.
    fn action(profile: &Value, name: &str, argument: u32) -> String {
        let entries = profile["syscalls"].as_array().expect("a list");
        let holds = |entry: &&Value| {
            names_of(entry).any(|other| other == name)
                && entry.get("args").and_then(Value::as_array).into_iter().flatten().all(|arg| {
                    u64::from(argument) & arg["value"].as_u64().expect("a mask")
                        == arg["valueTwo"].as_u64().expect("a value")
                })
        };
        let mut actions: Vec<_> =
            entries.iter().filter(holds).filter_map(|entry| entry["action"].as_str()).collect();
        actions.dedup();
        assert!(actions.len() < 2, "{name} {argument:#x}: {actions:?}");
        actions
            .first()
            .copied()
            .or(profile["defaultAction"].as_str())
            .unwrap_or_default()
            .to_owned()
    }

    #[test]
    fn an_empty_profile_notifies_and_allows_the_rest() {
        let profile = added(EMPTY);
        assert_eq!(profile["listenerPath"], SOCKET);
        for (name, argument, want) in [
            ("ioctl", 0x7704, "SCMP_ACT_NOTIFY"),
            ("ioctl", 0x5401, "SCMP_ACT_ALLOW"),
            ("openat", 2, "SCMP_ACT_NOTIFY"),
            ("openat", 0, "SCMP_ACT_ALLOW"),
            ("fstat", 9, "SCMP_ACT_NOTIFY"),
            ("getpid", 0, "SCMP_ACT_ALLOW"),
        ] {
            assert_eq!(action(&profile, name, argument), want, "{name} {argument:#x}");
        }
    }

    #[test]
    fn an_allowed_call_is_taken_apart_and_a_denied_one_stays_denied() {
        let profile = added(
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
                "archMap": [{"architecture": "a"}], "syscalls": [
                {"names": ["ioctl", "read", "openat", "mmap"], "action": "SCMP_ACT_ALLOW",
                 "comment": "all"},
                {"names": ["fstat"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_X"]}},
                {"names": ["sendfile"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}"#,
        );
        for (name, argument, want) in [
            ("ioctl", 0x7704, "SCMP_ACT_NOTIFY"),
            ("ioctl", 0x5401, "SCMP_ACT_ALLOW"),
            ("read", 0, "SCMP_ACT_ALLOW"),
            ("splice", 0, "SCMP_ACT_ERRNO"),
            ("sendfile", 0, "SCMP_ACT_ERRNO"),
            ("remap_file_pages", 0, "SCMP_ACT_ERRNO"),
            ("fstat", 0, "SCMP_ACT_NOTIFY"),
        ] {
            assert_eq!(action(&profile, name, argument), want, "{name} {argument:#x}");
        }
        let fstat = profile["syscalls"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|entry| entry["names"][0] == "fstat");
        assert_eq!(fstat.expect("an entry")["includes"]["caps"][0], "CAP_X");
        assert_eq!(
            (&profile["defaultErrnoRet"], &profile["archMap"][0]["architecture"]),
            (&json!(1), &json!("a"))
        );
    }

    #[test]
    fn a_whole_bundle_gets_the_node_too() {
        let config = added(
            r#"{"ociVersion": "1.0.2", "linux": {"namespaces": []}, "process": {"cwd": "/"}}"#,
        );
        assert_eq!(config["mounts"][0]["destination"], "/dev/ashmem");
        assert_eq!(action(&config["linux"]["seccomp"], "ioctl", 0x7704), NOTIFY);
        assert_eq!(config["process"]["cwd"], "/");
    }

    #[test]
    fn what_runtimes_refuse_is_refused_with_a_sentence() {
        let refused = |text: &str| add(text, Fidelity::Full, SOCKET).expect_err(text).to_string();
        let allow = |rest: &str| format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", {rest}}}"#);
        assert!(
            refused(r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#).contains("default action is notify")
        );
        assert!(
            refused(&allow(r#""syscalls": [{"names": ["write"], "action": "SCMP_ACT_NOTIFY"}]"#))
                .contains("notifies write")
        );
        assert!(
            refused(&allow(r#""syscalls": [{"names": ["mknod"], "action": "SCMP_ACT_NOTIFY"}]"#))
                .contains("mknod")
        );
        assert!(
            refused(&allow(r#""listenerPath": "/run/other.sock""#)).contains("/run/other.sock")
        );
        assert!(
            refused(&allow(r#""syscalls": [{"names": ["ioctl"], "action": "SCMP_ACT_ERRNO"}]"#))
                .contains("denies ioctl")
        );
        assert!(refused(r#"{"defaultAction": "SCMP_ACT_ERRNO"}"#).contains("denies ioctl"));
        for text in ["", "[]", "{}", "7", r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": 7}"#] {
            assert!(refused(text).contains("no seccomp profile"), "{text}");
        }
    }
}
