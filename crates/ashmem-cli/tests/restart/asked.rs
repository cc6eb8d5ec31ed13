// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `ashmem list` says of the regions of a container: all that its agent knows, and also after
//! another agent took it over.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::World;
use super::running_client::Client;

/// The region that the client keeps.
fn kept(client: &Client) -> Value {
    let pid = client.process.0.id().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_ashmem"))
        .args(["list", "--json", "--name", "kept over restarts", "--pid", &pid])
        .output()
        .expect("starting ashmem");
    let mut document: Value = serde_json::from_slice(&output.stdout).expect("a document");
    document["regions"][0].take()
}

#[test]
fn the_agent_is_asked_for_what_only_it_knows() {
    let world = World::new("asked");
    let agent = world.start();
    let client = world.container("asked", Duration::from_secs(5));
    let check = |region: &Value| {
        assert_eq!(region["mask"], "rw-", "{region:#}");
        let pages = json!({ "pinned": 7, "unpinned": 1, "purged": 0 });
        assert_eq!(region["pages"], pages, "{region:#}");
    };
    check(&kept(&client));
    drop(agent);
    assert_eq!(kept(&client)["pages"], Value::Null, "nobody is there to ask");
    let _agent = world.start();
    // It answers calls first, and listens a moment later.
    let mut region = kept(&client);
    for _ in 0..50 {
        if !region["pages"].is_null() {
            break;
        }
        region = kept(&client);
    }
    check(&region);
    client.finish();
}
