// SPDX-License-Identifier: MIT OR Apache-2.0
//! Debian's Chromium without a window and without any network, driven over its pipe by the DevTools
//! protocol: as a reader it shows a page, clicks, types, prints.

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

const CHROMIUM: &str = "/usr/bin/chromium-headless-shell";
/// How long all pages together may take at most: a browser that hangs is ended then.
const PATIENCE: Duration = Duration::from_secs(300);

/// The browser.
pub(super) struct Browser {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    number: u64,
    /// Ends the watch over the browser when dropped.
    _watch: Sender<()>,
}

/// A page that is shown.
pub(super) struct Tab<'a> {
    browser: &'a mut Browser,
    session: String,
    /// The addresses that it asked for.
    pub(super) asked: Vec<String>,
}

impl Browser {
    /// Starts one, with its own files in this folder.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let profile = format!("--user-data-dir={}", folder.join("profile").display());
        // It reads requests from descriptor 3 and writes answers to 4.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh", CHROMIUM]);
        command.args(["--remote-debugging-pipe", "--headless", "--no-sandbox", "--disable-gpu"]);
        command.args(["--disable-quic", "--no-first-run", "--disable-background-networking"]);
        command.args(["--disable-component-update", "--disable-sync", "--hide-scrollbars"]);
        command.arg(profile).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("starting the browser")?;
        let (Some(requests), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the browser has no pipes");
        };
        let (watch, ended) = mpsc::channel();
        let pid = Pid::from_child(&child);
        thread::spawn(move || {
            if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                // If it has ended meanwhile, the signal has no receiver: it is not yet waited for.
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        let answers = BufReader::new(answers);
        Ok(Self { child, requests, answers, number: 0, _watch: watch })
    }

    /// Shows a page in a window so wide, until its script has run.
    pub(super) fn open(&mut self, page: &Path, fragment: &str, width: u32) -> Result<Tab<'_>> {
        let mut asked = Vec::new();
        let target =
            self.ask(None, "Target.createTarget", json!({"url": "about:blank"}), &mut asked)?;
        let to = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.ask(None, "Target.attachToTarget", to, &mut asked)?;
        let session = attached["sessionId"].as_str().context("no session")?.to_owned();
        let mut tab = Tab { browser: self, session, asked };
        tab.ask("Network.enable", json!({}))?;
        tab.ask("Page.enable", json!({}))?;
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        tab.ask("Emulation.setDeviceMetricsOverride", size)?;
        let address = format!("file://{}{fragment}", page.display());
        let shown = tab.ask("Page.navigate", json!({"url": address}))?;
        ensure!(shown.get("errorText").is_none(), "{address}: {}", shown["errorText"]);
        let ready = tab.evaluate(
            "new Promise((done) => {
               const look = () => {
                 const ready = document.documentElement?.dataset.ready;
                 if (ready) done(ready); else setTimeout(look, 5);
               };
               look();
             })",
        )?;
        ensure!(ready == "yes", "the page's script said {ready}");
        Ok(tab)
    }

    /// Asks for something, and waits for the answer; meanwhile notes which addresses are asked for.
    fn ask(
        &mut self,
        session: Option<&str>,
        method: &str,
        parameters: Value,
        asked: &mut Vec<String>,
    ) -> Result<Value> {
        self.number += 1;
        let mut request = json!({"id": self.number, "method": method, "params": parameters});
        if let Some(session) = session {
            request["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&request)?;
        bytes.push(0);
        self.requests.write_all(&bytes).with_context(|| format!("asking for {method}"))?;
        loop {
            let mut bytes = Vec::new();
            self.answers.read_until(0, &mut bytes).context("reading from the browser")?;
            ensure!(bytes.pop() == Some(0), "the browser has ended, or was too slow, at {method}");
            let answer: Value = serde_json::from_slice(&bytes).context("reading an answer")?;
            if answer["method"] == "Network.requestWillBeSent" {
                asked.extend(answer["params"]["request"]["url"].as_str().map(str::to_owned));
            }
            if answer["id"] == self.number {
                ensure!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
                return Ok(answer["result"].clone());
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Tab<'_> {
    fn ask(&mut self, method: &str, parameters: Value) -> Result<Value> {
        self.browser.ask(Some(&self.session), method, parameters, &mut self.asked)
    }

    /// What an expression of JavaScript comes to in the page.
    pub(super) fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let parameters =
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.ask("Runtime.evaluate", parameters)?;
        ensure!(
            answer.get("exceptionDetails").is_none(),
            "{expression}: {}",
            answer["exceptionDetails"]
        );
        Ok(answer["result"]["value"].clone())
    }

    /// What an expression of JavaScript comes to must be this.
    pub(super) fn expect(&mut self, expression: &str, wanted: &Value) -> Result<()> {
        let found = self.evaluate(expression)?;
        ensure!(found == *wanted, "{expression}\nis {found}, and should be {wanted}");
        Ok(())
    }

    /// The page as it stands.
    pub(super) fn html(&mut self) -> Result<String> {
        let html = self.evaluate("document.documentElement.outerHTML")?;
        html.as_str().map(str::to_owned).context("the page is no text")
    }

    /// As on this medium (`screen`, `print`), for readers who want this scheme (`light`, `dark`).
    pub(super) fn medium(&mut self, medium: &str, scheme: &str) -> Result<()> {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.ask("Emulation.setEmulatedMedia", json!({"media": medium, "features": features}))?;
        Ok(())
    }

    /// Its picture, as high as a screen or as a whole.
    pub(super) fn picture(&mut self, path: &Path) -> Result<()> {
        let height = self.evaluate("Math.min(document.documentElement.scrollHeight, 2400)")?;
        let width = self.evaluate("innerWidth")?;
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
        let parameters = json!({"format": "png", "clip": clip, "captureBeyondViewport": true});
        let picture = self.ask("Page.captureScreenshot", parameters)?;
        save(&picture, path, b"\x89PNG")
    }

    /// What a printer gets.
    pub(super) fn print(&mut self, path: &Path) -> Result<()> {
        let parameters = json!({"printBackground": false, "preferCSSPageSize": true});
        let print = self.ask("Page.printToPDF", parameters)?;
        save(&print, path, b"%PDF")
    }
}

fn save(answer: &Value, path: &Path, begin: &[u8]) -> Result<()> {
    let text = answer["data"].as_str().context("the browser sent no picture")?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).context("reading it")?;
    ensure!(
        bytes.starts_with(begin) && bytes.len() > 5000,
        "{} is no picture of a page",
        path.display()
    );
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}
