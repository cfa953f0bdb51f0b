// SPDX-License-Identifier: GPL-2.0

//! The device as a whole: its reset, and all that is configured.
//!
//! The user's configuration is kept in a [`Config`], which is written to the device as a whole
//! whenever something of it changed, and after a reset. So every state is reached by the same code,
//! which runs all the time.

use crate::{
    net::prelude::*,
    regs::{
        self,
        Bar,
        Queue, //
    }, //
};
use kernel::io::{
    poll::read_poll_timeout,
    register::RegisterArray, //
};
use plain::spread::Spread;

/// Value of every register when the device has gone.
const GONE: u32 = u32::MAX;
/// All vectors.
pub(crate) const ALL_VECTORS: u32 = (1 << 25) - 1;
/// Entries of the indirection table, and bytes of the hash key.
pub(crate) const TABLE_LEN: usize = 128;
pub(crate) const KEY_LEN: usize = 40;
/// Longest pause between two interrupts, in microseconds.
pub(crate) const USECS_MAX: u32 = 8000;
/// Nanoseconds of one unit of [`regs::EITR`].
const EITR_NS: u32 = 1024;
/// Number of the PHY, and its control register.
const PHY: (u32, u32) = (1, 0);
/// Value written there: gigabit, full duplex, negotiate, and begin now.
const PHY_NEGOTIATE: u16 = 1 << 6 | 1 << 8 | 1 << 9 | 1 << 12;
/// Kinds of packets that are hashed: TCP over IPv4, IPv4, TCP over IPv6 with extensions, IPv6, TCP
/// over IPv6.
const HASHED: u32 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5;

/// Waits until something is as it ought to be, 20 ms at most. May sleep.
///
/// # Errors
///
/// [`ETIMEDOUT`].
pub(crate) fn settle(is: impl Fn() -> bool) -> Result {
    let (pause, most) = (Delta::from_millis(1), Delta::from_millis(20));
    read_poll_timeout(|| Ok(is()), |is| *is, pause, most).map(drop)
}

/// Whether the device answers.
pub(crate) fn is_present(bar: &Bar<'_>) -> bool {
    bar.read(regs::STATUS).into_raw() != GONE
}

/// Whether the device is as [`Config::write`] left it: a reset by somebody else undoes that.
pub(crate) fn is_configured(bar: &Bar<'_>) -> bool {
    is_present(bar) && bar.read(regs::GPIE).multiple_msix()
}

/// Has the device access no memory and raise no interrupt.
pub(crate) fn quiesce(bar: &Bar<'_>) {
    bar.write_reg(regs::EIMC::from(ALL_VECTORS));
    bar.write_reg(regs::IMC::from(u32::MAX));
    bar.write_reg(regs::RCTL::zeroed());
    bar.write_reg(regs::TCTL::zeroed());
}

/// Resets the device: it accesses no memory any more then, and knows nothing of what it was told.
/// May sleep.
///
/// # Errors
///
/// [`ENODEV`] if there is none any more, [`ETIMEDOUT`] if it does not come back.
pub(crate) fn reset(bar: &Bar<'_>) -> Result {
    quiesce(bar);
    bar.write_reg(bar.read(regs::CTRL).with_rst(true));
    // It is not to be touched for a millisecond, and needs some more to read its EEPROM.
    fsleep(Delta::from_millis(10));
    if !is_present(bar) {
        return Err(ENODEV);
    }
    settle(|| !bar.read(regs::CTRL).rst())?;
    bar.write_reg(regs::EIMC::from(ALL_VECTORS));
    // The PHY begins to look for a partner when it is told to.
    let negotiate = regs::MDIC::zeroed()
        .with_const_op::<1>()
        .with_data(PHY_NEGOTIATE);
    let (phy, reg) = PHY;
    bar.write_reg(negotiate.try_with_phy(phy)?.try_with_reg(reg)?);
    settle(|| bar.read(regs::MDIC).ready())
}

/// The station address that the device has, after a reset the one from the factory.
pub(crate) fn station(bar: &Bar<'_>) -> MacAddr {
    let [a, b, c, d] = bar.read(regs::RAL).into_raw().to_le_bytes();
    let [e, f, ..] = bar.read(regs::RAH).into_raw().to_le_bytes();
    [a, b, c, d, e, f]
}

