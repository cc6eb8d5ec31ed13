// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which system calls the kernel is asked to record, and what of them.

use std::collections::HashMap;

use ashmem_core::abi;

use crate::tracefs::Error;
use crate::tracefs::format::RecordField;
use crate::tracefs::instance::Instance;

/// A call that concerns regions.
pub(super) struct CallSpec {
    name: &'static str,
    call: TracedCall,
    fields: &'static [&'static str],
    /// What the kernel is to leave out at its beginning.
    filter: Option<&'static str>,
    /// What of it is recorded of the whole host.
    of_host: OfHost,
}

/// What is recorded of a call where no process is followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OfHost {
    /// All of it.
    Whole,
    /// The beginning alone, by this filter: the result is not seen.
    Begin(&'static str),
    /// All of it where failures alone are asked for, by this filter of the beginning.
    Failures(&'static str),
    /// Nothing.
    Nothing,
}

/// The calls that concern regions.
pub(super) const CALLS: &[CallSpec] = &[
    CallSpec {
        name: "openat",
        call: TracedCall::Open,
        fields: &["flags", "filename"],
        filter: Some("flags & 2"),
        // Since Linux 5.17 the kernel reads what the call points to.
        of_host: OfHost::Failures("filename.ustring ~ \"/dev/ashmem*\""),
    },
    CallSpec {
        name: "memfd_create",
        call: TracedCall::MemfdCreate,
        fields: &["uname"],
        filter: None,
        of_host: OfHost::Whole,
    },
    CallSpec {
        name: "ftruncate",
        call: TracedCall::Ftruncate,
        fields: &["fd", "length"],
        filter: None,
        of_host: OfHost::Whole,
    },
    CallSpec {
        name: "mmap",
        call: TracedCall::Mmap,
        fields: &["addr", "len", "prot", "flags", "fd", "off"],
        filter: Some("fd < 2147483648"),
        // Shared mappings of files: libraries are mapped as private.
        of_host: OfHost::Begin("fd < 2147483648 && flags & 1"),
    },
    CallSpec {
        name: "munmap",
        call: TracedCall::Munmap,
        fields: &["addr", "len"],
        filter: None,
        of_host: OfHost::Nothing,
    },
    CallSpec {
        name: "ioctl",
        call: TracedCall::Ioctl,
        fields: &["fd", "cmd", "arg"],
        // The device's own numbers: see `ioctls`.
        filter: None,
        of_host: OfHost::Whole,
    },
    CallSpec {
        name: "fcntl",
        call: TracedCall::AddSeals,
        fields: &["fd", "arg"],
        filter: Some(ADD_SEALS),
        of_host: OfHost::Begin(ADD_SEALS),
    },
    CallSpec {
        name: "close",
        call: TracedCall::Close,
        fields: &["fd"],
        filter: None,
        of_host: OfHost::Nothing,
    },
];

/// `F_ADD_SEALS`.
const ADD_SEALS: &str = "cmd == 1033";

/// Whose calls are recorded.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// Of these threads and all that they start: every call that concerns regions, with its result.
    Threads(&'a [i32]),
    /// Of all processes: ashmem's requests, memfd_create, ftruncate, the beginnings of shared
    /// mappings and of seals; neither munmap nor close.
    Host {
        /// Opens of the device too, which cost a little of every open on the host: a failed one
        /// leaves no other mark.
        fail_only: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TracedCall {
    Open,
    MemfdCreate,
    Ftruncate,
    Mmap,
    Munmap,
    Ioctl,
    AddSeals,
    Close,
}

/// What a record is.
pub(super) enum SyscallForm {
    Enter(TracedCall, [RecordField; 6]),
    /// The beginning of a call whose end is not recorded.
    Begin(TracedCall, [RecordField; 6]),
    Exit(TracedCall, RecordField),
    Forked {
        child: RecordField,
        command: RecordField,
        flags: RecordField,
    },
    Renamed {
        command: RecordField,
    },
    Ended,
}

/// Has a call recorded as far as the scope wants it.
pub(super) fn enable(
    instance: &Instance,
    spec: &CallSpec,
    scope: Scope<'_>,
    forms: &mut HashMap<u16, SyscallForm>,
) -> Result<(), Error> {
    let of_device = ioctls();
    let (mut filter, mut is_whole) = (spec.filter, true);
    match (scope, spec.of_host) {
        (Scope::Threads(_), _) | (Scope::Host { .. }, OfHost::Whole) => {}
        (Scope::Host { .. }, OfHost::Begin(only)) => (filter, is_whole) = (Some(only), false),
        (Scope::Host { fail_only: true }, OfHost::Failures(only)) => filter = Some(only),
        (Scope::Host { .. }, OfHost::Failures(_) | OfHost::Nothing) => return Ok(()),
    }
    if spec.call == TracedCall::Ioctl {
        // Of all ioctls the kernel itself sorts out those that are not the device's.
        filter = Some(&of_device);
    }
    let name = spec.name;
    let enter = match instance.enable(&format!("syscalls/sys_enter_{name}"), filter) {
        // An older kernel that does not know this filter: what it would let through is left out.
        Err(_) if matches!((scope, spec.of_host), (Scope::Host { .. }, OfHost::Failures(_))) => {
            return Ok(());
        }
        enabled => enabled?,
    };
    let mut places = [enter.field(""); 6];
    places.iter_mut().zip(spec.fields).for_each(|(place, name)| *place = enter.field(name));
    if is_whole {
        forms.insert(enter.id(), SyscallForm::Enter(spec.call, places));
        let exit = instance.enable(&format!("syscalls/sys_exit_{name}"), None)?;
        forms.insert(exit.id(), SyscallForm::Exit(spec.call, exit.field("ret")));
    } else {
        forms.insert(enter.id(), SyscallForm::Begin(spec.call, places));
    }
    Ok(())
}

/// A filter for the device's own numbers.
fn ioctls() -> String {
    let numbers = [
        abi::SET_NAME,
        abi::GET_NAME,
        abi::SET_SIZE,
        abi::GET_SIZE,
        abi::SET_PROT_MASK,
        abi::GET_PROT_MASK,
        abi::PIN,
        abi::UNPIN,
        abi::GET_PIN_STATUS,
        abi::PURGE_ALL_CACHES,
        abi::GET_FILE_ID,
    ];
    numbers.map(|number| format!("cmd == {number}")).join(" || ")
}
