// SPDX-License-Identifier: GPL-2.0 OR MIT

//! PCI configuration space of the function: a PCI Express endpoint with power management, MSI-X,
//! function-level reset and error reporting.
//!
//! The virtual machine keeps BARs, MSI-X state and parts of the express capability to itself, yet
//! passes every write on. This space is complete on its own, so that any vfio-user client finds a
//! working device.

use reflow_hwdef::regs;

/// Bytes of the configuration space.
pub(crate) const SIZE: usize = 4096;
/// Bytes of BAR 2, which holds the MSI-X table and the pending bits.
pub(crate) const MSIX_BAR_SIZE: usize = 0x2000;

const COMMAND: usize = 0x04;
const COMMAND_MEMORY: u16 = 1 << 1;
const COMMAND_MASTER: u16 = 1 << 2;
const COMMAND_PARITY: u16 = 1 << 6;
const COMMAND_SERR: u16 = 1 << 8;
const COMMAND_INTX_OFF: u16 = 1 << 10;
const STATUS: usize = 0x06;
const STATUS_CAPABILITIES: u16 = 1 << 4;
const REVISION: usize = 0x08;
const CACHE_LINE: usize = 0x0c;
const BAR0: usize = 0x10;
const BAR2: usize = 0x18;
const BAR_MEM64: u32 = 0x4;
const SUBSYSTEM: usize = 0x2c;
const CAPABILITIES: usize = 0x34;
const INTERRUPT_LINE: usize = 0x3c;

/// Power management capability.
const PM: usize = 0x40;
const PM_STATUS: usize = PM + 4;
const PM_STATE: u16 = 0x3;
const PM_NO_SOFT_RESET: u16 = 1 << 3;

/// MSI-X capability.
const MSIX: usize = 0x50;
const MSIX_MASK_ALL: u16 = 1 << 14;
const MSIX_ENABLE: u16 = 1 << 15;
const MSIX_BIR: u32 = 2;
const MSIX_PENDING: u32 = 0x1000;

/// PCI Express capability.
const EXP: usize = 0x60;
const EXP_DEVICE_CAP: usize = EXP + 0x04;
const EXP_DEVICE_CTL: usize = EXP + 0x08;
const EXP_LINK_CAP: usize = EXP + 0x0c;
const EXP_LINK_CTL: usize = EXP + 0x10;
const EXP_LINK_STA: usize = EXP + 0x12;
const EXP_DEVICE_CAP2: usize = EXP + 0x24;
const EXP_DEVICE_CTL2: usize = EXP + 0x28;
const EXP_LINK_CAP2: usize = EXP + 0x2c;
const EXP_LINK_CTL2: usize = EXP + 0x30;
const EXP_CTL_FLR: u16 = 1 << 15;
const EXP_CAP_PAYLOAD_256: u32 = 1;
const EXP_CAP_EXT_TAG: u32 = 1 << 5;
const EXP_CAP_ROLE_BASED: u32 = 1 << 15;
const EXP_CAP_FLR: u32 = 1 << 28;
const EXP_LINK_ASPM_OPTIONAL: u32 = 1 << 22;
const EXP_TIMEOUT_DISABLE: u32 = 1 << 4;
/// A lane count and a rate of the third generation, as a NIC of this speed would have.
const LINK_RATE: u32 = 3;
const LINK_WIDTH: u32 = 4;
const LINK: u32 = LINK_RATE | (LINK_WIDTH << 4);

/// Device serial number, an extended capability.
const SERIAL: usize = 0x100;
const SERIAL_ID: u32 = 0x0001_0003;

/// Advanced error reporting, an extended capability, the last one.
const ERRORS: usize = 0x110;
const ERRORS_ID: u32 = 0x0002_0001;
const ERRORS_MASK: usize = ERRORS + 0x08;
const ERRORS_SEVERITY: usize = ERRORS + 0x0c;
const ERRORS_CORRECTABLE_MASK: usize = ERRORS + 0x14;
/// Uncorrectable errors that an endpoint can report: all but those of switches and root ports.
const ERRORS_ALL: u32 = 0x001f_f010;
/// Those that are fatal by default: protocol errors, overflow, a malformed packet.
const ERRORS_FATAL: u32 = 0x0006_2010;
const ERRORS_CORRECTABLE: u32 = 0x31c1;
/// The advisory ones are masked by default.
const ERRORS_ADVISORY: u32 = 0x2000;

