// SPDX-License-Identifier: GPL-2.0 OR MIT

//! MSI-X as vfio-user sees it: an eventfd for each vector.

use std::fs::File;
use std::io::Write;

/// One vector.
#[derive(Default)]
struct Vector {
    /// Absent while the guest has no handler for the vector.
    eventfd: Option<File>,
    /// Raised and not delivered yet.
    pending: bool,
}

/// The vectors of the function.
pub(crate) struct Interrupts {
    vectors: Vec<Vector>,
    /// Whether the function may send messages: it may not without bus mastering.
    enabled: bool,
}

impl Interrupts {
    /// So many vectors, none with an eventfd.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            vectors: (0..count).map(|_| Vector::default()).collect(),
            enabled: false,
        }
    }

    /// How many vectors there are.
    pub(crate) fn count(&self) -> usize {
        self.vectors.len()
    }

    /// Vectors that have an eventfd.
    pub(crate) fn connected(&self) -> usize {
        self.vectors.iter().filter(|v| v.eventfd.is_some()).count()
    }

    /// Raises a vector. It stays pending while it cannot be delivered. A number of no
    /// vector comes from a register that the driver wrote, and is ignored.
    pub(crate) fn raise(&mut self, vector: usize) {
        if let Some(v) = self.vectors.get_mut(vector) {
            v.pending = true;
            v.deliver(self.enabled);
        }
    }

    /// Gives a vector its eventfd, or takes it away.
    pub(crate) fn connect(&mut self, vector: usize, eventfd: Option<File>) {
        if let Some(v) = self.vectors.get_mut(vector) {
            v.eventfd = eventfd;
            v.deliver(self.enabled);
        }
    }

    /// Takes all eventfds away.
    pub(crate) fn disconnect(&mut self) {
        self.vectors.iter_mut().for_each(|v| v.eventfd = None);
    }

    /// Allows or forbids messages.
    pub(crate) fn enable(&mut self, enabled: bool) {
        self.enabled = enabled;
        self.vectors.iter_mut().for_each(|v| v.deliver(enabled));
    }

    /// Clears all pending vectors.
    pub(crate) fn reset(&mut self) {
        self.vectors.iter_mut().for_each(|v| v.pending = false);
    }
}

impl Vector {
    fn deliver(&mut self, enabled: bool) {
        let Some(eventfd) = self.eventfd.as_mut().filter(|_| enabled && self.pending) else {
            return;
        };
        // A counter that cannot take one more is already readable, which is all that matters.
        if let Err(error) = eventfd.write_all(&1_u64.to_ne_bytes()) {
            log::debug!("interrupt not signalled: {error}");
        }
        self.pending = false;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use rustix::event::{eventfd, EventfdFlags};

    use super::*;

    fn pair() -> (File, File) {
        let fd = File::from(eventfd(0, EventfdFlags::NONBLOCK).unwrap());
        (fd.try_clone().unwrap(), fd)
    }

    fn count(fd: &mut File) -> u64 {
        let mut bytes = [0; 8];
        fd.read_exact(&mut bytes)
            .map_or(0, |()| u64::from_ne_bytes(bytes))
    }

    /// An interrupt raised without an eventfd, or without bus mastering, is delivered later.
    #[test]
    fn pending_until_deliverable() {
        let (theirs, mut ours) = pair();
        let mut irqs = Interrupts::new(2);
        irqs.raise(1);
        irqs.raise(1);
        irqs.connect(1, Some(theirs));
        assert_eq!(count(&mut ours), 0);
        irqs.enable(true);
        assert_eq!(count(&mut ours), 1);
        irqs.raise(1);
        assert_eq!(count(&mut ours), 1);

        irqs.disconnect();
        assert_eq!(irqs.connected(), 0);
        irqs.raise(1);
        assert_eq!(count(&mut ours), 0);
        irqs.connect(1, Some(ours.try_clone().unwrap()));
        assert_eq!(count(&mut ours), 1);
    }

    /// A reset clears pending vectors.
    #[test]
    fn reset_forgets() {
        let (theirs, mut ours) = pair();
        let mut irqs = Interrupts::new(1);
        irqs.enable(true);
        irqs.raise(0);
        irqs.reset();
        irqs.connect(0, Some(theirs));
        assert_eq!(count(&mut ours), 0);
    }

    /// Numbers of no vector are ignored.
    #[test]
    fn no_such_vector() {
        let mut irqs = Interrupts::new(1);
        irqs.raise(1);
        irqs.raise(0xffff);
        irqs.connect(7, None);
        assert_eq!(irqs.connected(), 0);
    }
}
