// SPDX-License-Identifier: GPL-2.0

//! The command ring: requests of the control plane that the device answers.
//!
//! One command is under way at a time. The caller sleeps until the device has answered, usually
//! well under a millisecond. After a wait of [`TIMEOUT`], for one answer or for several in a row,
//! all further commands fail at once with the same error for [`REST`], so that no caller waits a
//! second time with locks held. Then one command is tried again; a reset of the device ends this
//! state, see [`Commands::revive`].
//!
//! All functions may sleep. Answers are checked: they must be for the command that was sent, and in
//! range.

mod blocks;

use crate::{
    hw::{
        cmd::{
            self,
            Cmd0,
            Cmd7,
            CmdStatus,
            Command,
            TestFailures,
            CMD_WORDS,
            F0,
            F6,
            FLOW_WORDS, //
        },
        index::Index,
        regs::reg, //
    },
    mmio::{
        Mmio,
        GONE, //
    },
    net::dma::Words, //
};
use blocks::key_of;
pub(crate) use blocks::{
    ContextBlock,
    Flow,
    Key,
    RuleBlock,
    Tcb,
    KEY_LEN, //
};
use kernel::{
    device::{
        self,
        Bound, //
    },
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        barrier,
        Arc,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    }, //
};

/// Entries of the ring, as a power of two. One is in use at a time.
const LOG2_ENTRIES: u32 = 3;
/// Words of the block of arguments, as a power of two: a page.
const LOG2_BLOCK: u32 = 9;
/// Flows that one command dumps.
const FLOWS_AT_ONCE: usize = (1 << LOG2_BLOCK) / FLOW_WORDS;

/// The device is given up on when it was waited for so long in all, in milliseconds: by one command
/// or by several in a row. Time in which nothing is asked counts against it.
const TIMEOUT: i64 = 800;
/// Milliseconds of each wait that are not counted: a busy host looks late.
const FREE: i64 = 5;
/// Milliseconds that each command is given all the same: it may have been the host that was late.
const LEAST: i64 = 10;
/// How long nothing is asked of a device that did not answer.
const REST: Delta = Delta::from_millis(2000);
/// First pause between two looks for the answer, in microseconds; it doubles up to [`MAX_PAUSE`].
const MIN_PAUSE: i64 = 10;
/// Longest pause, in microseconds.
const MAX_PAUSE: i64 = 1280;

/// The ring and the block that its commands have their arguments in.
struct Ring<'bound> {
    dev: &'bound device::Device<Bound>,
    mmio: Arc<Mmio<'bound>>,
    entries: Words,
    block: Words,
    next: Index,
    /// The device has the command ring at all.
    present: bool,
    running: bool,
    /// The device is to be left alone.
    held: bool,
    /// Milliseconds that the device was waited for lately, as of `ended`.
    waited: i64,
    /// When the last command was over.
    ended: Instant<Monotonic>,
    /// Why the last command failed and when, if the device did not answer it.
    verdict: Option<(Error, Instant<Monotonic>)>,
    /// [`Commands::answers_again`] asked in vain since the last reset.
    mute: bool,
    silent: Arc<Atomic<bool>>,
}