/// Effect of a write to configuration space, beyond the bits that it changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// Function-level reset.
    Reset,
}

/// The configuration space.
pub(crate) struct ConfigSpace {
    bytes: Box<[u8; SIZE]>,
    /// Bits that a write changes.
    writable: Box<[u8; SIZE]>,
    /// The state that [`ConfigSpace::reset`] restores.
    initial: Box<[u8; SIZE]>,
}

impl ConfigSpace {
    /// The configuration space of a function with so many vectors and this station address.
    pub(crate) fn new(vectors: usize, mac: [u8; 6]) -> Self {
        let zero = || Box::new([0; SIZE]);
        let mut space = Self {
            bytes: zero(),
            writable: zero(),
            initial: zero(),
        };
        space.header();
        space.power_management();
        space.msix(vectors);
        space.express();
        space.serial(mac);
        space.errors();
        space.initial = space.bytes.clone();
        space
    }

    /// Reads bytes; those behind the end are zero.
    pub(crate) fn read(&self, offset: usize, data: &mut [u8]) {
        for (at, byte) in (offset..).zip(data) {
            *byte = self.bytes.get(at).copied().unwrap_or(0);
        }
    }

    /// Writes the writable bits of bytes.
    pub(crate) fn write(&mut self, offset: usize, data: &[u8]) -> Effect {
        let state = self.u16(PM_STATUS) & PM_STATE;
        for (at, byte) in (offset..).zip(data) {
            if let (Some(old), Some(mask)) = (self.bytes.get_mut(at), self.writable.get(at)) {
                *old = (*old & !mask) | (byte & mask);
            }
        }
        // Only D0 and D3hot exist; a write of another state is to be ignored.
        if !matches!(self.u16(PM_STATUS) & PM_STATE, 0 | 3) {
            let status = (self.u16(PM_STATUS) & !PM_STATE) | state;
            self.put(PM_STATUS, &status.to_le_bytes());
        }
        // The bit that starts a function-level reset reads as zero.
        let control = self.u16(EXP_DEVICE_CTL);
        if control & EXP_CTL_FLR == 0 {
            return Effect::None;
        }
        self.put(EXP_DEVICE_CTL, &(control & !EXP_CTL_FLR).to_le_bytes());
        Effect::Reset
    }

    /// Puts every register to its initial value.
    pub(crate) fn reset(&mut self) {
        *self.bytes = *self.initial;
    }

    /// Whether the function may access memory and send interrupts.
    pub(crate) fn bus_master(&self) -> bool {
        self.u16(COMMAND) & COMMAND_MASTER != 0 && self.awake()
    }

    /// Whether the function answers to accesses of its BARs.
    pub(crate) fn memory_enabled(&self) -> bool {
        self.u16(COMMAND) & COMMAND_MEMORY != 0 && self.awake()
    }

    fn awake(&self) -> bool {
        self.u16(PM_STATUS) & PM_STATE == 0
    }

    fn header(&mut self) {
        self.put(0, &regs::PCI_VENDOR.to_le_bytes());
        self.put(2, &regs::PCI_DEVICE.to_le_bytes());
        let command =
            COMMAND_MEMORY | COMMAND_MASTER | COMMAND_PARITY | COMMAND_SERR | COMMAND_INTX_OFF;
        self.allow(COMMAND, &command.to_le_bytes());
        self.put(STATUS, &STATUS_CAPABILITIES.to_le_bytes());
        // Revision 1, Ethernet controller.
        self.put(REVISION, &[1, 0x00, 0x00, 0x02]);
        self.allow(CACHE_LINE, &[0xff]);
        for (bar, size) in [(BAR0, regs::BAR_SIZE), (BAR2, MSIX_BAR_SIZE)] {
            self.put(bar, &BAR_MEM64.to_le_bytes());
            self.allow(bar, &(!(size as u64 - 1)).to_le_bytes());
        }
        self.put(SUBSYSTEM, &regs::PCI_VENDOR.to_le_bytes());
        self.put(SUBSYSTEM + 2, &regs::PCI_DEVICE.to_le_bytes());
        self.put(CAPABILITIES, &[PM as u8]);
        self.allow(INTERRUPT_LINE, &[0xff]);
    }

