// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Faults of completions.

use super::dice::Dice;
use super::{Chaos, Fault};
use reflow_hwdef::desc::{Completion, CompletionKind, COMPLETION_WORDS, FLOW_NONE};
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::BufKind;

/// Values of a 16-bit field.
const FIELD: u64 = 1 << 16;

/// A field of a completion, by getter and setter.
type Field = (fn(&Completion) -> u64, fn(&mut Completion, u64));

macro_rules! field {
    ($word:ident, $get:ident, $set:ident) => {
        (
            |done: &Completion| done.$word.$get(),
            |done: &mut Completion, value| done.$word = done.$word.$set(value),
        )
    };
}

const HB_ID: Field = field!(c2, hb_id, with_hb_id);
const HB_OFF: Field = field!(c2, hb_off, with_hb_off);
const HDR_LEN: Field = field!(c2, hdr_len, with_hdr_len);
const NB_ID: Field = field!(c2, nb_id, with_nb_id);
const NB_OFF: Field = field!(c4, nb_off, with_nb_off);
const NB_LEN: Field = field!(c4, nb_len, with_nb_len);
const RB_ID: Field = field!(c3, rb_id, with_rb_id);
const RB_OFF: Field = field!(c3, rb_off, with_rb_off);
const RB_LEN: Field = field!(c3, rb_len, with_rb_len);
const RB2_ID: Field = field!(c3, rb2_id, with_rb2_id);
const RB2_LEN: Field = field!(c4, rb2_len, with_rb2_len);
const PAGES: Field = field!(c5, pages, with_pages);
const PAGE0: Field = field!(c7, page0, with_page0);
const PAGE1: Field = field!(c7, page1, with_page1);
/// In a completion of kind Pages: the last id of word 1.
const MORE_PAGES: Field = field!(c1, vlan_tci, with_vlan_tci);

fn is_packet(done: &Completion) -> bool {
    done.c0.kind() == CompletionKind::Packet as u64
}

/// Buffers and flows of earlier completions, for faults that repeat them.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Told {
    /// Buffers of each kind that were given back last.
    released: [Option<u64>; BufKind::COUNT],
    /// Flows of aggregates, the last one first.
    flows: [Option<u64>; 2],
}

impl Told {
    fn note(&mut self, done: &Completion) {
        let c0 = done.c0;
        for (kind, released, id) in [
            (BufKind::Header, c0.rel_hb(), done.c2.hb_id()),
            (BufKind::Packet, c0.nb(), done.c2.nb_id()),
            (BufKind::Small, c0.rel_sb(), done.c2.nb_id()),
            (BufKind::Reasm, c0.rel_rb(), done.c3.rb_id()),
        ] {
            if released != 0 {
                self.released[kind as usize] = Some(id);
            }
        }
        let starts = matches!(opcode(done), Some(Opcode::Start | Opcode::CloseStart));
        if (starts || appends(done)) && self.flows[0] != Some(c0.flow()) {
            self.flows = [Some(c0.flow()), self.flows[0]];
        }
    }

    /// A flow other than that of a packet that is appended.
    fn other_flow(&self, done: &Completion) -> Option<u64> {
        let mut others = self.flows.iter().flatten().copied();
        others.find(|&flow| appends(done) && flow != done.c0.flow())
    }

    /// The completion with a buffer of its kind that was given back before.
    fn again(&self, done: &Completion) -> Option<Completion> {
        let (c0, c2, c3) = (done.c0, done.c2, done.c3);
        let released = |used: u64, kind: BufKind| {
            let id = self.released[kind as usize];
            id.filter(|_| used != 0 && is_packet(done))
        };
        let mut again = *done;
        if let Some(id) = released(c0.hb(), BufKind::Header) {
            (again.c0, again.c2) = (c0.with_rel_hb(1), c2.with_hb_id(id));
        } else if let Some(id) = released(c0.sb(), BufKind::Small) {
            (again.c0, again.c2) = (c0.with_rel_sb(1), c2.with_nb_id(id));
        } else if let Some(id) = released(c0.nb(), BufKind::Packet) {
            again.c2 = c2.with_nb_id(id);
        } else {
            let id = released(c0.rb(), BufKind::Reasm)?;
            (again.c0, again.c3) = (c0.with_rel_rb(1), c3.with_rb_id(id));
        }
        Some(again)
    }
}

fn opcode(done: &Completion) -> Option<Opcode> {
    Opcode::from_raw(done.c0.opcode() as u8).filter(|_| is_packet(done))
}

fn appends(done: &Completion) -> bool {
    matches!(opcode(done), Some(Opcode::Append | Opcode::AppendClose))
}

