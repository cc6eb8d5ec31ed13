// SPDX-License-Identifier: MIT OR Apache-2.0
//! /proc/PID/fdinfo.

use super::run;
use crate::case::{Case, Differs, Env, Provider, Stop, equal, failed};
use ashmem_test_client::map::PAGE;
use ashmem_test_client::region::Region;

/// The lines this project adds behind the original's, by key.
const MORE: [&str; 6] = ["size", "prot_mask", "pinned", "unpinned", "purged", "resident"];

/// A name that would be two lines.
const FORGED: &std::ffi::CStr = c"x\nsize:\t1";

/// Declared where a case compares the lines as a whole.
const MORE_LINES: &[Differs] = &[Differs {
    providers: &[Provider::Module],
    what: "The region's own fdinfo lines are followed by size, prot_mask, pinned, unpinned, purged \
           and resident",
    reason: "people and tools want to see a region's state; readers of the old two lines find them \
             first, as ever",
    check: Some(|env| {
        let region = env.open()?;
        equal("the first lines", first_lines(&region)?, vec![])?;
        region.set_name(c"foo")?;
        equal("the first lines, named", first_lines(&region)?, vec!["name:\tfoo".into()])?;
        region.set_size(PAGE as u64)?;
        let inode = region.share(PAGE)?.line()?.inode;
        let want = vec![format!("inode:\t{inode}"), "name:\tfoo".into()];
        equal("the first lines, mapped", first_lines(&region)?, want)
    }),
}];

/// The same for a case that expects a line.
const MORE_LINES_OR_NONE: &[Differs] = &[MORE_LINES[0], run::FDINFO];

pub(crate) const CASES: &[Case] = &[
    Case::new("fdinfo.fresh", &["FDI-01"], "A fresh region has no fdinfo line of its own", |env| {
        equal("the lines", env.open()?.fdinfo()?, vec![])
    })
    .differs(MORE_LINES),
    Case::new(
        "fdinfo.sized",
        &["FDI-01", "FDI-04"],
        "A sized region that is not mapped has no fdinfo line of its own",
        |env| equal("the lines", env.region(4096)?.fdinfo()?, vec![]),
    )
    .differs(MORE_LINES),
    Case::new(
        "fdinfo.mapped",
        &["FDI-02"],
        "A mapped region has the one line inode:, tab, the backing file's inode number",
        |env| {
            let (region, map) = env.mapped(4096)?;
            equal("the lines", region.fdinfo()?, vec![format!("inode:\t{}", map.line()?.inode)])
        },
    )
    .differs(MORE_LINES_OR_NONE),
    Case::new(
        "fdinfo.named",
        &["FDI-03"],
        "A named region that is not mapped has the one line name:, tab, the name",
        |env| {
            let region = env.open()?;
            region.set_name(c"foo")?;
            equal("the lines", region.fdinfo()?, vec!["name:\tfoo".into()])
        },
    )
    .differs(MORE_LINES_OR_NONE),
    Case::new(
        "fdinfo.inode-then-name",
        &["FDI-02", "FDI-03"],
        "inode: comes first, then name:",
        |env| {
            let region = env.region(4096)?;
            region.set_name(c"both")?;
            let map = region.share(PAGE)?;
            let want = vec![format!("inode:\t{}", map.line()?.inode), "name:\tboth".into()];
            equal("the lines", region.fdinfo()?, want)
        },
    )
    .differs(MORE_LINES_OR_NONE),
    Case::new(
        "fdinfo.name-forges-nothing",
        &["FDI-03"],
        "A newline in the name ends the line, and what follows it stands on a line of its own",
        |env| {
            let region = env.open()?;
            region.set_name(FORGED)?;
            equal("the lines", region.fdinfo()?, vec!["name:\tx".into(), "size:\t1".into()])
        },
    )
    .differs(&[
        Differs {
            providers: &[Provider::Module],
            what: "A newline in the name is shown as \\012, as maps shows it",
            reason: "a name must not pose as lines of the kernel's own, or of the module's",
            check: Some(|env| {
                let region = env.open()?;
                region.set_name(FORGED)?;
                equal(
                    "the first lines",
                    first_lines(&region)?,
                    vec!["name:\tx\\012size:\t1".into()],
                )?;
                equal("the name", region.name()?, FORGED.to_bytes().to_vec())
            }),
        },
        run::FDINFO,
    ]),
    Case::new(
        "fdinfo.inode-stays",
        &["FDI-02"],
        "inode: stays after everything was unmapped",
        |env| {
            let (region, map) = env.mapped(4096)?;
            let inode = map.line()?.inode.to_string();
            drop(map);
            equal("the inode", region.fdinfo_value("inode")?, Some(inode))
        },
    )
    .differs(&[run::FDINFO]),
    Case::new(
        "fdinfo.position",
        &["FDI-01"],
        "The generic line pos: shows the descriptor's position",
        |env| {
            let (region, _map) = env.mapped(4096)?;
            region.seek(77, libc::SEEK_SET)?;
            let path = format!("/proc/self/fdinfo/{}", region.fd());
            let text = std::fs::read_to_string(&path)
                .or_else(|error| failed(format!("{path}: {error}")))?;
            equal("the line", text.lines().next(), Some("pos:\t77"))
        },
    ),
    Case::new(
        "fdinfo.state",
        &["FDI-04"],
        "The original shows neither size nor pin state",
        |env| {
            let (region, _map) = env.mapped(4096)?;
            for key in MORE {
                equal(key, region.fdinfo_value(key)?, None)?;
            }
            Ok(())
        },
    )
    .differs(&[Differs {
        providers: &[Provider::Module],
        what: "fdinfo shows size and mask, and the pages pinned, unpinned, purged and resident, as \
               they change",
        reason: "people and tools want to see a region's state",
        check: Some(state),
    }]),
];