    fn power_management(&mut self) {
        // Version 3 of the interface, D0 and D3hot only, no wake-up.
        self.put(PM, &[0x01, MSIX as u8, 0x03, 0x00]);
        self.put(PM_STATUS, &PM_NO_SOFT_RESET.to_le_bytes());
        self.allow(PM_STATUS, &PM_STATE.to_le_bytes());
    }

    fn msix(&mut self, vectors: usize) {
        self.put(MSIX, &[0x11, EXP as u8]);
        self.put(MSIX + 2, &(vectors as u16 - 1).to_le_bytes());
        self.allow(MSIX + 2, &(MSIX_ENABLE | MSIX_MASK_ALL).to_le_bytes());
        self.put(MSIX + 4, &MSIX_BIR.to_le_bytes());
        self.put(MSIX + 8, &(MSIX_PENDING | MSIX_BIR).to_le_bytes());
    }

    fn express(&mut self) {
        // Version 2 of the capability, endpoint; the last in the list.
        self.put(EXP, &[0x10, 0x00, 0x02, 0x00]);
        let cap = EXP_CAP_PAYLOAD_256 | EXP_CAP_EXT_TAG | EXP_CAP_ROLE_BASED | EXP_CAP_FLR;
        self.put(EXP_DEVICE_CAP, &cap.to_le_bytes());
        // Relaxed ordering and no-snoop allowed, read requests to 512 bytes. No error is ever
        // detected, so the write-one-to-clear bits of the status stay zero.
        self.put(EXP_DEVICE_CTL, &0x2810_u16.to_le_bytes());
        self.allow(EXP_DEVICE_CTL, &0xf9ff_u16.to_le_bytes());
        // There is no link power management.
        self.put(EXP_LINK_CAP, &(LINK | EXP_LINK_ASPM_OPTIONAL).to_le_bytes());
        // Read completion boundary, common clock, extended synch.
        self.allow(EXP_LINK_CTL, &0x00c8_u16.to_le_bytes());
        self.put(EXP_LINK_STA, &(LINK as u16).to_le_bytes());
        // Requesters must allow completion time-outs to be switched off.
        self.put(EXP_DEVICE_CAP2, &EXP_TIMEOUT_DISABLE.to_le_bytes());
        self.allow(EXP_DEVICE_CTL2, &(EXP_TIMEOUT_DISABLE as u16).to_le_bytes());
        // All rates up to the link's own, one bit each from bit 1 on.
        let rates = ((1_u32 << LINK_RATE) - 1) << 1;
        self.put(EXP_LINK_CAP2, &rates.to_le_bytes());
        self.put(EXP_LINK_CTL2, &(LINK_RATE as u16).to_le_bytes());
        self.allow(EXP_LINK_CTL2, &0x000f_u16.to_le_bytes());
    }

    /// The serial number is the station address as an EUI-64.
    fn serial(&mut self, mac: [u8; 6]) {
        let [a, b, c, d, e, f] = mac;
        self.put(SERIAL, &(SERIAL_ID | ((ERRORS as u32) << 20)).to_le_bytes());
        self.put(SERIAL + 4, &[f, e, d, 0xfe, 0xff, c, b, a]);
    }