/// The fields that name buffers in use.
fn ids(done: &Completion) -> Vec<Field> {
    let c0 = done.c0;
    if c0.kind() == CompletionKind::Pages as u64 {
        return vec![MORE_PAGES];
    }
    let candidates = [
        (c0.hb(), HB_ID),
        (c0.nb() | c0.sb(), NB_ID),
        (c0.rb() | c0.rel_rb(), RB_ID),
        (c0.rb2(), RB2_ID),
        (done.c5.pages().min(1), PAGE0),
        (done.c5.pages() / 2, PAGE1),
    ];
    used(&candidates)
}

/// The fields that say where bytes are, and how many.
fn spans(done: &Completion) -> Vec<Field> {
    let c0 = done.c0;
    let candidates = [
        (c0.hb(), HB_OFF),
        (c0.hb(), HDR_LEN),
        (c0.nb() | c0.sb(), NB_OFF),
        (c0.nb() | c0.sb(), NB_LEN),
        (c0.rb(), RB_OFF),
        (c0.rb(), RB_LEN),
        (c0.rb2(), RB2_LEN),
        (done.c5.pages(), PAGES),
    ];
    used(&candidates)
}

fn used(candidates: &[(u64, Field)]) -> Vec<Field> {
    let used = candidates.iter().filter(|(used, _)| *used != 0);
    used.map(|&(_, field)| field).collect()
}

/// Gives one of the fields another value: half the time a near one, which is harder to detect.
fn spoil(done: &mut Completion, fields: &[Field], dice: &mut Dice) {
    let Some((get, set)) = fields.get(dice.below(fields.len() as u64) as usize) else {
        return;
    };
    let old = get(done);
    let near = old.wrapping_add(dice.below(64)).wrapping_sub(32) % FIELD;
    let value = if dice.below(2) == 0 && near != old {
        Some(near)
    } else {
        dice.other(old, FIELD)
    };
    set(done, value.unwrap_or(0));
}

impl Chaos {
    /// Spoils the completions of a packet, or the release of a page. The ring has room for `room`.
    pub(crate) fn spoil_completions(&self, done: &mut Vec<Completion>, flows: usize, room: usize) {
        let mut state = self.state();
        let told = state.told;
        done.iter().for_each(|done| state.told.note(done));
        let mut one =
            |fault, fits: &dyn Fn(&Completion) -> bool, spoil: &dyn Fn(&mut _, &mut _)| {
                let candidates = done.iter().filter(|c| fits(c)).count() as u64;
                if candidates == 0 {
                    return;
                }
                if let Some(injector) = state.strike(fault) {
                    let nth = injector.dice.below(candidates) as usize;
                    if let Some(c) = done.iter_mut().filter(|c| fits(c)).nth(nth) {
                        spoil(c, &mut injector.dice);
                    }
                }
            };
        let flows = flows as u64;
        let (has_id, has_span) = (|c: &_| !ids(c).is_empty(), |c: &_| !spans(c).is_empty());
        let has_other = |_: &_| flows > 1;
        one(Fault::Buffers, &has_id, &|c, dice| spoil(c, &ids(c), dice));
        one(Fault::Lengths, &has_span, &|c, dice| {
            spoil(c, &spans(c), dice);
        });
        one(Fault::OpcodeUnknown, &is_packet, &|c, dice| {
            let first = Opcode::COUNT as u64;
            c.c0 = c.c0.with_opcode(first + dice.below(16 - first));
        });
        one(Fault::OpcodeWrong, &is_packet, &|c, dice| {
            let other = dice.other(c.c0.opcode(), Opcode::COUNT as u64);
            c.c0 = c.c0.with_opcode(other.unwrap_or(0));
        });
        one(Fault::FlowRange, &|_| true, &|c, dice| {
            c.c0 =
                c.c0.with_flow(flows + dice.below(u64::from(FLOW_NONE) - flows));
        });
        one(Fault::FlowOther, &has_other, &|c, dice| {
            c.c0 = c.c0.with_flow(dice.other(c.c0.flow(), flows).unwrap_or(0));
        });
        one(Fault::BufferTwice, &|c| told.again(c).is_some(), &|c, _| {
            *c = told.again(c).unwrap_or(*c);
        });
        one(
            Fault::AppendOther,
            &|c| told.other_flow(c).is_some(),
            &|c, _| {
                c.c0 = c.c0.with_flow(told.other_flow(c).unwrap_or(0));
            },
        );
        one(Fault::Random, &|_| true, &|c, dice| {
            let words: [u64; COMPLETION_WORDS] = std::array::from_fn(|_| dice.bits());
            *c = Completion::from_words(words);
            c.c0 = c.c0.with_generation(0);
        });
        // The ring takes this bit as "not what it should be".
        one(Fault::Generation, &|_| true, &|c, _| {
            c.c0 = c.c0.with_generation(1);
        });
        if done.len() * 2 <= room && state.strike(Fault::Duplicate).is_some() {
            done.extend_from_within(..);
        }
        if state.strike(Fault::Lost).is_some() {
            done.clear();
        }
        state.packets += 1;
    }
}