impl Ring<'_> {
    /// Starts the ring with nothing in it.
    fn start(&mut self) -> Result {
        self.stop();
        for word in 0..CMD_WORDS << LOG2_ENTRIES {
            self.entries.write(word, 0);
        }
        self.next = Index::ZERO;
        self.mmio
            .write_addr(reg::CMD_LO, reg::CMD_HI, self.entries.dma_address());
        self.mmio.write(reg::CMD_SIZE, LOG2_ENTRIES);
        if self.mmio.read(reg::CMD_SIZE) != LOG2_ENTRIES {
            return Err(EIO);
        }
        self.running = true;
        Ok(())
    }

    /// Stops the ring; the device has no part in the memory any more.
    fn stop(&mut self) {
        self.running = false;
        self.mmio.write(reg::CMD_SIZE, 0);
        // The read returns when the device has done its last access to memory.
        self.mmio.read(reg::CMD_SIZE);
    }

    /// Waits for the answer in the entry whose first word is `at`, for so many milliseconds.
    fn wait(&self, at: usize, most: i64) -> Result<Cmd7> {
        let begin = Instant::<Monotonic>::now();
        let mut pause = MIN_PAUSE;
        loop {
            let answer = Cmd7(self.entries.read(at + CMD_WORDS - 1));
            if answer.done() != 0 {
                // The block was written before the answer.
                barrier::dma_mb(barrier::Read);
                return Ok(answer);
            }
            if pause >= MAX_PAUSE {
                match self.mmio.read(reg::CMD_SIZE) {
                    GONE => return Err(ENODEV),
                    LOG2_ENTRIES => {}
                    _ => return Err(EIO),
                }
                if begin.elapsed().as_millis() >= most {
                    return Err(ETIMEDOUT);
                }
            }
            fsleep(Delta::from_micros(pause));
            pause = (2 * pause).min(MAX_PAUSE);
        }
    }

    /// Has the device carry out a command whose block is filled in; returns the answer's value.
    fn run(&mut self, command: Command, index: u32, words: usize) -> Result<u32> {
        if !self.present {
            return Err(EOPNOTSUPP);
        }
        if self.held {
            return Err(ENODEV);
        }
        if let Some((why, when)) = self.verdict {
            if when.elapsed() < REST {
                return Err(why);
            }
        }
        if !self.running {
            let started = self.start();
            self.judge(started)?;
        }
        let idle = self.ended.elapsed().as_millis();
        self.waited = (self.waited - idle).max(0);
        let begin = Instant::<Monotonic>::now();
        let answer = self.ask(command, index, words, (TIMEOUT - self.waited).max(LEAST));
        self.waited += (begin.elapsed().as_millis() - FREE).max(0);
        self.ended = Instant::now();
        if let (Err(e), None) = (&answer, &self.verdict) {
            dev_err!(
                self.dev,
                "command {} of {} was not answered ({}); commands rest until the device is reset\n",
                command as u8,
                index,
                e.to_errno()
            );
        }
        status(self.judge(answer)?)
    }

    /// Puts a command on the ring, which runs, and waits for its answer, so many milliseconds.
    fn ask(&mut self, command: Command, index: u32, words: usize, most: i64) -> Result<Cmd7> {
        let at = self.next.slot(LOG2_ENTRIES) * CMD_WORDS;
        let tag = u64::from(self.next.raw());
        let head = Cmd0(0)
            .with_command(command as u64)
            .with_tag(tag)
            .with_index(index.into());
        self.entries.write(at, head.0);
        self.entries.write(at + 1, self.block.dma_address());
        self.entries.write(at + 2, 8 * words as u64);
        self.entries.write(at + CMD_WORDS - 1, 0);
        self.next = self.next.add(1);
        // The write to a register comes after those to memory.
        self.mmio.write(reg::CMD_TAIL, self.next.raw());
        let answer = self.wait(at, most)?;
        if answer.tag() != tag {
            return Err(EIO);
        }
        Ok(answer)
    }

    /// Takes note of whether the device answers.
    fn judge<R>(&mut self, answer: Result<R>) -> Result<R> {
        self.verdict = answer
            .as_ref()
            .err()
            .map(|&why| (why, Instant::<Monotonic>::now()));
        if self.verdict.is_some() {
            self.silent.store(true, Relaxed);
            self.stop();
        }
        answer
    }
}

/// The value of an answer, or the error that it reports.
fn status(answer: Cmd7) -> Result<u32> {
    Err(match CmdStatus::from_raw(answer.status() as u8) {
        Some(CmdStatus::Ok) => return Ok(answer.value() as u32),
        Some(CmdStatus::Unknown) => EOPNOTSUPP,
        Some(CmdStatus::BadArgument) => EINVAL,
        Some(CmdStatus::NoSpace) => ENOSPC,
        Some(CmdStatus::NotFound) => ENOENT,
        Some(CmdStatus::Busy) => EBUSY,
        Some(CmdStatus::BadAddress) | None => EIO,
    })
}

