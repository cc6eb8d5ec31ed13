// SPDX-License-Identifier: MIT OR Apache-2.0
//! The builds that a log tells of, one after another: whose module a line of a compiler or of DKMS
//! is about that does not say so itself.
//!
//! A build is a section of the log. It begins with the line that starts it, or with a heading, and
//! ends where the next begins or DKMS says that it is done. A line that names nobody belongs to
//! whom the next path of a module in its section names, or else to whom the section is. One outside
//! all sections is ours, unless the log speaks of others' builds alone.

use std::sync::LazyLock;

use regex::Regex;

use super::explained::Explained;

/// How lines name the module that is built. A folder of the kernel's own sources is none.
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"/var/lib/dkms/([\w.+~-]+)/|make\.log for ([\w.+~-]+?)[-/]\d|",
        r"/usr/src/([A-Za-z][\w+]*)-\d|Setting up ([\w.+-]+?)-dkms |",
        r"\binstances? of (?:module: )?([\w.+-]+)|",
        r"\bM=(/\S+)|\b[Mm]odules? ([\w.+-]+)/\d\S*|Loading new ([\w.+~-]+?)-\d\S* DKMS|",
        r"\bdkms (?:install|build|add|remove)(?: -{1,2}[\w-]+)* ([\w.+-]+)/\w"
    ))
    .expect("the pattern is tested")
});

/// The lines that begin a build.
static BEGINS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"\bDKMS\b.* make\.log for |==> dkms install|\bBuilding (initial )?module|",
        r"\bAutoinstall of module|^Setting up \S+-dkms |",
        r"\bmake\b.* M=\S|\bLoading new \S+ DKMS"
    ))
    .expect("the pattern is tested")
});

/// The lines that end one.
static ENDS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"[Cc]onsult /var/lib/dkms/|\bDKMS: \w+ completed|autoinstall .*(succeeded|failed) for",
    )
    .expect("the pattern is tested")
});

/// Names that the modules have which this project speaks of.
const OURS: [&str; 4] = ["ashmem", "anbox", "binder", "redroid"];

/// What is to be done with lines that named nobody.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Those of our builds.
    pub(super) ours: Vec<Explained>,
    /// How many were of others'.
    pub(super) others: usize,
}

/// The builds of a log that is being read.
#[derive(Debug, Default)]
pub(super) struct Builds {
    /// Whether the section is ours; nothing outside a section, or before it says whose it is.
    is_ours: Option<bool>,
    /// What was found in this section and waits for a name, one for each message.
    waiting: Vec<Explained>,
    /// What was found outside all sections.
    outside: Vec<Explained>,
    /// Whether any line named a build of ours, and of another's.
    saw_ours: bool,
    saw_other: bool,
}

impl Builds {
    /// Reads one more line: what it settles, and whose build it names itself.
    pub(super) fn read(&mut self, line: &str) -> (Settled, Option<bool>) {
        let owner = owner(line);
        match owner {
            Some(true) => self.saw_ours = true,
            Some(false) => self.saw_other = true,
            None => {}
        }
        let mut settled = Settled::default();
        if BEGINS.is_match(line) {
            self.end(&mut settled);
            self.is_ours = owner;
        } else if owner.is_some() {
            self.is_ours = owner;
            self.end(&mut settled);
        }
        if ENDS.is_match(line) {
            self.end(&mut settled);
            self.is_ours = None;
        }
        (settled, owner)
    }

    /// Keeps what was found on a line that names nobody.
    pub(super) fn wait(&mut self, found: Explained) {
        add(&mut self.waiting, found);
    }

    /// What is left at the end of the log.
    pub(super) fn finish(mut self) -> Settled {
        let mut settled = Settled::default();
        self.end(&mut settled);
        if self.saw_other && !self.saw_ours {
            settled.others += count(&self.outside);
        } else {
            settled.ours.append(&mut self.outside);
        }
        settled
    }

    /// What waits goes to whom the section is.
    fn end(&mut self, settled: &mut Settled) {
        match self.is_ours {
            Some(true) => settled.ours.append(&mut self.waiting),
            Some(false) => {
                settled.others += count(&self.waiting);
                self.waiting.clear();
            }
            None => {
                for found in self.waiting.drain(..) {
                    add(&mut self.outside, found);
                }
            }
        }
    }
}

/// Adds what was found, to its like if there is any: there are never more than messages.
fn add(list: &mut Vec<Explained>, found: Explained) {
    match list.iter_mut().find(|other| other.id == found.id) {
        Some(other) => other.count += found.count,
        None => list.push(found),
    }
}

fn count(list: &[Explained]) -> usize {
    list.iter().map(|found| found.count).sum()
}

/// Whether the module that a line names is ours; nothing if it names none.
fn owner(line: &str) -> Option<bool> {
    NAME.captures_iter(line)
        .filter_map(|captures| captures.iter().skip(1).flatten().next().map(|name| name.as_str()))
        .find(|name| !name.starts_with("linux") && *name != "kernels")
        .map(|name| OURS.iter().any(|ours| name.contains(ours)))
}

#[cfg(test)]
mod tests {
    use super::owner;

    #[test]
    fn a_line_names_whose_module_is_built() {
        for (line, whose) in [
            (
                "make -j8 -C /lib/modules/6.8.0/build M=/var/lib/dkms/virtualbox/6.1/build",
                Some(false),
            ),
            ("make -C /usr/src/linux-headers-6.8.0 M=/home/a/redroid-modules/ashmem", Some(true)),
            ("make -C /lib/modules/5.4.0/build V=0 M=$PWD", None),
            ("make[1]: Entering directory '/usr/src/linux-headers-6.8.0-49-generic'", None),
            ("DKMS make.log for asus-wmi-1.0 for kernel 5.19.3-arch1-1 (x86_64)", Some(false)),
            ("DKMS (dkms-3.2.0) make.log for ashmem/1.0 for kernel 6.12 (x86_64)", Some(true)),
            ("DKMS make.log for anbox-modules-binder-6~zesty1 for kernel 6.8", Some(true)),
            ("==> dkms install --no-depmod nvidia/550.120 -k 6.12.4-arch1-1", Some(false)),
            ("Autoinstall of module ashmem/1.0 for kernel 6.12 (x86_64)", Some(true)),
            ("Loading new anbox-ashmem-1 DKMS files...", Some(true)),
            ("gcc: error: unrecognized command-line option '-mabi=x'", None),
        ] {
            assert_eq!(owner(line), whose, "{line}");
        }
    }
}
