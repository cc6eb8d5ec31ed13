// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a trace says of itself before its first line: what it traces, how that is seen, and what it
//! leaves out.

use std::fmt;

use ashmem_agent::agent::endpoint::Address;
use ashmem_trace::event::Source;
use ashmem_trace::glob::Glob;

/// The sentences, without a line's end.
pub(crate) struct Announcement<'a> {
    pub(crate) source: Source,
    /// The agent that is asked where the source is one.
    pub(crate) agent: &'a Address,
    /// The processes, as the user named them; none: all.
    pub(crate) processes: Vec<&'a str>,
    pub(crate) containers: &'a [Glob],
    pub(crate) names: &'a [Glob],
    pub(crate) fail_only: bool,
}

impl fmt::Display for Announcement<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = match self.source {
            Source::Module => "the module's tracepoints",
            Source::Agent => "the agent",
            Source::Syscalls => "the kernel's system call tracepoints",
        };
        let whose = match (self.processes.as_slice(), self.source) {
            ([one], _) => format!("of process {one} and all it starts"),
            ([_, ..], _) => {
                format!("of processes {} and all they start", self.processes.join(", "))
            }
            ([], Source::Agent) => format!("of the containers of the agent at {}", self.agent),
            ([], _) => "of every process on this host".to_owned(),
        };
        let what = match self.source {
            Source::Syscalls => "calls to ashmem and memfds",
            Source::Module | Source::Agent => "calls to ashmem",
        };
        write!(formatter, "tracing {what} {whose}, seen by {seen}; Ctrl-C ends it.")?;
        self.filters(formatter)?;
        self.omissions(formatter)
    }
}

impl Announcement<'_> {
    /// What the user chose to see alone.
    fn filters(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let any = |globs: &[Glob]| {
            let words: Vec<String> =
                globs.iter().map(|glob| format!("`{}`", glob.as_str())).collect();
            words.join(" or ")
        };
        let mut only = Vec::new();
        if self.fail_only {
            only.push("calls that failed".to_owned());
        }
        if !self.containers.is_empty() {
            only.push(format!("containers {}", any(self.containers)));
        }
        if !self.names.is_empty() {
            only.push(format!("regions named {}", any(self.names)));
        }
        if only.is_empty() {
            return Ok(());
        }
        write!(formatter, " It shows only: {}.", only.join("; "))
    }

    /// What the kernel does not record of a whole host.
    fn omissions(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.source != Source::Syscalls || !self.processes.is_empty() {
            return Ok(());
        }
        let opens = if self.fail_only { "" } else { "open, " };
        write!(
            formatter,
            " Of a whole host it leaves out: {opens}close, munmap, private mappings, and what mmap \
             and F_ADD_SEALS returned; --pid or PROGRAM shows them."
        )
    }
}

#[cfg(test)]
mod tests {
    use ashmem_trace::event::Source;
    use ashmem_trace::glob::Glob;

    use super::Announcement;

    fn said(source: Source, processes: &[&str], fail_only: bool, chosen: &[Glob]) -> String {
        let agent = "unix:/run/agent.sock".parse().expect("an address");
        let (processes, containers, names) = (processes.to_vec(), chosen, chosen);
        Announcement { source, agent: &agent, processes, containers, names, fail_only }.to_string()
    }

    #[test]
    fn it_names_what_is_left_out_and_what_was_chosen() {
        let text = said(Source::Syscalls, &[], false, &[]);
        for omission in ["open, close, munmap", "private mappings", "F_ADD_SEALS returned"] {
            assert!(text.contains(omission), "{omission} is not in {text}");
        }
        assert!(!text.contains("only"), "{text}");
        let text = said(Source::Syscalls, &["7"], false, &[]);
        assert!(text.contains("of process 7") && !text.contains("leaves out"), "{text}");
        let chosen: Vec<Glob> = ["web", "db*"].map(|text| text.parse().expect("a pattern")).into();
        let text = said(Source::Module, &[], true, &chosen);
        let only = "It shows only: calls that failed; containers `web` or `db*`; regions named \
                    `web` or `db*`.";
        assert!(text.ends_with(only), "{text}");
        let text = said(Source::Syscalls, &[], true, &[]);
        assert!(text.contains("leaves out: close"), "refused opens are told: {text}");
    }
}
