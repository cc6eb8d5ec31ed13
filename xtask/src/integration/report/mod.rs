// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem report` as a reader sees it: its pages opened in a browser without a window.

mod browser;

use crate::build::static_program;
use crate::util::steps::{Step, StepResult};
use crate::util::{process, workspace};
use anyhow::{Context, Result, ensure};
use browser::{Browser, Tab};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

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

/// A hundred processes with a thousand memfds each, a tenth of which nobody maps, and a command
/// that runs beside them.
const CROWD: &str = r#"
import mmap, os, resource, signal, subprocess, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
names = ["gralloc-%d", "CursorWindow: /data/user/0/app%d.db", "dalvik-part %d", "MemoryFile/%d"]
ready, told = os.pipe()
children = []
for process in range(100):
    child = os.fork()
    if child == 0:
        kept = []
        for number in range(1000):
            fd = os.memfd_create(names[number % 4] % (process * 1000 + number))
            os.ftruncate(fd, 4096 * (1 + number % 8))
            kept.append(fd if number % 10 == 0 else (fd, mmap.mmap(fd, 4096)))
        os.write(told, b".")
        signal.pause()
    children.append(child)
for child in children:
    os.read(ready, 1)
status = subprocess.call(sys.argv[1:])
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
sys.exit(status)
"#;

