// SPDX-License-Identifier: MIT OR Apache-2.0
//! A message that people find in their logs, and what it means.

use crate::advice::NextStep;
use crate::subject::Subject;

/// Something that a log tells elsewhere, and that takes a message back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fact {
    /// A list of files shows a node of binder's.
    BinderNode,
    /// The kernel's configuration has binder.
    BinderInKernel,
    /// The kernel's configuration has the binder that is written in Rust.
    RustBinder,
    /// The service manager that was last told of is there, or ended with its session.
    ServiceManager,
    /// Somebody stopped the session or the container.
    SessionStopped,
    /// A module of ours is named.
    OursModule,
    /// Another's module was to be loaded, and none of ours is named.
    OthersModule,
    /// Something of ours is named: a module, a container of Android's.
    Ours,
    /// No line of a longer log names anything of ours.
    NothingOfOurs,
    /// Modules of others are built or installed, and none of ours is named.
    OthersBuild,
    /// A hook of another container than Waydroid's failed.
    OthersHook,
    /// Android's init was asked to end and came to its end; its next start was not told yet.
    AndroidEnded,
}

/// Something that people find in their logs: what a line must be about, and what it must say.
#[derive(Debug)]
pub struct Message {
    /// A name to search for.
    pub id: &'static str,
    /// The line must speak of one of these. None: what it says names its subject by itself.
    pub about: &'static [Subject],
    /// What the line's text must match; upper and lower case are the same. Empty: anything.
    pub says: &'static str,
    /// What takes the match back. Empty: nothing.
    pub unless: &'static str,
    /// The error that the line must name, one of these. None: any, or no error.
    pub errno: &'static [i32],
    /// Where the line must come from, one of these. None: anywhere.
    pub from: &'static [crate::log_source::LogSource],
    /// Beginnings of the names of troubles that this one only follows from: where the log tells one
    /// of them, this is left out. `""` is every trouble that is no such last word itself.
    pub follows: &'static [&'static str],
    /// The same, of troubles whose lines speak of binder: a line about another module is no cause.
    pub follows_binders: &'static [&'static str],
    /// What takes it back wherever the log tells one of these. None: nothing.
    pub taken_back_by: &'static [Fact],
    /// Whether anything is wrong at all.
    pub is_harmless: bool,
    /// What it means.
    pub cause: &'static str,
    /// What to do next. None: there is nothing to do.
    pub next: &'static [NextStep],
}

impl Message {
    /// One that says nothing yet: each message states what differs from it.
    pub const PLAIN: Self = Self {
        id: "",
        about: &[],
        says: "",
        unless: "",
        errno: &[],
        from: &[],
        follows: &[],
        follows_binders: &[],
        taken_back_by: &[],
        is_harmless: false,
        cause: "",
        next: &[],
    };

    /// Whether this is what follows from another trouble, whose lines speak of binder or do not,
    /// and says nothing beside it.
    pub fn follows_from(&self, cause: &Self, is_binders: bool) -> bool {
        let of_binders = if is_binders { self.follows_binders } else { &[] };
        !cause.is_harmless
            && cause.id != self.id
            && !cause.follows.contains(&"")
            && self.follows.iter().chain(of_binders).any(|id| cause.id.starts_with(id))
    }
}