/// The device's own lines without this project's additions, which must all be there, last, and in
/// order.
fn first_lines(region: &Region) -> Result<Vec<String>, Stop> {
    let mut lines = region.fdinfo()?;
    let more = lines.split_off(lines.len().saturating_sub(MORE.len()));
    let keys: Vec<&str> = more.iter().map(|line| line.split(':').next().unwrap_or("")).collect();
    equal("the last six keys", keys, MORE.to_vec())?;
    Ok(lines)
}

fn state(env: &Env) -> crate::case::Verdict {
    const P: u32 = PAGE as u32;
    let show = |region: &Region| -> Result<Vec<String>, Stop> {
        MORE.iter().map(|key| Ok(region.fdinfo_value(key)?.unwrap_or_default())).collect()
    };
    let region = env.open()?;
    equal("fresh", show(&region)?, ["0", "7", "0", "0", "0", "0"].map(String::from).to_vec())?;
    region.set_size(5 * PAGE as u64 - 1)?;
    region.set_mask(3)?;
    let map = region.share(3 * PAGE)?;
    let words = |pinned: u32, unpinned: u32, purged: u32, resident: u32| {
        let mut words = vec!["20479".to_owned(), "3".to_owned()];
        words.extend([pinned, unpinned, purged, resident].map(|pages| pages.to_string()));
        words
    };
    equal("mapped", show(&region)?, words(5, 0, 0, 0))?;
    for page in [0, 1] {
        map.write(page * PAGE, b"x")
            .or_else(|signal| failed(format!("writing page {page}: {signal:?}")))?;
    }
    equal("two pages written", show(&region)?, words(5, 0, 0, 2))?;
    region.unpin(P, 2 * P)?;
    equal("two pages unpinned", show(&region)?, words(3, 2, 0, 2))?;
    env.purge()?;
    equal("two pages purged, one of which had memory", show(&region)?, words(3, 0, 2, 1))?;
    region.unpin(4 * P, P)?;
    equal("one more unpinned", show(&region)?, words(2, 1, 2, 1))?;
    drop(map);
    equal("mapped nowhere", show(&region)?, words(2, 1, 2, 1))?;
    region.pin(0, 0)?;
    equal("all pinned", show(&region)?, words(5, 0, 0, 1))
}
