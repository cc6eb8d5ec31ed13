// SPDX-License-Identifier: MIT OR Apache-2.0
//! A cache whose memory the kernel may take back while nobody uses it.
//!
//! `cargo run -p ashmem --example cache`

use ashmem::{Mapping, Protection, Purge, Region};

const SIZE: usize = 1 << 20;

fn main() -> ashmem::Result<()> {
    let region = Region::create(c"cache", SIZE)?;
    let memory = region.map(Protection::READ | Protection::WRITE)?;
    fill(&memory);

    // Nobody needs it for now.
    region.unpin(..)?;

    // Somebody does again, for as long as the guard lives.
    let pin = region.pin(..)?;
    if pin.purge() == Purge::Purged {
        fill(&memory);
    }
    let mut bytes = vec![0; SIZE];
    memory.read_at(0, &mut bytes);
    assert!(bytes.iter().all(|byte| *byte == 42), "the cache lost something without a word");
    println!(
        "{SIZE} bytes, {}",
        if pin.purge() == Purge::Purged { "made again" } else { "still there" }
    );
    Ok(())
}

fn fill(memory: &Mapping) {
    memory.write_at(0, &[42; SIZE]);
}
