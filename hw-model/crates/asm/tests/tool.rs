// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The command line of the tool, and its explanation of a packet.

mod story;

use pcap_file::pcap::{PcapPacket, PcapWriter};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionBlock;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::DataLink;
use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

fn program(name: &str) -> String {
    let dir = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../drivers/net/ethernet/reflow/programs"
    );
    format!("{dir}/{name}.rfp")
}

/// A folder for this test alone.
fn folder(test: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn tool(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reflow-asm"))
        .args(arguments)
        .output()
        .unwrap()
}

/// Standard output of the tool, which must succeed.
fn good(arguments: &[&str]) -> String {
    let output = tool(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error of the tool, which must fail.
fn bad(arguments: &[&str]) -> String {
    let output = tool(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

/// TCP over IPv4 with a VLAN tag, five bytes of data.
const FRAME: &str = "
    52:54:00:12:34:56 52:54:00:65:43:21 8100 2005 0800
    45000039 00010000 40060000 0a000001 0a000002
    1389 0050 11223344 00000000 8018 03e8 0000 0000 0101080a 00000001 00000002
    68656c6c6f";

#[test]
fn an_image_and_its_text_give_the_same_output() {
    let image = folder("image").join("session.rfw");
    let image = image.to_str().unwrap();
    good(&["asm", &program("session"), "-o", image]);
    let verified = good(&["verify", image]);
    assert_eq!(verified, good(&["verify", &program("session")]));
    assert!(verified.starts_with("session: 44 instructions, CRC-32 0x"));
    assert_eq!(
        good(&["disasm", image]),
        good(&["disasm", &program("session")])
    );
    let mut damaged = std::fs::read(image).unwrap();
    damaged[60] ^= 1;
    std::fs::write(image, damaged).unwrap();
    assert!(bad(&["verify", image]).contains("checksum is wrong"));
}

#[test]
fn the_image_goes_beside_the_text() {
    let text = folder("beside").join("small.rfp");
    std::fs::write(&text, "-> done\n").unwrap();
    good(&["asm", text.to_str().unwrap()]);
    let image = std::fs::read(text.with_extension("rfw")).unwrap();
    assert_eq!(reflow_hwdef::image::parse(&image).unwrap().name, "small");
}

#[test]
fn errors_set_the_exit_status() {
    let text = folder("mistakes").join("wrong.rfp");
    std::fs::write(&text, "at 0 -> nowhere\n").unwrap();
    let text = text.to_str().unwrap();
    for command in ["asm", "disasm", "verify", "rust"] {
        let message = bad(&[command, text]);
        assert!(
            message.contains("wrong.rfp:1: no instruction has the label"),
            "{message}"
        );
    }
    assert!(bad(&["verify", "/none/such.rfp"]).contains("cannot read /none/such.rfp"));
    let default = program("default");
    assert!(bad(&["explain", &default, "--hex", "xyz"]).contains("`x` is not a hex digit"));
    assert!(bad(&["explain", &default, "--hex", "0a1"]).contains("half a byte"));
    assert!(bad(&["explain", &default, "--pcap", &default]).contains("not a capture"));
}

/// Claims: 2, 4, 5, 6.
#[test]
fn explain_shows_each_step() {
    let story = good(&["explain", &program("default"), "--hex", FRAME]);
    assert_eq!(story, story::STORY, "got:\n{story}");
}

#[test]
fn explain_shows_why_the_parser_gave_up() {
    let short: String = FRAME
        .split_whitespace()
        .collect::<String>()
        .replace(':', "");
    let truncated = &short[..2 * 60];
    let story = good(&["explain", &program("default"), "--hex", truncated]);
    assert!(
        story.contains("the parser gives up: the output is not inside"),
        "{story}"
    );
    assert!(
        story.contains("refused: no assist for this packet (6 steps)"),
        "{story}"
    );
    let story = good(&["explain", &program("default"), "--hex", "0000"]);
    assert!(
        story.contains("word at 12; the parser gives up: the word is not inside"),
        "{story}"
    );
    let story = good(&["explain", &program("empty"), "--hex", ""]);
    assert!(
        story.contains("refused: no assist for this packet (0 steps)"),
        "{story}"
    );
    let tunnel = format!(
        "525400123456525400654321 0800 4500004d 00010000 40040000 c0000201 \
        c0000202 {}",
        &short[36..]
    );
    let story = good(&["explain", &program("tunnels"), "--hex", &tunnel]);
    assert!(story.contains("ipv4 | tcp | tunnel"), "{story}");
    assert!(
        story.contains("10.0.0.1 port 5001 to 10.0.0.2 port 80"),
        "{story}"
    );
}

#[test]
fn packets_come_from_captures() {
    let frames = [vec![0xff_u8; 20], vec![0xee; 30]];
    let folder = folder("captures");
    let classic = folder.join("classic.pcap");
    let mut writer = PcapWriter::new(File::create(&classic).unwrap()).unwrap();
    for frame in &frames {
        let packet = PcapPacket::new(Duration::ZERO, frame.len() as u32, frame);
        writer.write_packet(&packet).unwrap();
    }
    let next = folder.join("next.pcapng");
    let mut writer = PcapNgWriter::new(File::create(&next).unwrap()).unwrap();
    let interface = InterfaceDescriptionBlock::new(DataLink::ETHERNET, 0xffff);
    writer.write_pcapng_block(interface).unwrap();
    for frame in &frames {
        let packet = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: Duration::ZERO,
            original_len: frame.len() as u32,
            data: Cow::Borrowed(frame),
            options: Vec::new(),
        };
        writer.write_pcapng_block(packet).unwrap();
    }
    drop(writer);
    for capture in [classic, next] {
        let capture = capture.to_str().unwrap();
        let explain = ["explain", &program("default"), "--pcap", capture];
        assert!(good(&explain).contains("The frame has 20 bytes"));
        let second = [&explain[..], &["--packet", "2"]].concat();
        assert!(good(&second).contains("The frame has 30 bytes"));
        let third = [&explain[..], &["--packet", "3"]].concat();
        assert!(bad(&third).contains("has no packet 3, only 2"));
    }
}
