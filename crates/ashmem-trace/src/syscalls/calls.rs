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
    /// Whether some architectures, or older kernels, lack it.
    may_lack: bool,
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
    /// All of it where failures alone are asked for, by [`DEVICE_PATH`].
    Failures,
    /// Nothing.
    Nothing,
}

/// The calls that concern regions.
pub(super) const CALLS: &[CallSpec] = &[
    CallSpec {
        // arm64 has none.
        name: "open",
        may_lack: true,
        call: TracedCall::Open,
        fields: &["flags", "filename"],
        filter: Some("flags & 2"),
        of_host: OfHost::Failures,
    },
    CallSpec {
        name: "openat",
        may_lack: false,
        call: TracedCall::Open,
        fields: &["flags", "filename"],
        filter: Some("flags & 2"),
        of_host: OfHost::Failures,
    },
    CallSpec {
        // Its flags lie in its caller's memory. Linux 5.6 and newer.
        name: "openat2",
        may_lack: true,
        call: TracedCall::Open,
        fields: &["how", "filename"],
        filter: None,
        of_host: OfHost::Failures,
    },
    CallSpec {
        name: "memfd_create",
        may_lack: false,
        call: TracedCall::MemfdCreate,
        fields: &["uname"],
        filter: None,
        of_host: OfHost::Whole,
    },
    CallSpec {
        name: "ftruncate",
        may_lack: false,
        call: TracedCall::Ftruncate,
        fields: &["fd", "length"],
        filter: None,
        of_host: OfHost::Whole,
    },
    CallSpec {
        name: "mmap",
        may_lack: false,
        call: TracedCall::Mmap,
        fields: &["addr", "len", "prot", "flags", "fd", "off"],
        filter: Some("fd < 2147483648"),
        // Shared mappings of files: libraries are mapped as private.
        of_host: OfHost::Begin("fd < 2147483648 && flags & 1"),
    },
    CallSpec {
        name: "munmap",
        may_lack: false,
        call: TracedCall::Munmap,
        fields: &["addr", "len"],
        filter: None,
        of_host: OfHost::Nothing,
    },
    CallSpec {
        name: "ioctl",
        may_lack: false,
        call: TracedCall::Ioctl,
        fields: &["fd", "cmd", "arg"],
        // The device's own numbers: see `ioctls`.
        filter: None,
        of_host: OfHost::Whole,
    },
    CallSpec {
        name: "fcntl",
        may_lack: false,
        call: TracedCall::AddSeals,
        fields: &["fd", "arg"],
        filter: Some(ADD_SEALS),
        of_host: OfHost::Begin(ADD_SEALS),
    },
    CallSpec {
        name: "close",
        may_lack: false,
        call: TracedCall::Close,
        fields: &["fd"],
        filter: None,
        of_host: OfHost::Nothing,
    },
];

/// Opens of the device by their path, which the kernel reads itself since Linux 5.17, as far as it
/// is in memory. Of an open that failed nothing else is left: its caller may be gone before its
/// memory can be read. See [`is_device`].
const DEVICE_PATH: &str = "filename.ustring ~ \"/dev/ashmem\" || \
    filename.ustring ~ \"/dev/ashmem????????-????-????-????-????????????\"";

/// Whether this is a path of the device: `/dev/ashmem`, or that with the boot's id behind it, which
/// Android opens since its version 10.
pub(super) fn is_device(path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(b"/dev/ashmem") else { return false };
    let is_of_id = |(place, byte): (usize, &u8)| match place {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    rest.is_empty() || (rest.len() == 36 && rest.iter().enumerate().all(is_of_id))
}

/// `F_ADD_SEALS`.
const ADD_SEALS: &str = "cmd == 1033";

/// Whose calls are recorded, and which.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// These threads' and all that they start: every call that concerns regions, with its result.
    /// None: of all processes ashmem's requests, memfd_create, ftruncate, the beginnings of shared
    /// mappings and of seals; neither munmap nor close.
    pub threads: Option<&'a [i32]>,
    /// Failures alone are wanted: opens of the device are told by their paths, of all processes
    /// too. That costs a little of every open.
    pub fail_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TracedCall {
    Open,
    /// An open whose path is known to be the device's.
    DeviceOpen,
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

/// Has a call recorded as far as the scope wants it. Returns false where the kernel cannot sort out
/// opens by their path, and the scope wants that.
pub(super) fn enable(
    instance: &Instance,
    spec: &CallSpec,
    scope: Scope<'_>,
    forms: &mut HashMap<u16, SyscallForm>,
) -> Result<bool, Error> {
    let name = spec.name;
    if spec.may_lack && !instance.has(&format!("syscalls/sys_enter_{name}")) {
        return Ok(true);
    }
    let begin = |filter| instance.enable(&format!("syscalls/sys_enter_{name}"), filter);
    let of_device = ioctls();
    let (mut call, mut is_whole, mut knows_paths) = (spec.call, true, true);
    let enter = match (scope.threads, spec.of_host) {
        // Of all ioctls the kernel itself sorts out those that are not the device's.
        _ if call == TracedCall::Ioctl => begin(Some(&of_device))?,
        (_, OfHost::Failures) if scope.fail_only => match (begin(Some(DEVICE_PATH)), scope.threads)
        {
            (Ok(enter), _) => {
                call = TracedCall::DeviceOpen;
                enter
            }
            // An older kernel, which does not know this filter.
            (Err(_), Some(_)) => {
                knows_paths = false;
                begin(spec.filter)?
            }
            (Err(_), None) => return Ok(false),
        },
        (Some(_), _) | (None, OfHost::Whole) => begin(spec.filter)?,
        (None, OfHost::Begin(only)) => {
            is_whole = false;
            begin(Some(only))?
        }
        (None, OfHost::Failures | OfHost::Nothing) => return Ok(true),
    };
    let mut places = [enter.field(""); 6];
    places.iter_mut().zip(spec.fields).for_each(|(place, name)| *place = enter.field(name));
    if is_whole {
        forms.insert(enter.id(), SyscallForm::Enter(call, places));
        let exit = instance.enable(&format!("syscalls/sys_exit_{name}"), None)?;
        forms.insert(exit.id(), SyscallForm::Exit(call, exit.field("ret")));
    } else {
        forms.insert(enter.id(), SyscallForm::Begin(call, places));
    }
    Ok(knows_paths)
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

#[cfg(test)]
mod tests {
    use super::is_device;

    #[test]
    fn the_device_is_known_by_its_whole_path() {
        let of_boot = b"/dev/ashmem0b3c1a52-9d3e-4a53-8f0c-2f6f5d8a7e11".as_slice();
        for path in [b"/dev/ashmem".as_slice(), of_boot] {
            assert!(is_device(path), "{path:?}");
        }
        let others: [&[u8]; 6] = [
            b"/home/me/dev/ashmem",
            b"/home/me/dev/ashmem-linux/README.md",
            b"/dev/ashmem-linux",
            b"/dev/ashmem/x",
            b"/dev/ashmem0b3c1a52-9d3e-4a53-8f0c-2f6f5d8a7e1/",
            b"",
        ];
        for path in others {
            assert!(!is_device(path), "{path:?}");
        }
    }
}
