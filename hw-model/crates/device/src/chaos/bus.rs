// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Faults between the device and its host: of memory accesses, interrupts and registers.

use super::state::State;
use super::{Chaos, Fault};
use crate::host::{Host, MemError};
use std::ops::Range;

/// A transmit index so far ahead is beyond every tail: rings have at most half as many entries.
const BEYOND: u64 = 1 << 14;
/// Transmit indices count modulo this.
const INDICES: u64 = 1 << 15;
/// Most entries of a ring.
const RING_MAX: u64 = 1 << 13;

/// The host behind faults.
pub(crate) struct Hostile<'a, H> {
    host: &'a mut H,
    chaos: Chaos,
    vectors: u64,
    /// Where the statistics block is.
    stats: Range<u64>,
}

impl<'a, H: Host> Hostile<'a, H> {
    /// Adds faults to `host`; `stats` is where the statistics block is.
    pub(crate) fn new(host: &'a mut H, chaos: Chaos, vectors: u64, stats: Range<u64>) -> Self {
        Self {
            host,
            chaos,
            vectors,
            stats,
        }
    }

    fn drops_writes(&self, addr: u64) -> bool {
        let mut state = self.chaos.state();
        state.lasting(Fault::DmaDead)
            || self.stats.contains(&addr) && state.lasting(Fault::StatsFrozen)
    }

    /// Whether the statistics block stops as if its memory had gone.
    fn stops_block(&self, addr: u64) -> bool {
        self.stats.contains(&addr) && self.chaos.state().strike(Fault::StatsStopped).is_some()
    }

    /// The bytes of the statistics block, if they are to be random.
    fn random(&self, addr: u64, len: usize) -> Option<Vec<u8>> {
        if !self.stats.contains(&addr) {
            return None;
        }
        let mut state = self.chaos.state();
        let dice = &mut state.strike(Fault::Stats)?.dice;
        Some((0..len).map(|_| dice.bits() as u8).collect())
    }

    /// How many of the bytes are written.
    fn part(&self, len: usize) -> usize {
        let mut state = self.chaos.state();
        match state.strike(Fault::DmaPartial) {
            Some(injector) => injector.dice.below(len as u64) as usize,
            None => len,
        }
    }
}

impl<H: Host> Host for Hostile<'_, H> {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), MemError> {
        self.host.read(addr, buf)
    }

    fn write(&self, addr: u64, data: &[u8]) -> Result<(), MemError> {
        if self.drops_writes(addr) {
            return Ok(());
        }
        if self.stops_block(addr) {
            let len = data.len();
            return Err(MemError { addr, len });
        }
        match self.random(addr, data.len()) {
            Some(random) => self.host.write(addr, &random),
            None if data.is_empty() || self.stats.contains(&addr) => self.host.write(addr, data),
            None => self.host.write(addr, &data[..self.part(data.len())]),
        }
    }

    fn store_release_u64(&self, addr: u64, value: u64) -> Result<(), MemError> {
        if self.drops_writes(addr) {
            return Ok(());
        }
        self.host.store_release_u64(addr, value)
    }

    /// A transmit write-back: nothing else is a word of 32 bits.
    fn store_release_u32(&self, addr: u64, value: u32) -> Result<(), MemError> {
        let mut state = self.chaos.state();
        if state.lasting(Fault::DmaDead) || state.lasting(Fault::TxStuck) {
            return Ok(());
        }
        let ahead = state.strike(Fault::TxBeyond).map(|injector| {
            let n = RING_MAX + 1 + injector.dice.below(BEYOND - RING_MAX - 1);
            ((u64::from(value) + n) % INDICES) as u32
        });
        drop(state);
        self.host.store_release_u32(addr, ahead.unwrap_or(value))
    }

    fn interrupt(&mut self, vector: u16) {
        let mut state = self.chaos.state();
        if state.strike(Fault::IrqLost).is_some() {
            return;
        }
        let vectors = self.vectors;
        let wrong = |state: &mut State| {
            let injector = state.strike(Fault::IrqVector)?;
            injector.dice.other(vector.into(), vectors)
        };
        let wrong = wrong(&mut state);
        drop(state);
        self.host
            .interrupt(wrong.map_or(vector, |vector| vector as u16));
    }

    fn wire_ready(&self) -> bool {
        self.host.wire_ready()
    }

    fn send(&mut self, frame: &[u8]) {
        self.chaos.state().packets += 1;
        self.host.send(frame);
    }
}
