// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Reads and writes of BAR 0.

use crate::chaos::Chaos;
use crate::device::Device;
use crate::flow::database::FlowDb;
use crate::flow::tcb::TcbTable;
use crate::host::Host;
use crate::regs::{queue_of, RegisterFile};
use reflow_hwdef::isa::{INSTR_WORDS, MAX_INSTRS};
use reflow_hwdef::layout::Access;
use reflow_hwdef::regs::{
    self, BufKind, Ctrl, Event, FlowCfg, ParserStatus, QueueCtrl, QueueDoorbell, QueueItr,
    QueueTxItr, RssCtrl, RxMode,
};
use reflow_hwdef::stats::Global;
use reflow_hwdef::verify::Reason;

/// The element of a register array that an offset falls on.
fn element(offset: usize, base: usize, count: usize) -> Option<usize> {
    let at = offset.checked_sub(base)? / 4;
    (at < count).then_some(at)
}

impl Device {
    /// Time has come to `now_ns`, for what an access to registers does next.
    pub fn advance(&mut self, now_ns: u64) {
        self.now = self.now.max(now_ns);
    }

    /// A read of BAR 0: an aligned 32-bit word; 0 where there is no register.
    pub fn mmio_read(&mut self, offset: usize) -> u32 {
        if offset == regs::CLOCK_LO {
            self.clock.latch(self.now);
        }
        match &self.chaos {
            Some(chaos) if chaos.hides_registers() => u32::MAX,
            _ => self.read_register(offset),
        }
    }

    /// The value of a register.
    pub(crate) fn read_register(&self, offset: usize) -> u32 {
        match self.file.access(offset) {
            None | Some(Access::Wo) => return 0,
            Some(_) => {}
        }
        if let Some((queue, reg)) = queue_of(offset) {
            return match (reg, self.queues.get(queue)) {
                (regs::Q_STATUS, Some(half)) => half.status(self.pm.front(queue).is_some()).0,
                _ => self.file.get(offset),
            };
        }
        match offset {
            regs::RESET => self.chaos.as_ref().is_some_and(Chaos::is_resetting).into(),
            regs::STATUS => self.status().0,
            regs::EVENT => self.event.0,
            regs::EVENT_ARM => self.event_arm.0,
            regs::CLOCK_LO => self.clock.latched as u32,
            regs::CLOCK_HI => (self.clock.latched >> 32) as u32,
            regs::CLOCK_RATE => self.clock.rate(),
            regs::PM_LEVEL => self.pm.level() as u32,
            regs::PM_HIGH => self.pm.high() as u32,
            regs::PARSER_STATUS => self.parser_status.0,
            regs::PARSER_CRC => self.program.crc(),
            regs::STATS_CTRL => self.block.is_on().into(),
            _ => self.file.get(offset),
        }
    }

    /// A write to BAR 0: an aligned 32-bit word; ignored where there is no register.
    ///
    /// Call [`Device::pump`] afterwards.
    pub fn mmio_write(&mut self, host: &mut impl Host, offset: usize, value: u32) {
        match self.chaos.clone() {
            None => self.write_register(host, offset, value),
            Some(chaos) => self.write_hostile(chaos, host, offset, value),
        }
    }

    /// Takes the value for a register.
    pub(crate) fn write_register(&mut self, host: &mut impl Host, offset: usize, value: u32) {
        match self.file.access(offset) {
            None | Some(Access::Ro) => return,
            Some(_) => {}
        }
        if let Some((queue, reg)) = queue_of(offset) {
            self.file.set(offset, value);
            if queue < self.queues.len() {
                self.write_queue(host, queue, reg, value);
            }
            return;
        }
        if offset == regs::FLOW_SIZE {
            self.resize_flows(value);
            return;
        }
        let before = self.file.get(offset);
        self.file.set(offset, value);
        match offset {
            regs::FLOW_CFG if FlowCfg(before ^ value).suppress() != 0 => self.reasm.break_all(),
            regs::RESET if value & 1 != 0 => self.reset(),
            regs::EVENT => self.event = Event(self.event.0 & !value),
            regs::EVENT_ARM => {
                self.event_arm = Event(value);
                self.pump_event(host);
            }
            regs::PM_HIGH => self.pm.clear_high(),
            regs::STATS_CTRL => self.control_stats(value),
            regs::PARSER_COMMIT => self.commit_ram(value as usize),
            regs::CMD_SIZE => self.start_commands(value),
            regs::CMD_TAIL => self.ring_commands(value),
            regs::CLOCK_SET_HI | regs::CLOCK_STEP_HI | regs::CLOCK_RATE => {
                self.steer_clock(offset, value);
            }
            _ => self.write_filter(offset, value),
        }
    }

    /// Registers of the clock.
    fn steer_clock(&mut self, offset: usize, value: u32) {
        let now = self.now;
        match offset {
            regs::CLOCK_SET_HI => {
                let time = self.file.pair(regs::CLOCK_SET_LO, regs::CLOCK_SET_HI);
                self.clock.set(now, time);
            }
            regs::CLOCK_STEP_HI => {
                let by = self.file.pair(regs::CLOCK_STEP_LO, regs::CLOCK_STEP_HI);
                self.clock.step(now, by);
            }
            _ => self.clock.set_rate(now, value),
        }
    }

