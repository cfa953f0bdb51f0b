// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Guest memory: a table of address ranges, most of them backed by a shared mapping.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::sync::atomic::Ordering;

use vm_memory::{
    AtomicAccess,
    Bytes,
    FileOffset,
    VolatileMemory,
    VolatileSlice, //
};

use crate::fault::Guarded;

/// An access did not reach memory; nothing was read or written, unless it is memory that went away
/// after it was mapped: then a part of the access may have taken place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MemError {
    /// Some byte of the access is in no range, in one that has no memory behind it, or in a part of
    /// one whose file has become too short.
    #[error("no guest memory at {0:#x}")]
    Unmapped(u64),
    /// The range refuses this direction.
    #[error("guest memory at {0:#x} does not allow this access")]
    Denied(u64),
    /// An atomic access that is not naturally aligned.
    #[error("atomic access at {0:#x} is not aligned")]
    Misaligned(u64),
}

/// A range cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// It has no bytes or goes beyond the end of the address space.
    #[error("DMA range {start:#x} of {len:#x} bytes is empty or wraps around")]
    BadRange {
        /// First address.
        start: u64,
        /// Bytes.
        len: u64,
    },
    /// It covers addresses of a range that is there.
    #[error("DMA range {start:#x} of {len:#x} bytes overlaps one that is mapped")]
    Overlap {
        /// First address.
        start: u64,
        /// Bytes.
        len: u64,
    },
    /// The file ends before the range does.
    #[error("file of {file} bytes is too short for {len:#x} bytes at offset {offset:#x}")]
    ShortFile {
        /// Size of the file.
        file: u64,
        /// Where the range starts in the file.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// The kernel did not map the file.
    #[error("cannot map guest memory: {0}")]
    Map(#[from] io::Error),
}

/// A range cannot be removed, because a mapped one is only partly inside it.
#[derive(Debug, thiserror::Error)]
#[error("DMA range {start:#x} of {len:#x} bytes would cut a mapped range in two")]
pub struct UnmapError {
    /// First address.
    pub start: u64,
    /// Bytes.
    pub len: u64,
}

/// Accesses that the device may make to a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permissions {
    /// The device may read.
    pub read: bool,
    /// The device may write.
    pub write: bool,
}

impl Permissions {
    /// Both directions.
    pub const READ_WRITE: Self = Self {
        read: true,
        write: true,
    };
    /// Reads only.
    pub const READ: Self = Self {
        read: true,
        write: false,
    };

    fn allow(self, wanted: Access) -> bool {
        match wanted {
            Access::Read => self.read,
            Access::Write => self.write,
        }
    }
}

#[derive(Clone, Copy)]
enum Access {
    Read,
    Write,
}

/// One range of bus addresses.
struct Range {
    start: u64,
    /// Last address, so that a range may end with the address space.
    last: u64,
    permissions: Permissions,
    /// The memory, absent when the range came without a file descriptor. Dropping it unmaps.
    region: Option<Guarded>,
}

/// The guest's memory as the device sees it.
///
/// # Invariants
///
/// `ranges` is sorted by `start`, and no two ranges share an address.
#[derive(Default)]
pub struct GuestMemory {
    ranges: Vec<Range>,
    /// Range of the last access: the next one is most likely there, too.
    hit: Cell<usize>,
}

impl GuestMemory {
    /// Memory without any range.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a range of `len` bytes at `start`, whose memory is in `file` from `offset` on.
    ///
    /// Without a file the range is known but cannot be accessed: ROMs and device memory of the
    /// guest are announced that way.
    ///
    /// # Errors
    ///
    /// The range is empty, wraps around, overlaps another, or its file cannot be mapped. Nothing
    /// has changed then.
    pub fn map(
        &mut self,
        start: u64,
        len: u64,
        permissions: Permissions,
        file: Option<(File, u64)>,
    ) -> Result<(), MapError> {
        let last = last_of(start, len).ok_or(MapError::BadRange { start, len })?;
        let at = self.ranges.partition_point(|r| r.last < start);
        if self.ranges.get(at).is_some_and(|r| r.start <= last) {
            return Err(MapError::Overlap { start, len });
        }
        let region = match file {
            Some((file, offset)) if permissions.read || permissions.write => {
                Some(map_file(file, offset, len, permissions)?)
            }
            _ => None,
        };
        // INVARIANT: every range before `at` ends below `start`, those from `at` on begin behind
        // `last`.
        self.ranges.insert(
            at,
            Range {
                start,
                last,
                permissions,
                region,
            },
        );
        Ok(())
    }

    /// Removes every range within `len` bytes from `start`, and unmaps its memory before it
    /// returns.
    ///
    /// # Errors
    ///
    /// A range reaches across either end. Nothing has changed then.
    pub fn unmap(&mut self, start: u64, len: u64) -> Result<(), UnmapError> {
        let last = last_of(start, len).ok_or(UnmapError { start, len })?;
        let from = self.ranges.partition_point(|r| r.last < start);
        let to = self.ranges.partition_point(|r| r.start <= last);
        let cut = |r: &Range| r.start < start || r.last > last;
        if self.ranges[from..to].iter().any(cut) {
            return Err(UnmapError { start, len });
        }
        self.ranges.drain(from..to);
        Ok(())
    }

    /// Removes every range.
    pub fn clear(&mut self) {
        self.ranges.clear();
    }

