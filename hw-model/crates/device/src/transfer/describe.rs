// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The contents of completions.

use crate::pm::Packet;
use crate::rings::buffers::Piece;
use reflow_hwdef::desc::{
    page_word, Completion, CompletionKind, BUF_NONE, PAGES_EACH, PAGES_INLINE,
};
use reflow_hwdef::desc::{C0, C1, C2, C3, C4, C5, C7};
use reflow_hwdef::opcode::Opcode;
use reflow_hwdef::regs::FlowCfg;

/// A completion that names no buffer.
fn blank(flow: u16) -> Completion {
    let none = u64::from(BUF_NONE);
    Completion {
        c0: C0(0).with_flow(flow.into()),
        c2: C2(0).with_hb_id(none).with_nb_id(none),
        c3: C3(0).with_rb_id(none).with_rb2_id(none),
        ..Completion::default()
    }
}

/// The completion that gives a page back.
pub(crate) fn release(flow: u16, rb_id: u16, ends_flow: bool) -> Completion {
    let mut done = blank(flow);
    done.c0 = done
        .c0
        .with_kind(CompletionKind::Release as u64)
        .with_rel_rb(1)
        .with_rel_flow(ends_flow.into());
    done.c3 = done.c3.with_rb_id(rb_id.into());
    done
}

/// The part that all completions of a packet share.
pub(super) fn describe(packet: &Packet, opcode: Opcode, cfg: FlowCfg) -> Completion {
    let c = &packet.control;
    let mut done = blank(c.flow);
    let starts = matches!(opcode, Opcode::Start | Opcode::CloseStart);
    let appended = matches!(opcode, Opcode::Append | Opcode::AppendClose);
    done.c0 = done
        .c0
        .with_opcode(opcode as u64)
        .with_cont(1)
        .with_l3_ok(c.l3_ok.into())
        .with_l4_ok((c.l4_ok == Some(true)).into())
        .with_csum_bad(c.csum_bad.into())
        .with_vlan(c.vlan.is_some().into())
        .with_ipv4(c.kind.ipv4().into())
        .with_ipv6(c.kind.ipv6().into())
        .with_tcp(c.kind.tcp().into())
        .with_udp(c.kind.udp().into())
        .with_tunnel(c.kind.tunnel().into())
        .with_hash(c.hash.is_some().into())
        .with_hash_l4(c.hash.is_some_and(|hash| hash.ports).into())
        .with_fixed_id((appended && c.fixed_ids.inner).into())
        .with_summary(super::placing::summary(c, opcode) as u64)
        .with_tcp_flags(c.tcp_flags.into());
    done.time = c.time;
    done.c1 = C1(0)
        .with_hash(c.hash.map_or(0, |hash| hash.value).into())
        .with_pkt_len(packet.bytes.len() as u64)
        .with_vlan_tci(c.vlan.unwrap_or(0).into());
    done.c2 = done.c2.with_hdr_len(c.hdr_len as u64);
    done.c4 = C4(0)
        .with_l3_off(c.l3_off as u64)
        .with_l4_off(c.l4_off as u64);
    // A packet revised to a start is the first of its aggregate.
    let seg_size = match opcode {
        Opcode::Append | Opcode::AppendClose => c.seg_size,
        Opcode::Start | Opcode::CloseStart => c.data_len,
        _ => 0,
    };
    done.c5 = C5(0)
        .with_data_len(c.data_len as u64)
        .with_seg_size(seg_size as u64)
        .with_outer_off(c.outer_off as u64)
        .with_outer_fixed_id((appended && c.fixed_ids.outer).into())
        .with_headers((starts && cfg.suppress() == 0).into());
    done
}

/// A completion with the data of one or two buffers.
pub(super) fn with_pieces(mut done: Completion, pieces: &[Piece]) -> Completion {
    if let Some(piece) = pieces.first() {
        done.c0 = done.c0.with_rb(1).with_rel_rb(piece.last.into());
        done.c3 = done
            .c3
            .with_rb_id(piece.buffer.id.into())
            .with_rb_off(piece.off as u64)
            .with_rb_len(piece.len as u64);
    }
    if let Some(piece) = pieces.get(1) {
        done.c0 = done.c0.with_rb2(1).with_rel_rb2(piece.last.into());
        done.c3 = done.c3.with_rb2_id(piece.buffer.id.into());
        done.c4 = done.c4.with_rb2_len(piece.len as u64);
    }
    done
}

/// Completes a completion whose data are contiguous over any number of buffers, and appends
/// the completions behind it that name the rest.
pub(super) fn with_run(done: Completion, pieces: &[Piece], out: &mut Vec<Completion>) {
    let [first, between @ .., last] = pieces else {
        out.push(with_pieces(done, pieces));
        return;
    };
    let ids: Vec<u16> = between.iter().map(|piece| piece.buffer.id).collect();
    let (here, behind) = ids.split_at(ids.len().min(PAGES_INLINE));
    let mut done = with_pieces(done, &[*first, *last]);
    done.c5 = done.c5.with_pages(ids.len() as u64);
    done.c7 = C7(page_word(here));
    out.push(done);
    for ids in behind.chunks(PAGES_EACH) {
        let mut words = [0; 8];
        words[0] = C0(0)
            .with_kind(CompletionKind::Pages as u64)
            .with_flow(done.c0.flow())
            .0;
        for (word, ids) in words.iter_mut().skip(1).zip(ids.chunks(4)) {
            *word = page_word(ids);
        }
        out.push(Completion::from_words(words));
    }
}
