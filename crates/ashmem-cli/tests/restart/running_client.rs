// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client that was started: waits until it works, and for its end.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Says to the client how many milliseconds it works.
pub(crate) const CLIENT: &str = "ASHMEM_TEST_CLIENT_MILLISECONDS";

/// A process of ours, which does not outlive a test that fails.
pub(crate) struct Guarded(pub(crate) Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A client and what it says.
pub(crate) struct Client {
    pub(crate) process: Guarded,
    output: BufReader<ChildStdout>,
}

impl Client {
    /// Starts a client that joins by itself.
    pub(crate) fn joined(agent: &Path, time: Duration) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ashmem"));
        command.arg("join").arg("--agent").arg(agent).arg("--");
        command.arg(std::env::current_exe().expect("this program"));
        command
            .args(["--exact", "the_client", "--nocapture"])
            .env(CLIENT, time.as_millis().to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        // SAFETY: between fork and exec there is one system call.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY);
                Ok(())
            });
        }
        Self::ready(command.spawn().expect("the client starts"))
    }

    /// Waits until it works.
    pub(crate) fn ready(mut child: Child) -> Self {
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut client = Self { process: Guarded(child), output };
        let (mut said, mut line) = (String::new(), String::new());
        while line.trim_end() != "ready" {
            said += &line;
            line.clear();
            let got = client.output.read_line(&mut line).expect("a line");
            assert_ne!(got, 0, "the client ended before it was ready: {said}");
        }
        client
    }

    /// Waits for its end; it must come, and be a good one. How many rounds it made.
    pub(crate) fn finish(mut self) -> u64 {
        let late = Instant::now() + Duration::from_secs(60);
        while self.process.0.try_wait().expect("our child").is_none() {
            assert!(Instant::now() < late, "the client hangs in a call that nobody answers");
            thread::sleep(Duration::from_millis(10));
        }
        let mut text = String::new();
        self.output.read_to_string(&mut text).expect("its output");
        assert!(self.process.0.wait().expect("our child").success(), "{text}");
        let rounds = text.lines().find_map(|line| line.strip_suffix(" rounds")?.parse().ok());
        rounds.expect("how many rounds it made")
    }
}
