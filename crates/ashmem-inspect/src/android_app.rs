// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which application of Android a process belongs to, by its user.
//!
//! Android gives each application a user of its own, and calls the processes that it starts for it
//! by the package, or by the package and a word behind a colon. Whatever else runs as that user in
//! the same container (`logcat`, a native helper) is the application's too. All of it is read from
//! processes' names: nothing inside of the container is opened.

use std::collections::{BTreeSet, HashMap};

use ashmem_trace::text::Text;

use crate::container::Container;
use crate::process::Process;

/// Users of one of Android's users (of people) begin at a multiple of this.
const EACH_USER: u32 = 100_000;
/// Applications' users, from the first of one of Android's users on.
const APPLICATIONS: std::ops::Range<u32> = 10_000..20_000;

/// The packages whose processes were seen.
#[derive(Clone, Debug, Default)]
pub struct AndroidApps(HashMap<(Container, u32), BTreeSet<Text>>);

impl AndroidApps {
    /// Those of these processes.
    pub fn of<'a>(processes: impl IntoIterator<Item = &'a Process>) -> Self {
        let mut apps = Self::default();
        for process in processes {
            if let (Some(key), Some(package)) = (key(process), package(&process.command)) {
                apps.0.entry(key).or_default().insert(package);
            }
        }
        apps
    }

    /// The package that a process belongs to, if there is one alone that its user has.
    pub fn app(&self, process: &Process) -> Option<&Text> {
        let packages = self.0.get(&key(process)?)?;
        packages.first().filter(|_| packages.len() == 1)
    }
}

/// Applications that share nothing have another container or another user.
fn key(process: &Process) -> Option<(Container, u32)> {
    let user = process.user.filter(|user| APPLICATIONS.contains(&(user % EACH_USER)))?;
    Some((process.container.clone()?, user))
}

/// The package in a process's name: two words or more between dots, each of letters, digits and
/// underlines, and a letter at its beginning.
fn package(command: &Text) -> Option<Text> {
    let name = command.as_bytes().split(|byte| *byte == b':').next()?;
    let mut words = 0;
    for word in name.split(|byte| *byte == b'.') {
        let is_word = word.first().is_some_and(u8::is_ascii_alphabetic)
            && word.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if !is_word {
            return None;
        }
        words += 1;
    }
    (words > 1).then(|| Text::from(name))
}

#[cfg(test)]
mod tests {
    use super::{AndroidApps, package};
    use crate::container::Container;
    use crate::process::Process;
    use ashmem_trace::text::Text;

    fn process(user: Option<u32>, command: &str, container: Option<&str>) -> Process {
        let container =
            container.map(|id| Container { runtime: "lxc", id: id.to_owned(), pod: None });
        Process { pid: 1, inner_pid: 1, user, command: Text::from(command), container }
    }

    #[test]
    fn what_runs_as_an_applications_user_is_the_applications() {
        let chat = Some(10_123);
        let seen = [
            process(chat, "org.example.chat", Some("w")),
            process(chat, "org.example.chat:push", Some("w")),
            process(Some(10_007), "com.one", Some("w")),
            process(Some(10_007), "com.two", Some("w")),
            process(Some(1000), "com.android.settings", Some("w")),
            process(chat, "host.program", None),
            process(Some(110_123), "org.example.work", Some("w")),
        ];
        let apps = AndroidApps::of(&seen);
        let app = |user, container| {
            let helper = process(user, "logcat", container);
            apps.app(&helper).map(ToString::to_string)
        };
        assert_eq!(app(chat, Some("w")).as_deref(), Some("org.example.chat"));
        assert_eq!(app(Some(110_123), Some("w")).as_deref(), Some("org.example.work"));
        assert_eq!(app(Some(10_007), Some("w")), None, "one user, two packages");
        assert_eq!(app(Some(1000), Some("w")), None, "the system's");
        assert_eq!(
            (app(chat, Some("other")), app(chat, None), app(None, Some("w"))),
            (None, None, None)
        );
    }

    #[test]
    fn packages_are_words_between_dots() {
        for (name, wanted) in [
            ("com.android.systemui", Some("com.android.systemui")),
            ("a.b_2:remote", Some("a.b_2")),
            ("logcat", None),
            ("script.py ", None),
            (".hidden.name", None),
            ("a..b", None),
            ("a.2b", None),
            ("", None),
        ] {
            let found = package(&Text::from(name)).map(|name| name.to_string());
            assert_eq!(found.as_deref(), wanted, "{name:?}");
        }
    }
}