/// All that is configured.
pub(crate) struct Config {
    /// Station address.
    pub(crate) mac: MacAddr,
    /// Take everything.
    pub(crate) promisc: bool,
    /// Take all multicast.
    pub(crate) allmulti: bool,
    /// Multicast addresses that are taken, as [`crate::desc::multicast_bit`] has them.
    pub(crate) multicast: [u32; 128],
    /// Features that are on.
    pub(crate) features: u64,
    /// Least microseconds between two interrupts of a queue.
    pub(crate) usecs: u32,
    /// How packets are spread over queues.
    pub(crate) spread: Spread<TABLE_LEN, KEY_LEN>,
    /// Longest frame, with its checksum.
    pub(crate) max_frame: u32,
    /// Queues run.
    pub(crate) running: bool,
    /// The vector of events.
    pub(crate) event: u32,
}

impl Config {
    /// Writes all of it to the device.
    ///
    /// # Errors
    ///
    /// A value that a register has no room for.
    pub(crate) fn write(&self, bar: &Bar<'_>) -> Result {
        self.write_interrupts(bar)?;
        self.write_steering(bar)?;
        let has = |feature| self.features & feature != 0;
        let ctrl = bar.read(regs::CTRL).with_slu(true).with_fd(true);
        bar.write_reg(ctrl.with_vme(has(features::VLAN_RX)));
        let sums = has(features::RXCSUM);
        let rxcsum = regs::RXCSUM::zeroed().with_ipofld(sums).with_tuofld(sums);
        bar.write_reg(rxcsum.with_pcsd(true));
        bar.write_reg(regs::RLPML::zeroed().try_with_size(self.max_frame)?);
        let [a, b, c, d, e, f] = self.mac;
        bar.write_reg(regs::RAL::from(u32::from_le_bytes([a, b, c, d])));
        let high = regs::RAH::zeroed().with_addr(u16::from_le_bytes([e, f]));
        bar.write_reg(high.with_av(true));
        write_words::<regs::MTA>(bar, self.multicast.iter().copied())?;
        let tctl = regs::TCTL::zeroed().with_psp(true).with_const_ct::<15>();
        bar.write_reg(tctl.with_en(self.running));
        let rctl = regs::RCTL::zeroed().with_lpe(true).with_bam(true);
        let rctl = rctl.with_secrc(true).with_upe(self.promisc);
        let rctl = rctl.with_mpe(self.promisc || self.allmulti);
        bar.write_reg(rctl.with_rxen(self.running));
        Ok(())
    }

    /// A vector a queue pair, and one for events. An interrupt masks its vector until NAPI is done.
    fn write_interrupts(&self, bar: &Bar<'_>) -> Result {
        let gpie = regs::GPIE::zeroed().with_nsicr(true).with_pba(true);
        bar.write_reg(gpie.with_eiame(true).with_multiple_msix(true));
        bar.write_reg(regs::EIAC::from(ALL_VECTORS));
        bar.write_reg(regs::EIAM::from(ALL_VECTORS));
        let units = self.usecs.min(USECS_MAX) * 1000 / EITR_NS;
        let eitr = regs::EITR::zeroed().with_cnt_ingr(true);
        let eitr = eitr.try_with_interval(units)?;
        for queue in Queue::all() {
            let number = kernel::num::Bounded::from_expr(queue.index() as u32 & 7);
            let ivar = regs::IVAR::zeroed().with_rx(number).with_tx(number);
            let ivar = ivar.with_rx_valid(true).with_tx_valid(true);
            bar.write(regs::IVAR::at(queue.index()), ivar);
            bar.write(regs::EITR::at(queue.index()), eitr);
        }
        let misc = regs::IVAR_MISC::zeroed().try_with_other(self.event)?;
        bar.write_reg(misc.with_other_valid(true));
        Ok(())
    }

    /// How packets are spread over queues.
    fn write_steering(&self, bar: &Bar<'_>) -> Result {
        write_words::<regs::RSSRK>(bar, le_words(&self.spread.key))?;
        write_words::<regs::RETA>(bar, le_words(&self.spread.table))?;
        let mrqc = regs::MRQC::zeroed().with_const_mode::<2>();
        bar.write_reg(mrqc.with_const_fields::<HASHED>());
        Ok(())
    }
}

/// The words of bytes that a register has four of, the first one in its low bits.
fn le_words(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let word = |four: &[u8]| four.iter().rev().fold(0, |w, &b| w << 8 | u32::from(b));
    bytes.chunks(4).map(word)
}

/// Writes words to an array of registers, from its beginning.
fn write_words<R>(bar: &Bar<'_>, words: impl Iterator<Item = u32>) -> Result
where
    R: Array + RegisterArray<Storage = u32> + From<u32>,
{
    for (i, word) in words.enumerate() {
        let at = R::try_at(i).ok_or(EINVAL)?;
        bar.try_write(at, word.into())?;
    }
    Ok(())
}
