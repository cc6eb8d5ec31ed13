// SPDX-License-Identifier: MIT OR Apache-2.0
//! A listener whose in-flight notifications survive this process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use rustix::io::{Errno, Result};

use crate::journal::in_flight::InFlight;
use crate::notification::{Answer, Channel, Injection, Notification, ReceiveError};
use crate::seccomp::listener::{Listener, notification_in};

/// One of a container's listeners, with the in-flight area of its journal.
pub(crate) struct JournaledListener {
    listener: Listener,
    in_flight: Arc<InFlight>,
    number: u64,
}

impl JournaledListener {
    pub(crate) fn new(listener: Listener, in_flight: Arc<InFlight>, number: u64) -> Self {
        Self { listener, in_flight, number }
    }

    /// Requests that the previous agent left unanswered: those of this listener whose callers still
    /// wait.
    pub(crate) fn left_over(&self) -> Vec<Notification> {
        let from_here =
            self.in_flight.left_over().into_iter().filter(|(from, _)| *from == self.number);
        let (waiting, gone) = from_here
            .map(|(_, room)| notification_in(&room))
            .partition::<Vec<_>, _>(|notification| self.is_waiting(notification.id));
        gone.iter().for_each(|notification| self.in_flight.give_back(self.number, notification.id));
        waiting
    }
}

impl Channel for JournaledListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    fn receive(&self) -> std::result::Result<Option<Notification>, ReceiveError> {
        Ok(self.in_flight.take(self.number, |room| self.listener.receive_into(room))?)
    }

    fn is_waiting(&self, id: u64) -> bool {
        self.listener.is_waiting(id)
    }

    fn inject(&self, id: u64, injection: Injection<'_>) -> Result<RawFd> {
        self.listener.inject(id, injection)
    }

    fn answer(&self, id: u64, answer: Answer) -> Result<()> {
        let answered = self.listener.answer(id, answer);
        self.in_flight.give_back(self.number, id);
        answered
    }

    fn answer_with(&self, id: u64, fd: OwnedFd, close_on_exec: bool) -> Result<Answer> {
        // Never in one step: see `regions::pending_opens`.
        let injection = Injection { fd: fd.as_fd(), at: None, close_on_exec };
        match self.listener.inject(id, injection) {
            Ok(number) => {
                let answer = Answer::Value(number.into());
                self.answer(id, answer).map(|()| answer)
            }
            // The caller of this function answers any other failure.
            Err(error) => {
                if error == Errno::NOENT {
                    self.in_flight.give_back(self.number, id);
                }
                Err(error)
            }
        }
    }
}
