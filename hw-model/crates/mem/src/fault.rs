// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Mapped files that end before their mapping does.
//!
//! The client owns the file behind guest memory and may shorten it at any time. An access to a page
//! that the file does not have is a bus error then, and so is one for which the host has no memory
//! of the kind that the file is made of. A bus error in a [`Guarded`] mapping is taken: the handler
//! puts empty memory under the whole mapping, so that the access that was stopped goes on in there,
//! and notes that it did. Who made the access asks for the note, puts the file back under the
//! mapping and reports that there is no memory. No code is left in the middle, so nothing is found
//! half done.

use std::cell::Cell;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{compiler_fence, AtomicBool, AtomicUsize, Ordering};
use std::sync::{Once, OnceLock};

use vm_memory::{FileOffset, MmapRegion};

/// A mapping, for the signal handler. Never freed: the handler may run at any time.
struct Entry {
    /// Somebody's mapping is in here.
    taken: AtomicBool,
    start: AtomicUsize,
    /// 0 while the other fields mean nothing.
    len: AtomicUsize,
    /// A bus error was taken, and there is no file under the mapping.
    hit: AtomicBool,
    next: OnceLock<&'static Entry>,
}

static FIRST: OnceLock<&'static Entry> = OnceLock::new();
static INSTALLED: Once = Once::new();
/// The previous handler of bus errors.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

impl Entry {
    fn new() -> &'static Self {
        Box::leak(Box::new(Self {
            taken: AtomicBool::new(false),
            start: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            hit: AtomicBool::new(false),
            next: OnceLock::new(),
        }))
    }

    /// An unused entry.
    fn take() -> &'static Self {
        let mut place = &FIRST;
        loop {
            let entry = place.get_or_init(Self::new);
            if !entry.taken.swap(true, Ordering::Acquire) {
                return entry;
            }
            place = &entry.next;
        }
    }

    /// The entry of the mapping that an address is in. Called by the signal handler: nothing but
    /// atomic loads.
    fn of(address: usize) -> Option<&'static Self> {
        let mut place = &FIRST;
        while let Some(&entry) = place.get() {
            let len = entry.len.load(Ordering::Acquire);
            let start = entry.start.load(Ordering::Relaxed);
            if address.wrapping_sub(start) < len {
                return Some(entry);
            }
            place = &entry.next;
        }
        None
    }
}

/// A mapping of a file in which a bus error is no more than a failed access.
pub(crate) struct Guarded {
    region: MmapRegion,
    entry: &'static Entry,
    /// The file could not be put back under the mapping.
    lost: Cell<bool>,
}

impl Guarded {
    /// Maps `size` bytes of a file.
    pub(crate) fn new(file: FileOffset, size: usize, prot: i32, flags: i32) -> io::Result<Self> {
        INSTALLED.call_once(install);
        let region = MmapRegion::build(Some(file), size, prot, flags)
            .map_err(|e| io::Error::other(e.to_string()))?;
        let entry = Entry::take();
        entry.hit.store(false, Ordering::Relaxed);
        entry
            .start
            .store(region.as_ptr() as usize, Ordering::Relaxed);
        entry.len.store(region.size(), Ordering::Release);
        Ok(Self {
            region,
            entry,
            lost: Cell::new(false),
        })
    }

    /// The mapping, unless its file is lost.
    pub(crate) fn region(&self) -> Option<&MmapRegion> {
        (!self.lost.get()).then_some(&self.region)
    }

    /// Whether accesses since the last call all reached the file.
    #[inline]
    pub(crate) fn held(&self) -> bool {
        // The handler runs in this thread, in the middle of an access.
        compiler_fence(Ordering::SeqCst);
        if !self.entry.hit.load(Ordering::Relaxed) {
            return true;
        }
        self.restore();
        false
    }

    /// Puts the file back under the mapping.
    #[cold]
    fn restore(&self) {
        self.entry.hit.store(false, Ordering::Relaxed);
        let region = &self.region;
        let Some(file) = region.file_offset() else {
            return self.lost.set(true);
        };
        // SAFETY: the addresses are those of `region`, which owns them and is not unmapped before
        // `self` goes. All that refers to the memory there are volatile slices, which borrow the
        // region and expect its bytes to change. Protection, flags and file are those with which
        // the region was made.
        let result = unsafe {
            libc::mmap(
                region.as_ptr().cast(),
                region.size(),
                region.prot(),
                region.flags() | libc::MAP_FIXED,
                file.file().as_raw_fd(),
                file.start() as libc::off_t,
            )
        };
        self.lost.set(result == libc::MAP_FAILED);
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Before the region's own drop gives its addresses to whoever maps next.
        self.entry.len.store(0, Ordering::Release);
        self.entry.taken.store(false, Ordering::Release);
    }
}

/// Installs the handler, once for the process.
fn install() {
    // SAFETY: all zero is a value of this C struct: no flags, an empty mask, the default action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_bus_error as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: all zero is a value of this C struct: no flags, an empty mask, the default action.
    let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: both point to structs of the right type that live throughout the call. The handler
    // takes the three arguments that SA_SIGINFO promises, and does nothing that a signal handler
    // may not: see there.
    let result = unsafe { libc::sigaction(libc::SIGBUS, &raw const action, &raw mut before) };
    if result == 0 {
        let _ = BEFORE.set(before);
    }
}

/// A bus error. In a guarded mapping it gets empty memory; elsewhere it is as fatal as ever.
///
/// Only atomic loads and stores and system calls: a mapping that is found cannot go away meanwhile,
/// as the thread that was stopped is in the middle of an access to it and holds its owner.
extern "C" fn on_bus_error(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes a valid `siginfo_t` to a handler with SA_SIGINFO. Its address
    // field is set for a SIGBUS with a positive code, and read only then.
    let address = unsafe { ((*info).si_code > 0).then(|| (*info).si_addr() as usize) };
    if let Some(entry) = address.and_then(Entry::of) {
        let start = entry.start.load(Ordering::Relaxed);
        // SAFETY: the addresses are those of a mapping that its owner keeps, see above, and that
        // is only accessed through volatile slices. `mmap` is a bare system call.
        let result = unsafe {
            libc::mmap(
                ptr::with_exposed_provenance_mut(start),
                entry.len.load(Ordering::Relaxed),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED,
                -1,
                0,
            )
        };
        if result != libc::MAP_FAILED {
            entry.hit.store(true, Ordering::Relaxed);
            return;
        }
    }
    pass_on(signal, info, context);
}

/// Does what would have been done without us.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
    let before = BEFORE.get();
    if let Some(before) = before.filter(|before| {
        before.sa_flags & libc::SA_SIGINFO != 0
            && before.sa_sigaction != libc::SIG_DFL
            && before.sa_sigaction != libc::SIG_IGN
    }) {
        // SAFETY: with SA_SIGINFO, and being neither of the two constants, this is the address of
        // a function of this type; the code that installed it is responsible for that.
        let handler: Handler = unsafe { std::mem::transmute(before.sa_sigaction) };
        return handler(signal, info, context);
    }
    // SAFETY: changes nothing but the action of this signal. The access is made again when this
    // handler returns, and ends the process.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}
