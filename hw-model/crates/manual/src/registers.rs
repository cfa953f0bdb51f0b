// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Page of the registers.

use crate::items;
use crate::rst::{inline, join, Rst};
use crate::source::{Source, Word};
use reflow_device::{Config, Device};
use reflow_hwdef::layout::{Access, RegInfo};
use reflow_hwdef::regs::{
    BAR_SIZE, GLOBAL_REGS, PCI_DEVICE, PCI_VENDOR, QUEUE_BASE, QUEUE_REGS, QUEUE_STRIDE,
};

const fn access(access: Access) -> &'static str {
    match access {
        Access::Ro => "read only",
        Access::Rw => "read and write",
        Access::Wo => "write only",
        Access::W1c => "write 1 to clear",
    }
}

const fn short(access: Access) -> &'static str {
    match access {
        Access::Ro => "ro",
        Access::Rw => "rw",
        Access::Wo => "wo",
        Access::W1c => "w1c",
    }
}

/// Two devices that differ in every option: a value that both read is a property of the register,
/// one that differs a property of the device.
fn devices() -> [Device; 2] {
    let build = |mac, queues, flows, pm_bytes| {
        Device::new(Config {
            mac,
            queues,
            flows,
            pm_bytes,
            seed: 0,
        })
    };
    [
        build([2, 0, 0, 0, 0, 1], 4, 1024, 1 << 20),
        build([6, 5, 4, 3, 2, 1], 8, 512, 1 << 16),
    ]
}

/// The value of a register after a reset.
fn reset(devices: &mut [Device; 2], base: usize, reg: &RegInfo) -> String {
    if reg.access == Access::Wo {
        return "reads 0".into();
    }
    let mut seen: Vec<u32> = Vec::new();
    for i in 0..reg.count {
        let at = base + reg.offset + i * reg.stride;
        let [a, b] = devices.each_mut().map(|device| device.mmio_read(at));
        if a != b {
            return "as built".into();
        }
        seen.push(a);
    }
    match seen[..] {
        [first, ..] if seen.iter().all(|value| *value == first) => {
            if first < 10 {
                first.to_string()
            } else {
                format!("{first:#010x}")
            }
        }
        _ => "see text".into(),
    }
}

/// The words of bit fields that a register holds, whole or as a part: those whose text names it.
fn words_of<'a>(words: &'a [Word], reg: &RegInfo) -> Vec<&'a Word> {
    let name = format!("[`{}`]", reg.name);
    words
        .iter()
        .filter(|w| w.doc.iter().any(|line| line.contains(&name)))
        .collect()
}

/// The first sentence of a register's text.
fn first_sentence(reg: &RegInfo) -> String {
    let text = inline(&join(reg.doc));
    let end = text.find(". ").map_or(text.len(), |at| at + 1);
    text[..end].to_owned()
}

fn summary(page: &mut Rst, base: usize, regs: &[RegInfo], devices: &mut [Device; 2]) {
    let rows: Vec<Vec<String>> = regs
        .iter()
        .map(|reg| {
            let name = if reg.count == 1 {
                reg.name.to_owned()
            } else {
                format!("{}[{}]", reg.name, reg.count)
            };
            vec![
                format!("{:#06x}", reg.offset),
                name,
                short(reg.access).into(),
                reset(devices, base, reg),
                first_sentence(reg),
            ]
        })
        .collect();
    page.table(&["Offset", "Name", "Access", "Reset", "What"], &rows);
}

fn details(page: &mut Rst, base: usize, regs: &[RegInfo], s: &Source, devices: &mut [Device; 2]) {
    for reg in regs {
        page.subsection(reg.name);
        let mut offset = format!("{:#06x}", reg.offset);
        if reg.count > 1 {
            let last = reg.offset + (reg.count - 1) * reg.stride;
            offset.push_str(&format!(
                " to {last:#06x}, {} elements, {} bytes apart",
                reg.count, reg.stride
            ));
        }
        let words = words_of(&s.words, reg);
        let mut fields = vec![
            ("Offset", offset),
            ("Access", access(reg.access).into()),
            ("Reset", reset(devices, base, reg)),
        ];
        fields.extend(words.first().map(|word| ("Fields", word.name.clone())));
        page.fields(&fields);
        page.paragraph(reg.doc);
        for (i, word) in words.iter().enumerate() {
            if i > 0 {
                page.paragraph(&[format!("``{}``:", word.name)]);
            }
            let rest = join(&word.doc);
            // "Value of X." only says where the word belongs; the rest is worth reading.
            if let Some((_, rest)) = rest.split_once(". ") {
                page.paragraph(&[rest]);
            }
            items::drawing(page, word);
        }
    }
}

/// The page.
pub(crate) fn page(source: &Source) -> String {
    let mut devices = devices();
    let mut page = Rst::page("Registers", "hw/regs.rs and the reset state of the model");
    page.paragraphs(&source.about);
    page.paragraph(&[format!(
        "The function has vendor id {PCI_VENDOR:#06x} and device id {PCI_DEVICE:#06x}; BAR 0 has \
         {} KiB. Accesses must be aligned. Where there is no register a read returns 0 and a write \
         is ignored, like a write to a read-only register. Bits marked ``-`` are reserved: write \
         0, ignore the value read.",
        BAR_SIZE / 1024
    )]);
    page.paragraph(&[
        "Reset values are read from the model after a reset. *As built* means that the value is a \
         property of the device, *see text* that the elements of an array differ or that the \
         device chooses the value.",
    ]);

    page.section("Global registers: overview");
    summary(&mut page, 0, GLOBAL_REGS, &mut devices);
    page.section("Queue registers: overview");
    page.paragraph(&[format!(
        "Queue N has its block at {QUEUE_BASE:#06x} + N * {QUEUE_STRIDE:#x}. Offsets are those in \
         the block."
    )]);
    summary(&mut page, QUEUE_BASE, QUEUE_REGS, &mut devices);

    page.section("Global registers");
    details(&mut page, 0, GLOBAL_REGS, source, &mut devices);
    page.section("Queue registers");
    details(&mut page, QUEUE_BASE, QUEUE_REGS, source, &mut devices);

    page.section("Numbers in registers");
    for e in &source.enums {
        page.subsection(&e.name);
        items::enumeration(&mut page, e);
    }
    page.section("Constants");
    items::constants(&mut page, &source.consts);
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_belongs_to_a_register() {
        let source = crate::hw("regs").unwrap();
        for word in &source.words {
            let used = GLOBAL_REGS.iter().chain(QUEUE_REGS).any(|reg| {
                words_of(&source.words, reg)
                    .iter()
                    .any(|w| w.name == word.name)
            });
            assert!(
                used,
                "the doc comment of {} names no register as [`NAME`], so the manual cannot show it",
                word.name
            );
        }
    }

    #[test]
    fn reset_values_are_those_of_the_model() {
        let mut devices = devices();
        let of = |name: &str| GLOBAL_REGS.iter().find(|reg| reg.name == name).unwrap();
        assert_eq!(reset(&mut devices, 0, of("MAGIC")), "0x52464c57");
        assert_eq!(reset(&mut devices, 0, of("CAPS")), "as built");
        assert_eq!(reset(&mut devices, 0, of("RSS_KEY")), "see text");
        assert_eq!(reset(&mut devices, 0, of("CTRL")), "0");
        assert_eq!(reset(&mut devices, 0, of("PARSER_COMMIT")), "reads 0");
    }
}
