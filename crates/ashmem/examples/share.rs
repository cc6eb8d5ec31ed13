// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hands a region to another process, which may read it and no more: this program starts itself
//! again as the reader.
//!
//! `cargo run -p ashmem --example share`

use ashmem::{Protection, Region};
use std::error::Error;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("reader") {
        return reader();
    }
    let (ours, theirs) = UnixStream::pair()?;
    let mut child = Command::new(std::env::current_exe()?)
        .arg("reader")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()?;

    let region = Region::create(c"share", 65536)?;
    region.map(Protection::READ | Protection::WRITE)?.write_at(0, b"hello");
    region.set_protection(Protection::READ)?;
    region.send(&ours)?;

    if child.wait()?.success() { Ok(()) } else { Err("the reader failed".into()) }
}

fn reader() -> Result<(), Box<dyn Error>> {
    // SAFETY: standard input is the socket that `main` put there, and nothing else here uses it.
    let socket = unsafe { OwnedFd::from_raw_fd(0) };
    let region = Region::receive(&socket)?;
    if region.map(Protection::READ | Protection::WRITE).is_ok() {
        return Err("the reader could map the region to write".into());
    }
    let mut text = [0; 5];
    region.map(Protection::READ)?.read_at(0, &mut text);
    println!("the reader got {} bytes: {}", region.size(), String::from_utf8_lossy(&text));
    Ok(())
}