    /// Registers of the MAC and of the load distributor.
    fn write_filter(&mut self, offset: usize, value: u32) {
        match offset {
            regs::MAC_HI => {
                let lo = self.file.get(regs::MAC_LO).to_le_bytes();
                let hi = value.to_le_bytes();
                self.mac.addr = [lo[0], lo[1], lo[2], lo[3], hi[0], hi[1]];
            }
            regs::RX_MODE => self.mac.mode = RxMode(value),
            regs::MAX_FRAME => self.mac.max_frame = value as usize,
            regs::MC_COUNT => self.mac.mc_count = (value as usize).min(regs::MC_ENTRIES),
            regs::RSS_CTRL => self.spread.ctrl = RssCtrl(value),
            _ => {}
        }
        if let Some(at) = element(offset, regs::MC_TABLE, regs::MC_ENTRIES * 2) {
            let bytes = value.to_le_bytes();
            let addr = &mut self.mac.mc_table[at / 2];
            if at % 2 == 0 {
                addr[..4].copy_from_slice(&bytes);
            } else {
                addr[4..].copy_from_slice(&bytes[..2]);
            }
        }
        if let Some(at) = element(offset, regs::RSS_KEY, regs::RSS_KEY_WORDS) {
            self.spread.secret[at * 4..at * 4 + 4].copy_from_slice(&value.to_le_bytes());
        }
        if let Some(at) = element(offset, regs::RSS_TABLE, regs::RSS_ENTRIES) {
            self.spread.table[at] = value;
        }
    }

    /// A write to FLOW_SIZE; ignored unless it is in range and the device is idle.
    fn resize_flows(&mut self, value: u32) {
        let size = value as usize;
        let in_range = size.is_power_of_two() && size <= self.config.flows;
        let at_rest = Ctrl(self.file.get(regs::CTRL)).rx() == 0 && self.pm.level() == 0;
        if !in_range || !at_rest {
            return;
        }
        self.file.set(regs::FLOW_SIZE, value);
        for flow in 0..self.fdb.size() as u16 {
            self.give_page_back(flow, true);
        }
        self.fdb = FlowDb::new(size);
        self.tcbs = TcbTable::new(size);
    }

    fn control_stats(&mut self, value: u32) {
        if value & 1 != 0 {
            let addr = self.file.pair(regs::STATS_LO, regs::STATS_HI);
            self.block.start(addr, &mut self.counters);
        } else {
            self.block.stop();
        }
    }

    /// A write to PARSER_COMMIT.
    fn commit_ram(&mut self, instrs: usize) {
        if instrs > MAX_INSTRS {
            self.parser_status = ParserStatus(0)
                .with_error(Reason::TooLong as u32)
                .with_len(self.program.len() as u32);
            return;
        }
        let words = self
            .file
            .run(regs::PARSER_RAM, instrs * INSTR_WORDS)
            .to_vec();
        self.commit_program(&words);
    }

    /// A write to a register of a queue block.
    fn write_queue(&mut self, host: &mut impl Host, queue: usize, reg: usize, value: u32) {
        match reg {
            regs::Q_CTRL => self.control_queue(queue, QueueCtrl(value)),
            regs::Q_DB => {
                if let Err(error) = self.queues[queue].doorbell(QueueDoorbell(value)) {
                    self.fail_rx(queue, error);
                }
                self.pump_irq(queue, host);
            }
            regs::Q_ITR => self.queues[queue].irq.itr = QueueItr(value),
            regs::Q_TX_ITR => self.queues[queue].irq.tx_itr = QueueTxItr(value),
            regs::Q_VECTOR => self.queues[queue].irq.vector = value,
            regs::TX_TAIL => {
                if let Err(error) = self.queues[queue].set_tx_tail(value) {
                    self.queues[queue].fail_tx(error);
                    self.event = self.event.with_queue_fault(1);
                }
            }
            _ => {
                let kind = BufKind::ALL
                    .into_iter()
                    .find(|&kind| reg == regs::BUF_TAIL + kind as usize * regs::BUF_STRIDE);
                if let Some(kind) = kind {
                    if let Err(error) = self.queues[queue].set_buf_tail(kind, value) {
                        self.fail_rx(queue, error);
                    }
                }
            }
        }
    }

    /// A write to Q_CTRL.
    fn control_queue(&mut self, queue: usize, ctrl: QueueCtrl) {
        let ran = self.queues[queue].rx.is_some();
        let base = regs::QUEUE_BASE + queue * regs::QUEUE_STRIDE;
        let file: &RegisterFile = &self.file;
        let outcome = self.queues[queue].set_ctrl(ctrl, &|reg| file.get(base + reg));
        if let Err(error) = outcome {
            self.queues[queue].refuse(error);
            self.event = self.event.with_queue_fault(1);
        }
        if ran && self.queues[queue].rx.is_none() {
            self.drop_waiting(queue, Global::RxDisabled);
        }
    }
}