    /// No error is ever detected, so what is written to clear one changes nothing.
    fn errors(&mut self) {
        self.put(ERRORS, &ERRORS_ID.to_le_bytes());
        self.allow(ERRORS_MASK, &ERRORS_ALL.to_le_bytes());
        self.put(ERRORS_SEVERITY, &ERRORS_FATAL.to_le_bytes());
        self.allow(ERRORS_SEVERITY, &ERRORS_ALL.to_le_bytes());
        self.put(ERRORS_CORRECTABLE_MASK, &ERRORS_ADVISORY.to_le_bytes());
        self.allow(ERRORS_CORRECTABLE_MASK, &ERRORS_CORRECTABLE.to_le_bytes());
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn allow(&mut self, at: usize, mask: &[u8]) {
        self.writable[at..at + mask.len()].copy_from_slice(mask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> ConfigSpace {
        ConfigSpace::new(5, [2, 0, 0, 1, 2, 3])
    }

    fn u32_at(space: &ConfigSpace, at: usize) -> u32 {
        let mut bytes = [0; 4];
        space.read(at, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// Read-only bits survive a write of all ones to the whole space, byte by byte and at once.
    #[test]
    fn only_writable_bits_change() {
        let mut space = space();
        let initial = space.bytes.clone();
        for at in 0..SIZE {
            // The bit that starts a reset would end the walk.
            let all = if at == EXP_DEVICE_CTL + 1 { 0x7f } else { 0xff };
            assert_eq!(space.write(at, &[all]), Effect::None);
        }
        for at in 0..SIZE {
            let changed = space.bytes[at] ^ initial[at];
            assert_eq!(changed & !space.writable[at], 0, "at {at:#x}");
        }
        assert_eq!(u32_at(&space, 0), 0x10f5_1af4);
        space.reset();
        assert_eq!(space.bytes, initial);
    }

    /// A BAR reads its size after a write of all ones.
    #[test]
    fn bars_are_sized() {
        let mut space = space();
        space.write(BAR0, &[0xff; 24]);
        assert_eq!(u32_at(&space, BAR0), 0xffff_0004);
        assert_eq!(u32_at(&space, BAR0 + 4), 0xffff_ffff);
        assert_eq!(u32_at(&space, BAR2), 0xffff_e004);
        assert_eq!(u32_at(&space, BAR2 + 4), 0xffff_ffff);
        assert_eq!(u32_at(&space, BAR2 + 8), 0);
    }

    /// The function does not answer in D3hot, and unsupported power states cannot be entered.
    #[test]
    fn power_states() {
        let mut space = space();
        space.write(COMMAND, &[0x06, 0x00]);
        assert!(space.bus_master() && space.memory_enabled());
        space.write(PM_STATUS, &[0x01]);
        assert!(space.bus_master());
        space.write(PM_STATUS, &[0x03]);
        assert!(!space.bus_master() && !space.memory_enabled());
        space.write(PM_STATUS, &[0x02]);
        assert!(!space.bus_master());
        space.write(PM_STATUS, &[0x00]);
        assert!(space.bus_master() && space.memory_enabled());
    }

    /// Starting a function-level reset is an effect, not a state.
    #[test]
    fn function_level_reset() {
        let mut space = space();
        assert_eq!(space.write(EXP_DEVICE_CTL, &[0x10, 0x28]), Effect::None);
        assert_eq!(space.write(EXP_DEVICE_CTL, &[0x10, 0xa8]), Effect::Reset);
        assert_eq!(space.u16(EXP_DEVICE_CTL), 0x2810);
    }

    /// The extended capabilities are a list that ends, error reporting is in it.
    #[test]
    fn extended_capabilities() {
        let (space, mut found, mut at) = (space(), Vec::new(), SERIAL);
        while at != 0 {
            let head = u32_at(&space, at);
            found.push(head & 0xffff);
            at = (head >> 20) as usize;
        }
        assert_eq!(found, [0x0003, 0x0001]);
        assert_eq!(u32_at(&space, ERRORS_SEVERITY), ERRORS_FATAL);
        assert_eq!(u32_at(&space, ERRORS + 0x04), 0);
    }

    /// Accesses behind the end do nothing.
    #[test]
    fn the_space_ends() {
        let mut space = space();
        assert_eq!(space.write(SIZE - 1, &[0xff; 8]), Effect::None);
        let mut bytes = [0xee; 4];
        space.read(SIZE - 2, &mut bytes);
        assert_eq!(bytes, [0; 4]);
    }
}
