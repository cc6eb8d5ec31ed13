// SPDX-License-Identifier: MIT OR Apache-2.0
//! Commands as a person reads them.

use crate::protocol::{self, Transaction};

/// What went to the driver and what came back, in one BINDER_WRITE_READ.
pub(crate) fn exchange(write: &[u8], read: &[u8]) -> String {
    let side = |title: &str, buffer: &[u8]| {
        let commands: Vec<String> =
            protocol::commands(buffer).map(|(number, body)| command(number, body)).collect();
        (!commands.is_empty()).then(|| format!("{title}=[{}]", commands.join(", ")))
    };
    let sides: Vec<String> =
        [side("write", write), side("read", read)].into_iter().flatten().collect();
    format!("{{{}}}", sides.join(", "))
}

fn command(number: u32, body: &[u8]) -> String {
    let name = match number {
        protocol::BC_TRANSACTION => "BC_TRANSACTION",
        protocol::BC_REPLY => "BC_REPLY",
        protocol::BC_FREE_BUFFER => "BC_FREE_BUFFER",
        protocol::BC_ENTER_LOOPER => "BC_ENTER_LOOPER",
        protocol::BR_TRANSACTION => "BR_TRANSACTION",
        protocol::BR_REPLY => "BR_REPLY",
        protocol::BR_NOOP => "BR_NOOP",
        protocol::BR_TRANSACTION_COMPLETE => "BR_TRANSACTION_COMPLETE",
        protocol::BR_DEAD_REPLY => "BR_DEAD_REPLY",
        protocol::BR_FAILED_REPLY => "BR_FAILED_REPLY",
        other => return format!("{other:#x}"),
    };
    match protocol::read::<Transaction>(body) {
        Some(transaction) => {
            let (bytes, objects) = (transaction.data_size, transaction.offsets_size / 8);
            let target = if number == protocol::BC_TRANSACTION { "handle=0, " } else { "" };
            format!("{name} {{{target}data={bytes} bytes, objects={objects}}}")
        }
        None => name.to_owned(),
    }
}