    /// How many ranges there are.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there is no range.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Copies from guest memory to `buf`.
    ///
    /// # Errors
    ///
    /// Not all of it is readable memory. `buf` is unchanged then, unless memory went away.
    pub fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), MemError> {
        let mut done = 0;
        self.for_each_part(addr, buf.len(), Access::Read, |part| {
            done += part.copy_to(&mut buf[done..]);
        })
    }

    /// Copies `data` to guest memory.
    ///
    /// # Errors
    ///
    /// Not all of it is writable memory. Nothing was written then, unless memory went away.
    pub fn write(&self, addr: u64, data: &[u8]) -> Result<(), MemError> {
        let mut done = 0;
        self.for_each_part(addr, data.len(), Access::Write, |part| {
            let n = part.len();
            part.copy_from(&data[done..done + n]);
            done += n;
        })
    }

    /// Stores a little-endian 64-bit value as one access, after everything written before it.
    ///
    /// # Errors
    ///
    /// It is not aligned, or not in writable memory.
    pub fn store_release_u64(&self, addr: u64, value: u64) -> Result<(), MemError> {
        self.store_release(addr, value.to_le())
    }

    /// Stores a little-endian 32-bit value as one access, after everything written before it.
    ///
    /// # Errors
    ///
    /// It is not aligned, or not in writable memory.
    pub fn store_release_u32(&self, addr: u64, value: u32) -> Result<(), MemError> {
        self.store_release(addr, value.to_le())
    }

    fn store_release<T: AtomicAccess>(&self, addr: u64, value: T) -> Result<(), MemError> {
        let range = self.find(addr, Access::Write)?;
        let slice = range.slice(addr, size_of::<T>())?;
        if slice.len() < size_of::<T>() {
            return Err(MemError::Misaligned(addr));
        }
        slice
            .store(value, 0, Ordering::Release)
            .map_err(|_| MemError::Misaligned(addr))?;
        range.held(addr)
    }

    /// The range that holds `addr` and allows the access.
    fn find(&self, addr: u64, access: Access) -> Result<&Range, MemError> {
        let range = match self.ranges.get(self.hit.get()) {
            Some(range) if range.contains(addr) => range,
            _ => {
                let at = self.ranges.partition_point(|r| r.last < addr);
                self.hit.set(at);
                self.ranges
                    .get(at)
                    .filter(|r| r.contains(addr))
                    .ok_or(MemError::Unmapped(addr))?
            }
        };
        if range.permissions.allow(access) {
            Ok(range)
        } else {
            Err(MemError::Denied(addr))
        }
    }

    /// Calls `f` with each contiguous part of an access, once all parts are known to be there.
    fn for_each_part(
        &self,
        addr: u64,
        len: usize,
        access: Access,
        mut f: impl FnMut(VolatileSlice<'_>),
    ) -> Result<(), MemError> {
        if len == 0 {
            return Ok(());
        }
        let range = self.find(addr, access)?;
        let first = range.slice(addr, len)?;
        if first.len() == len {
            f(first);
            return range.held(addr);
        }
        self.parts(addr, len, access, |_| ())?;
        self.parts(addr, len, access, f)
    }

    fn parts(
        &self,
        addr: u64,
        len: usize,
        access: Access,
        mut f: impl FnMut(VolatileSlice<'_>),
    ) -> Result<(), MemError> {
        let mut done = 0;
        while done < len {
            let at = addr
                .checked_add(done as u64)
                .ok_or(MemError::Unmapped(u64::MAX))?;
            let range = self.find(at, access)?;
            let part = range.slice(at, len - done)?;
            done += part.len();
            f(part);
            range.held(at)?;
        }
        Ok(())
    }
}

impl Range {
    fn contains(&self, addr: u64) -> bool {
        self.start <= addr && addr <= self.last
    }

    /// Whether an access reached memory that is still there; `addr` is its address.
    #[inline]
    fn held(&self, addr: u64) -> Result<(), MemError> {
        match &self.region {
            Some(region) if !region.held() => Err(MemError::Unmapped(addr)),
            _ => Ok(()),
        }
    }

    /// At most `len` bytes from `addr` on, which is in the range: those before the range's end.
    fn slice(&self, addr: u64, len: usize) -> Result<VolatileSlice<'_>, MemError> {
        let region = self.region.as_ref().and_then(Guarded::region);
        let region = region.ok_or(MemError::Unmapped(addr))?;
        // The region has the size of the range, which therefore fits in a usize.
        let offset = (addr - self.start) as usize;
        let len = len.min(region.size() - offset);
        region
            .get_slice(offset, len)
            .map_err(|_| MemError::Unmapped(addr))
    }
}

fn last_of(start: u64, len: u64) -> Option<u64> {
    start.checked_add(len.checked_sub(1)?)
}

fn map_file(
    file: File,
    offset: u64,
    len: u64,
    permissions: Permissions,
) -> Result<Guarded, MapError> {
    let meta = file.metadata()?;
    let too_short = offset.checked_add(len).is_none_or(|end| end > meta.len());
    if meta.is_file() && too_short {
        return Err(MapError::ShortFile {
            file: meta.len(),
            offset,
            len,
        });
    }
    let size = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    // A private or writable mapping of a file that is open for reading only would be refused.
    let prot = match permissions.write {
        true => libc::PROT_READ | libc::PROT_WRITE,
        false => libc::PROT_READ,
    };
    let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
    Guarded::new(FileOffset::new(file, offset), size, prot, flags).map_err(MapError::Map)
}
