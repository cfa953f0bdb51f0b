// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A host made of a vector of bytes.

use reflow_device::{Host, MemError};
use std::cell::{Cell, RefCell};

/// Bus address of the first byte of memory.
pub const BASE: u64 = 0x1_0000_0000;

/// Memory, interrupts and a wire.
#[derive(Debug)]
pub struct FakeHost {
    ram: RefCell<Vec<u8>>,
    /// Next free byte of memory.
    brk: Cell<usize>,
    /// Vectors raised.
    pub interrupts: Vec<u16>,
    /// Frames sent.
    pub wire: Vec<Vec<u8>>,
    /// Frames that the wire still takes.
    pub room: usize,
}

impl FakeHost {
    pub fn new(bytes: usize) -> Self {
        Self {
            ram: RefCell::new(vec![0; bytes]),
            brk: Cell::new(0),
            interrupts: Vec::new(),
            wire: Vec::new(),
            room: usize::MAX,
        }
    }

    /// Takes memory, aligned to its own size's power of two up to a page.
    pub fn alloc(&self, bytes: usize) -> u64 {
        let align = bytes.next_power_of_two().min(4096);
        let at = self.brk.get().next_multiple_of(align);
        assert!(
            at + bytes <= self.ram.borrow().len(),
            "the test's memory is used up"
        );
        self.brk.set(at + bytes);
        BASE + at as u64
    }

    pub fn get(&self, addr: u64, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        self.read(addr, &mut out).unwrap();
        out
    }

    pub fn get_u64(&self, addr: u64) -> u64 {
        u64::from_le_bytes(self.get(addr, 8).try_into().unwrap())
    }

    pub fn put(&self, addr: u64, bytes: &[u8]) {
        self.write(addr, bytes).unwrap();
    }

    pub fn put_words(&self, addr: u64, words: &[u64]) {
        for (i, word) in words.iter().enumerate() {
            self.put(addr + i as u64 * 8, &word.to_le_bytes());
        }
    }

    fn range(&self, addr: u64, len: usize) -> Result<std::ops::Range<usize>, MemError> {
        let error = MemError { addr, len };
        let at = usize::try_from(addr.checked_sub(BASE).ok_or(error)?).map_err(|_| error)?;
        let end = at.checked_add(len).ok_or(error)?;
        if end > self.ram.borrow().len() {
            return Err(error);
        }
        Ok(at..end)
    }
}

impl Host for FakeHost {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), MemError> {
        let range = self.range(addr, buf.len())?;
        buf.copy_from_slice(&self.ram.borrow()[range]);
        Ok(())
    }

    fn write(&self, addr: u64, data: &[u8]) -> Result<(), MemError> {
        let range = self.range(addr, data.len())?;
        self.ram.borrow_mut()[range].copy_from_slice(data);
        Ok(())
    }

    fn store_release_u64(&self, addr: u64, value: u64) -> Result<(), MemError> {
        if addr % 8 != 0 {
            return Err(MemError { addr, len: 8 });
        }
        self.write(addr, &value.to_le_bytes())
    }

    fn store_release_u32(&self, addr: u64, value: u32) -> Result<(), MemError> {
        if addr % 4 != 0 {
            return Err(MemError { addr, len: 4 });
        }
        self.write(addr, &value.to_le_bytes())
    }

    fn interrupt(&mut self, vector: u16) {
        self.interrupts.push(vector);
    }

    fn wire_ready(&self) -> bool {
        self.room > 0
    }

    fn send(&mut self, frame: &[u8]) {
        assert!(
            self.room > 0,
            "the device sent to a wire that was not ready"
        );
        self.room -= 1;
        self.wire.push(frame.to_vec());
    }
}
