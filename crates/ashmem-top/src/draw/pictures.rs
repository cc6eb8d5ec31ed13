// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pictures of the screens, of a phone's regions made up here: kept below `target/ashmem/top`, and
//! the best of them in the documentation.

use std::path::PathBuf;
use std::sync::Arc;

use ashmem_inspect::container::Container;
use ashmem_inspect::process::Process;
use ashmem_inspect::region::{CensusRegion, Holder};
use ashmem_trace::text::Text;

use crate::app::App;
use crate::app::tests::{app, region};
use crate::keys::Keys;
use crate::snapshot::{Size, Snapshot};

/// Those that the documentation shows.
const SHOWN: [&str; 2] = ["groups", "processes"];

fn process(pid: i32, user: u32, command: &str) -> Arc<Process> {
    let id = "waydroid".to_owned();
    let container = Some(Container { runtime: "lxc", id, pod: None });
    let (inner_pid, user, command) = (pid - 4000, Some(user), Text::from(command));
    Arc::new(Process { pid, inner_pid, user, command, container })
}

/// Regions of a phone that has been watched for a while, in which two programs leak.
fn phone() -> App {
    let flinger = process(4311, 1000, "surfaceflinger");
    let server = process(4390, 1000, "system_server");
    let media = process(4702, 10_057, "com.android.providers.media");
    let chat = process(4988, 10_123, "org.example.chat");
    let launcher = process(4655, 10_061, "com.android.launcher3");
    let next = std::cell::Cell::new(100);
    let make = |name: &str, bytes: u64, holders: &[&Arc<Process>], is_mapped: bool| {
        next.set(next.get() + 1);
        let mut one = region(next.get(), name, bytes);
        let held = one.holders.remove(0);
        one.size = Some(bytes);
        one.created = Some(1000.0 - 10.0 * (200.0 - next.get() as f64));
        one.holders = holders.iter().map(|process| of(&held, process, bytes, is_mapped)).collect();
        one
    };
    let before: Vec<CensusRegion> = (0..24)
        .map(|number| make(&format!("gralloc-{number}"), 8 << 20, &[&flinger, &chat], true))
        .chain((0..3).map(|number| {
            make(&format!("gralloc-{number}"), 8 << 20, &[&flinger, &launcher], true)
        }))
        .collect();
    let mut shown = app(before);
    let window = "CursorWindow: /data/user/0/com.android.providers.media/databases/external.db";
    let mut later: Vec<CensusRegion> = (24..31)
        .map(|number| make(&format!("gralloc-{number}"), 8 << 20, &[&flinger, &chat], true))
        .collect();
    later.extend((0..41).map(|_| make(window, 2 << 20, &[&media], false)));
    later.push(make("dalvik-main space (region space)", 96 << 20, &[&server], true));
    let helper = process(5011, 10_123, "decoder");
    later.push(make("frames", 4 << 20, &[&helper, &chat], true));
    later.push(make("MemoryHeapBase 0x7f12c0", 1 << 20, &[&server, &launcher], true));
    (shown.census.seconds, shown.census.taken) = (1090.0, 1090.0);
    shown.census.regions.extend(later);
    shown.take_in();
    shown
}

fn of(held: &Holder, process: &Arc<Process>, bytes: u64, is_mapped: bool) -> Holder {
    let mut holder = Holder { process: process.clone(), ..held.clone() };
    match is_mapped {
        true => holder.share = bytes / 2,
        false => (holder.mappings, holder.share) = (Vec::new(), 0),
    }
    holder
}

#[test]
fn pictures_are_kept_and_the_documentation_has_todays() {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let kept = root.join("target/ashmem/top");
    std::fs::create_dir_all(&kept).expect("a folder");
    for (name, keys) in [
        ("regions", ""),
        ("groups", "2"),
        ("processes", "3"),
        ("columns", "2cj"),
        ("legend", "?"),
        ("group", "2j<enter>"),
    ] {
        let mut app = phone();
        app.theme.in_colour = true;
        for key in keys.parse::<Keys>().expect("keys").0 {
            app.press(key);
        }
        let picture = Snapshot::of(&mut app, Size { width: 118, height: 24 }).svg();
        let path = kept.join(format!("{name}.svg"));
        std::fs::write(&path, &picture).expect("a picture");
        if SHOWN.contains(&name) {
            let shown = root.join(format!("docs/images/top-{name}.svg"));
            let is_todays = std::fs::read_to_string(&shown).is_ok_and(|text| text == picture);
            let (path, shown) = (path.display(), shown.display());
            assert!(is_todays, "the screen looks different: cp {path} {shown}");
        }
    }
}
