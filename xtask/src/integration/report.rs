// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem report` as a reader sees it: its pages opened in a browser without a window.

use crate::build::static_program;
use crate::util::steps::{Step, StepResult};
use crate::util::{process, workspace};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program with one region that is mapped, one that is held and mapped nowhere, and a name that
/// is HTML.
pub(crate) const WORK: &str = r#"
import fcntl, mmap, os, struct, subprocess, sys
def region(name, size):
    fd = os.open("/dev/ashmem", os.O_RDWR)
    fcntl.ioctl(fd, 0x41007701, name.ljust(256, b"\0"))
    fcntl.ioctl(fd, 0x40087703, size)
    return fd
def fill(fd, size):
    memory = mmap.mmap(fd, size)
    memory.write(b"x" * size)
    return memory
cache = region(b"picture-cache", 1 << 20)
memory = fill(cache, 1 << 20)
leak = region(b"CursorWindow: forgotten", 2 << 20)
fill(leak, 2 << 20).close()
never = region(b"MemoryFile: never mapped", 512 << 10)
evil = region(b"</script><img src=x onerror='document.title=String(6*7)'>", 65536)
kept = fill(evil, 65536)
for number in range(12):
    part = region(b"dalvik-part %d" % number, 4096 * (number + 1))
    kept = [kept, fill(part, 4096 * (number + 1))]
fcntl.ioctl(cache, 0x40087708, struct.pack("II", 0, 524288))
fcntl.ioctl(cache, 0x770a)
fcntl.ioctl(cache, 0x40087707, struct.pack("II", 0, 524288))
try: fcntl.ioctl(cache, 0x40087703, 4096)
except OSError: pass
sys.exit(subprocess.call(sys.argv[1:]) if sys.argv[1:] else 0)
"#;

/// The pages are made of what [`WORK`] does, and looked at.
pub(crate) fn step() -> Step {
    Step::new("ashmem report in a browser", || {
        let folder = workspace::cache("report")?;
        let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
        let work = folder.join("work.py");
        std::fs::write(&work, WORK).with_context(|| format!("writing {}", work.display()))?;
        let (moment, past, trace) =
            (folder.join("moment.html"), folder.join("trace.html"), folder.join("trace.json"));
        let mut run = Command::new(&ashmem);
        run.args(["run", "--", "python3"])
            .arg(&work)
            .arg(&ashmem)
            .args(["report", "--for", "1", "-o"])
            .arg(&moment);
        process::capture(&mut run)?;
        let mut tracing = Command::new(&ashmem);
        process::capture(
            tracing.args(["trace", "--json", "-o"]).arg(&trace).args(["--", "python3"]).arg(&work),
        )?;
        process::capture(
            Command::new(&ashmem).args(["report", "--trace"]).arg(&trace).arg("-o").arg(&past),
        )?;
        let browser = Browser { folder: folder.clone() };
        let seen = browser.open(&moment, "")?;
        in_this_order(
            &seen,
            &["id=\"leaks\"", "<td>CursorWindow: forgotten", "id=\"regions\"", "<td>picture-cache"],
        )?;
        ensure!(
            !seen.contains("<img") && seen.contains("<title>Shared memory"),
            "a region's name did something:\n{seen}"
        );
        // Regions by their sizes, largest first, then smallest first; then by name.
        let sizes = browser.open(&moment, "#sort=regions:4")?;
        in_this_order(
            regions(&sizes)?,
            &["aria-sort=\"descending\"", "forgotten", "picture-cache", "dalvik-part 3"],
        )?;
        let names = browser.open(&moment, "#sort=regions:1")?;
        in_this_order(
            regions(&names)?,
            &["aria-sort=\"ascending\"", "<td>dalvik-part 1<", "<td>picture-cache<"],
        )?;
        let played = browser.open(&past, "")?;
        in_this_order(&played, &["MemoryFile: never mapped", "PURGE_ALL_CACHES"])?;
        in_this_order(&played, &["purged: ", "id=\"failures\"", "EINVAL"])?;
        for page in [&moment, &past] {
            browser.picture(page)?;
            browser.print(page)?;
        }
        Ok(StepResult::Passed(format!("pages, pictures and prints are in {}", folder.display())))
    })
}

fn regions(page: &str) -> Result<&str> {
    let begin = page.find("<table id=\"regions\"").context("the page has no table of regions")?;
    Ok(&page[begin..])
}

fn in_this_order(page: &str, wanted: &[&str]) -> Result<()> {
    let mut rest = page;
    for text in wanted {
        let place = rest
            .find(text)
            .with_context(|| format!("{text:?} is missing, or stands too early, in:\n{page}"))?;
        rest = &rest[place + text.len()..];
    }
    Ok(())
}

/// Debian's Chromium without a window and without any network.
struct Browser {
    folder: PathBuf,
}

impl Browser {
    /// The page as it stands when its script has run.
    fn open(&self, page: &Path, fragment: &str) -> Result<String> {
        let mut browser = self.browser();
        browser
            .args(["--virtual-time-budget=2000", "--dump-dom"])
            .arg(format!("file://{}{fragment}", page.display()));
        let seen = process::capture(&mut browser)?;
        ensure!(
            seen.contains("</html>"),
            "the browser shows no page of {}:\n{seen}",
            page.display()
        );
        Ok(seen)
    }

    fn picture(&self, page: &Path) -> Result<()> {
        let picture = page.with_extension("png");
        let mut browser = self.browser();
        browser.args(["--window-size=1280,1700", "--hide-scrollbars"]);
        browser
            .arg(format!("--screenshot={}", picture.display()))
            .arg(format!("file://{}", page.display()));
        process::capture(&mut browser)?;
        is_made(&picture, b"\x89PNG")
    }

    fn print(&self, page: &Path) -> Result<()> {
        let print = page.with_extension("pdf");
        let mut browser = self.browser();
        browser.arg("--no-pdf-header-footer").arg(format!("--print-to-pdf={}", print.display()));
        process::capture(browser.arg(format!("file://{}", page.display())))?;
        is_made(&print, b"%PDF")
    }

    fn browser(&self) -> Command {
        let mut browser = Command::new("/usr/bin/chromium-headless-shell");
        browser.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ]);
        browser.args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ]);
        browser.arg(format!("--user-data-dir={}", self.folder.join("profile").display()));
        browser
    }
}

fn is_made(path: &Path, begin: &[u8]) -> Result<()> {
    let bytes =
        std::fs::read(path).with_context(|| format!("the browser left no {}", path.display()))?;
    ensure!(
        bytes.starts_with(begin) && bytes.len() > 5000,
        "{} is no picture of a page",
        path.display()
    );
    Ok(())
}