/// The pages are made of what [`WORK`] and [`CROWD`] do, and looked at.
pub(crate) fn step() -> Step {
    Step::new("ashmem report in a browser", || {
        let folder = workspace::cache("report")?;
        let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
        let work = folder.join("work.py");
        std::fs::write(&work, WORK).with_context(|| format!("writing {}", work.display()))?;
        let (moment, past, trace) =
            (folder.join("moment.html"), folder.join("trace.html"), folder.join("trace.json"));
        let mut run = Command::new(&ashmem);
        // Its own regions alone: others' are not this step's to know.
        let look = "set -e; \"$0\" report --pid $PPID --for 1 -o \"$1\"
            top() { \"$0\" top --pid $PPID --size 118x26 --snapshot=svg --keys $1 > \"$2\"; }
            top 1 \"$2\"; top 3 \"$3\"";
        let (top, processes) = (folder.join("top.svg"), folder.join("top-processes.svg"));
        run.args(["run", "--", "python3"]).arg(&work).args(["sh", "-c", look]);
        run.arg(&ashmem).arg(&moment).arg(&top).arg(&processes);
        process::capture(&mut run)?;
        for (picture, word) in [(top, "CursorWindow: forgotten"), (processes, "python3")] {
            let drawn = std::fs::read_to_string(&picture).context("the picture is not there")?;
            ensure!(drawn.contains(word), "{word} is not in {}", picture.display());
        }
        let mut tracing = Command::new(&ashmem);
        process::capture(
            tracing.args(["trace", "--json", "-o"]).arg(&trace).args(["--", "python3"]).arg(&work),
        )?;
        process::capture(
            Command::new(&ashmem).args(["report", "--trace"]).arg(&trace).arg("-o").arg(&past),
        )?;
        let mut browser = Browser::start(&folder)?;
        reads(&mut browser, &moment)?;
        sorts_and_searches(&mut browser, &moment)?;
        folds(&mut browser, &moment)?;
        fits_a_narrow_window(&mut browser, &moment)?;
        fits_a_narrow_window(&mut browser, &past)?;
        suits_paper_and_the_dark(&mut browser, &moment)?;
        let played = browser.open(&past, "", 1280)?.html()?;
        in_this_order(&played, &["Growth by name", "MemoryFile: never mapped"])?;
        in_this_order(&played, &["MemoryFile: never mapped", "id=\"regions\""])?;
        in_this_order(&played, &["purged: ", "id=\"failures\"", "EINVAL"])?;
        ensure!(played.contains("PURGE_ALL_CACHES"), "an operation is missing");
        for page in [&moment, &past] {
            let mut tab = browser.open(page, "", 1280)?;
            tab.picture(&page.with_extension("png"))?;
            tab.print(&page.with_extension("pdf"))?;
            for (width, name) in [(800, "middle.png"), (400, "narrow.png")] {
                browser.open(page, "", width)?.picture(&page.with_extension(name))?;
            }
        }
        let crowd = crowd(&mut browser, &ashmem, &folder)?;
        Ok(StepResult::Passed(format!(
            "pages, pictures and prints are in {}; {crowd}",
            folder.display()
        )))
    })
}

/// Pictures first, then leaks; no name does anything, and nothing but the page is asked for.
fn reads(browser: &mut Browser, page: &Path) -> Result<()> {
    let mut tab = browser.open(page, "", 1280)?;
    let seen = tab.html()?;
    in_this_order(
        &seen,
        &["<svg", "id=\"leaks\"", ">CursorWindow: forgotten", "id=\"regions\"", ">picture-cache"],
    )?;
    ensure!(
        !seen.contains("<img") && seen.contains("<title>Shared memory"),
        "a region's name did something:\n{seen}"
    );
    ensure!(
        tab.asked.len() == 1 && tab.asked[0].starts_with("file://"),
        "the page asked for {:?}",
        tab.asked
    );
    Ok(())
}

/// The names in a table's first rows, as a list of JavaScript.
const NAMES: &str = "[...document.querySelectorAll('#regions tbody tr')]
    .map((row) => row.cells[0].textContent)";

fn sorts_and_searches(browser: &mut Browser, page: &Path) -> Result<()> {
    // Regions by their sizes, largest first, then smallest first; then by name.
    let mut tab = browser.open(page, "#sort=regions:4", 1280)?;
    let head = "document.querySelectorAll('#regions th')";
    tab.expect(&format!("{head}[3].getAttribute('aria-sort')"), &json!("descending"))?;
    tab.expect(
        &format!("{NAMES}.slice(0, 3)"),
        &json!(["CursorWindow: forgotten", "picture-cache", "MemoryFile: never mapped"]),
    )?;
    tab.evaluate(&format!("{head}[3].querySelector('button').click()"))?;
    tab.expect(&format!("{head}[3].getAttribute('aria-sort')"), &json!("ascending"))?;
    tab.expect(&format!("{NAMES}[0]"), &json!("dalvik-part 0"))?;
    // Numbers in names as numbers: 2 comes before 10.
    tab.evaluate(&format!("{head}[0].querySelector('button').click()"))?;
    let parts: Vec<String> = (0..12).map(|number| format!("dalvik-part {number}")).collect();
    tab.expect(&format!("{NAMES}.filter((name) => name.startsWith('dalvik'))"), &json!(parts))?;
    // As a reader types.
    tab.evaluate(
        "const search = document.querySelector('#regions-section input');
         search.value = 'PART 1'; search.dispatchEvent(new Event('input'))",
    )?;
    let found = ["dalvik-part 1", "dalvik-part 10", "dalvik-part 11"];
    tab.expect(NAMES, &json!(found))?;
    let where_ = "document.querySelector('#regions-section .where').textContent";
    tab.expect(where_, &json!("1–3 of 3 (16 in all)"))?;
    tab.evaluate("search.value = 'no such name'; search.dispatchEvent(new Event('input'))")?;
    tab.expect(where_, &json!("none (16 in all)"))?;
    let mut tab = browser.open(page, "#search=regions:forgotten", 1280)?;
    tab.expect(NAMES, &json!(["CursorWindow: forgotten"]))
}

fn folds(browser: &mut Browser, page: &Path) -> Result<()> {
    let mut tab = browser.open(page, "", 1280)?;
    let group = "document.querySelector('details[data-name=\"dalvik-\"]')";
    let is_seen = format!("{group}.querySelector('td').checkVisibility()");
    tab.expect(&is_seen, &json!(false))?;
    tab.expect(&format!("{group}.querySelector('summary').checkVisibility()"), &json!(true))?;
    tab.evaluate(&format!("{group}.querySelector('summary').click()"))?;
    tab.expect(&is_seen, &json!(true))?;
    tab.evaluate(&format!("{group}.querySelector('.show').click()"))?;
    tab.expect(&format!("{NAMES}.every((name) => name.startsWith('dalvik-'))"), &json!(true))?;
    tab.expect(&format!("{NAMES}.length"), &json!(12))
}

/// Nothing stands beside the window, the last column is to be seen, letters are large enough.
fn fits_a_narrow_window(browser: &mut Browser, page: &Path) -> Result<()> {
    let mut tab = browser.open(page, "", 400)?;
    tab.expect("document.documentElement.scrollWidth <= 400", &json!(true))?;
    tab.expect(
        "[...document.querySelectorAll('tbody td')].filter((cell) => cell.checkVisibility())
           .every((cell) => cell.getBoundingClientRect().right <= 400
             && cell.scrollWidth <= cell.clientWidth + 1)",
        &json!(true),
    )?;
    tab.expect(
        "[...document.querySelectorAll('svg.on-narrow')]
           .every((one) => one.clientWidth / one.viewBox.baseVal.width * 12 >= 10)",
        &json!(true),
    )?;
    tab.expect(
        "[...document.querySelectorAll('svg.on-wide')].some((one) => one.checkVisibility())",
        &json!(false),
    )
}

/// What is read differs enough from its ground, on paper, in light and in the dark.
fn suits_paper_and_the_dark(browser: &mut Browser, page: &Path) -> Result<()> {
    /// The contrast between text and ground, as the WCAG reckon it.
    const CONTRAST: &str = "
        const light = (colour) => {
          const [r, g, b] = colour.match(/\\d+/g).map((part) => {
            const share = part / 255;
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
          });
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const { color, backgroundColor } = getComputedStyle(document.body);
        const [dark, bright] = [light(color), light(backgroundColor)].sort((a, b) => a - b);
        [(bright + 0.05) / (dark + 0.05) >= 7, light(backgroundColor) > 0.5]";
    let mut tab = browser.open(page, "", 1280)?;
    for (medium, scheme, is_bright) in
        [("screen", "light", true), ("screen", "dark", false), ("print", "dark", true)]
    {
        tab.medium(medium, scheme)?;
        tab.expect(&format!("{{{CONTRAST}}}"), &json!([true, is_bright]))?;
    }
    tab.expect("document.querySelector('.tools').checkVisibility()", &json!(false))
}

/// A page of a hundred thousand regions: how large it is, and how long it takes.
fn crowd(browser: &mut Browser, ashmem: &Path, folder: &Path) -> Result<String> {
    const REGIONS: usize = 100_000;
    let (program, page) = (folder.join("crowd.py"), folder.join("crowd.html"));
    std::fs::write(&program, CROWD).with_context(|| format!("writing {}", program.display()))?;
    let mut command = Command::new("python3");
    command.arg(&program).args(["sh", "-c", "date +%s%N; \"$@\" && date +%s%N", "sh"]);
    let times = process::capture(command.arg(ashmem).args(["report", "-o"]).arg(&page))?;
    let times: Vec<u64> = times.lines().filter_map(|line| line.parse().ok()).collect();
    let [began, ended] = times[..] else { anyhow::bail!("no times: {times:?}") };
    let size = std::fs::metadata(&page).context("the page is not there")?.len();
    ensure!(size < 5_000_000, "the page of {REGIONS} regions has {size} bytes");
    let before = Instant::now();
    let mut tab = browser.open(&page, "#search=regions:gralloc-99", 1280)?;
    let ready = before.elapsed();
    let many = tab.evaluate("document.querySelector('#regions-section .where').textContent")?;
    let many = many.as_str().unwrap_or_default();
    // Those of other programs on this host are there too.
    let all = many.rsplit('(').next().and_then(|rest| rest.split(' ').next()?.parse().ok());
    ensure!(all.is_some_and(|all: usize| all >= REGIONS), "{many} regions are found");
    // 99, 99x, 99xx and 99xxx, of each four numbers one.
    ensure!(many.starts_with("1–100 of 277 "), "{many}");
    tab.evaluate("document.querySelectorAll('#regions-section .tools button')[1].click()")?;
    let next = tab.evaluate("document.querySelector('#regions-section .where').textContent")?;
    ensure!(next.as_str().is_some_and(|text| text.starts_with("101–200 of ")), "{next}");
    Ok(format!(
        "a page of {REGIONS} regions has {:.1} MB, was made in {:.1} s, showed its first picture \
         after {:.2} s and could be searched after {:.2} s",
        size as f64 / 1e6,
        Duration::from_nanos(ended - began).as_secs_f64(),
        first_picture(&mut tab)?,
        ready.as_secs_f64()
    ))
}

/// Seconds until the browser first painted what the page holds.
fn first_picture(tab: &mut Tab<'_>) -> Result<f64> {
    let painted = tab.evaluate(
        "new Promise((done) => new PerformanceObserver((list) => {
           for (const one of list.getEntries())
             if (one.name === 'first-contentful-paint') done(one.startTime);
         }).observe({ type: 'paint', buffered: true }))",
    )?;
    Ok(painted.as_f64().context("nothing was painted")? / 1000.0)
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