impl Drop for Ring<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The command ring of a device. Commands of several callers are carried out one after the other.
///
/// Each may fail with [`EOPNOTSUPP`] if the device has no such command, [`ETIMEDOUT`] or [`EIO`] if
/// it does not answer or answers nonsense, [`ENODEV`] if it has gone, and may sleep.
pub(crate) struct Commands<'bound> {
    ring: Pin<KBox<Mutex<Ring<'bound>>>>,
    /// A command was not answered since the last reset: the device may lack configuration.
    silent: Arc<Atomic<bool>>,
}

impl<'bound> Commands<'bound> {
    /// Prepares the ring of a device, which has one if `present` says so. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(
        dev: &'bound device::Device<Bound>,
        mmio: &Arc<Mmio<'bound>>,
        present: bool,
    ) -> Result<Self> {
        let silent = Arc::new(Atomic::new(false), GFP_KERNEL)?;
        let ring = Ring {
            dev,
            mmio: mmio.clone(),
            entries: Words::new(dev, LOG2_ENTRIES + CMD_WORDS.ilog2())?,
            block: Words::new(dev, LOG2_BLOCK)?,
            next: Index::ZERO,
            present,
            running: false,
            held: false,
            waited: 0,
            ended: Instant::now(),
            verdict: None,
            mute: false,
            silent: silent.clone(),
        };
        Ok(Self {
            silent,
            ring: KBox::pin_init(new_mutex!(ring, "reflow::cmd"), GFP_KERNEL)?,
        })
    }

    /// Whether the device did not answer a command since it was last reset. From any context.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent.load(Relaxed)
    }

    /// Whether a device that did not answer before answers now. May sleep, for some milliseconds;
    /// a device that is late once is tried again at the next look.
    ///
    /// A device that answers this but no other command counts as silent.
    pub(crate) fn answers_again(&self) -> bool {
        let mut ring = self.ring.lock();
        if ring.held || !ring.present {
            return false;
        }
        let started = if ring.running { Ok(()) } else { ring.start() };
        let answer = started.and_then(|()| ring.ask(Command::Nop, 0, 0, LEAST));
        let answers = ring.judge(answer).is_ok();
        let mute = core::mem::replace(&mut ring.mute, !answers);
        answers && mute
    }

    /// Takes note that the device was reset: it is asked again, from the beginning of the ring.
    pub(crate) fn revive(&self) {
        let mut ring = self.ring.lock();
        ring.stop();
        ring.held = false;
        ring.verdict = None;
        ring.mute = false;
        ring.waited = 0;
        self.silent.store(false, Relaxed);
    }

    /// Has the device access the ring no more: all commands fail with [`ENODEV`] until
    /// [`Self::revive`]. Waits for the command that is under way.
    pub(crate) fn quiesce(&self) {
        let mut ring = self.ring.lock();
        ring.held = true;
        ring.stop();
    }

    /// A command without a block.
    fn plain(&self, command: Command, index: u32) -> Result<u32> {
        self.ring.lock().run(command, index, 0)
    }

    /// A command whose block the device reads.
    fn give(&self, command: Command, index: u32, words: &[u64]) -> Result<u32> {
        let mut ring = self.ring.lock();
        for (i, &word) in words.iter().enumerate() {
            ring.block.write(i, word);
        }
        ring.run(command, index, words.len())
    }

    /// A command whose block the device writes.
    fn take<const N: usize>(&self, command: Command, index: u32) -> Result<[u64; N]> {
        let mut ring = self.ring.lock();
        ring.run(command, index, N)?;
        Ok(core::array::from_fn(|i| ring.block.read(i)))
    }

    /// Does nothing: the device answers.
    ///
    /// # Errors
    ///
    /// As for all commands.
    pub(crate) fn nop(&self) -> Result {
        self.plain(Command::Nop, 0).map(|_| ())
    }

    /// Sets a control block in the device, replacing the one with the same key; returns its flow
    /// number.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if the block makes no sense, [`ENOSPC`] if the device takes no more of them,
    /// [`EBUSY`] if it cannot join the flow at this moment.
    pub(crate) fn tcb_set(&self, tcb: &Tcb) -> Result<u16> {
        let flow = self.give(Command::TcbSet, 0, &tcb.words())?;
        flow.try_into().map_err(|_| EIO)
    }

    /// Reads the control block of a flow number back.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if it has none.
    pub(crate) fn tcb_get(&self, flow: u16) -> Result<Tcb> {
        let words = self.take(Command::TcbGet, flow.into())?;
        Ok(Tcb::from_words(&words))
    }

    /// Takes the control block of a flow number back. When this returns, the device writes to the
    /// pages of its list no more.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if it has none.
    pub(crate) fn tcb_del(&self, flow: u16) -> Result {
        self.plain(Command::TcbDel, flow.into()).map(|_| ())
    }

    /// Sets steering rule `index`; of several that match the lowest wins.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if there is no such rule or queue, [`ENOENT`] if there is no such hash context.
    pub(crate) fn rule_set(&self, index: u32, rule: &RuleBlock) -> Result {
        self.give(Command::RuleSet, index, &rule.words())
            .map(|_| ())
    }

    /// Removes steering rule `index`.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if it is not set.
    pub(crate) fn rule_del(&self, index: u32) -> Result {
        self.plain(Command::RuleDel, index).map(|_| ())
    }

    /// Sets hash context `index`, from 1 on.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if there is no such context, or no such queue as the table names.
    pub(crate) fn rss_set(&self, index: u32, context: &ContextBlock) -> Result {
        self.give(Command::RssSet, index, &context.words())
            .map(|_| ())
    }

    /// Removes hash context `index`.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if it is not set.
    pub(crate) fn rss_del(&self, index: u32) -> Result {
        self.plain(Command::RssDel, index).map(|_| ())
    }

    /// Adds entries of the flow database to `out`, in the order of their numbers, from number
    /// `from` on. Returns the number to go on from, if there may be more.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    fn flow_dump(&self, from: u16, out: &mut KVec<Flow>) -> Result<Option<u16>> {
        out.reserve(FLOWS_AT_ONCE, GFP_KERNEL)?;
        let mut ring = self.ring.lock();
        let count = ring.run(Command::FlowDump, from.into(), FLOWS_AT_ONCE * FLOW_WORDS)?;
        let count = usize::try_from(count)?;
        if count > FLOWS_AT_ONCE {
            return Err(EIO);
        }
        let mut next = Some(from);
        for i in 0..count {
            let words: [u64; FLOW_WORDS] =
                core::array::from_fn(|w| ring.block.read(i * FLOW_WORDS + w));
            let flow = Flow {
                head: F0(words[0]),
                key: key_of(&words[cmd::FLOW_KEY..]),
                expected: F6(words[6]).expected() as u32,
                idle: words[7],
            };
            let number = flow.head.flow() as u16;
            if next.is_none_or(|next| number < next) {
                return Err(EIO);
            }
            next = number.checked_add(1);
            out.push(flow, GFP_KERNEL)?;
        }
        Ok(if count == FLOWS_AT_ONCE { next } else { None })
    }

    /// Calls `f` for each entry of the flow database, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`], and those of `f`.
    pub(crate) fn each_flow(&self, mut f: impl FnMut(&Flow) -> Result) -> Result {
        let mut from = Some(0);
        let mut some = KVec::new();
        while let Some(start) = from {
            from = self.flow_dump(start, &mut some)?;
            some.drain_all().try_for_each(|flow| f(&flow))?;
        }
        Ok(())
    }

    /// Has the device test its memories and its parser.
    ///
    /// # Errors
    ///
    /// As for all commands.
    pub(crate) fn self_test(&self) -> Result<TestFailures> {
        self.plain(Command::SelfTest, 0).map(TestFailures)
    }

    /// The device's clock, in nanoseconds.
    ///
    /// # Errors
    ///
    /// As for all commands.
    pub(crate) fn clock_get(&self) -> Result<u64> {
        let [now] = self.take(Command::ClockGet, 0)?;
        Ok(now)
    }
}
