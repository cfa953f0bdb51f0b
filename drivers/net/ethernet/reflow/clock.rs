// SPDX-License-Identifier: GPL-2.0

//! The device's clock, and the stamps of it that packets get.
//!
//! The clock goes on over a reset, so nothing of it is to be brought back.

use crate::{
    hw::regs::reg,
    mmio::{
        Mmio,
        GONE, //
    },
    net::{
        hwtstamp::{
            self,
            Stamping, //
        },
        ptp::{
            self,
            SystemTime, //
        },
    },
    nic::Nic, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    }, //
};

/// Which packets are stamped; read on the data path.
pub(crate) struct Stamps {
    rx: Atomic<bool>,
    tx: Atomic<bool>,
}

impl Default for Stamps {
    fn default() -> Self {
        Self {
            rx: Atomic::new(false),
            tx: Atomic::new(false),
        }
    }
}

impl Stamps {
    /// Whether packets are stamped that are received.
    #[inline]
    pub(crate) fn rx(&self) -> bool {
        self.rx.load(Relaxed)
    }

    /// Whether packets are stamped that are sent and ask for it.
    #[inline]
    pub(crate) fn tx(&self) -> bool {
        self.tx.load(Relaxed)
    }
}

/// The registers of the clock. Each access is one to several registers, and takes some 60
/// microseconds for each that is read.
pub(crate) struct Clock<'bound>(Pin<KBox<Mutex<Arc<Mmio<'bound>>>>>);

impl<'bound> Clock<'bound> {
    /// Takes the registers. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(mmio: &Arc<Mmio<'bound>>) -> Result<Self> {
        let regs = new_mutex!(mmio.clone(), "reflow clock");
        Ok(Self(KBox::pin_init(regs, GFP_KERNEL)?))
    }
}

impl ptp::Operations for Clock<'_> {
    const NAME: &'static CStr = c"reflow";
    // The register has a range of 32,767 parts per million.
    const MAX_PPB: i32 = 32_000_000;

    fn read(&self, system: &mut SystemTime<'_>) -> Result<i64> {
        let mmio = self.0.lock();
        let lo = system.around(|| mmio.read(reg::CLOCK_LO));
        // Latched by the first read. All ones are 146 years before the beginning.
        match mmio.read(reg::CLOCK_HI) {
            GONE => Err(ENODEV),
            hi => Ok(((u64::from(hi) << 32) | u64::from(lo)) as i64),
        }
    }

    fn set(&self, ns: i64) -> Result {
        let mmio = self.0.lock();
        mmio.present()?;
        mmio.write_addr(reg::CLOCK_SET_LO, reg::CLOCK_SET_HI, ns as u64);
        Ok(())
    }

    fn step(&self, ns: i64) -> Result {
        let mmio = self.0.lock();
        mmio.present()?;
        mmio.write_addr(reg::CLOCK_STEP_LO, reg::CLOCK_STEP_HI, ns as u64);
        Ok(())
    }

    fn set_rate(&self, scaled_ppm: i64) -> Result {
        let rate = i32::try_from(scaled_ppm).map_err(|_| ERANGE)?;
        let mmio = self.0.lock();
        mmio.present()?;
        mmio.write(reg::CLOCK_RATE, rate as u32);
        Ok(())
    }
}

impl hwtstamp::Operations for Nic<'_> {
    fn clock(&self) -> Option<u32> {
        self.clock.as_ref().map(ptp::Clock::index)
    }

    fn stamping(&self) -> Stamping {
        Stamping {
            rx: self.stamps.rx(),
            tx: self.stamps.tx(),
        }
    }

    fn set_stamping(&self, to: Stamping) {
        self.stamps.rx.store(to.rx, Relaxed);
        self.stamps.tx.store(to.tx, Relaxed);
    }
}
