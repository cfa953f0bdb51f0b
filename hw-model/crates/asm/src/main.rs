// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `reflow-asm`: assembles, disassembles, verifies and explains programs of the header parser.
#![forbid(unsafe_code)]

use clap::{Args, Parser, Subcommand};
use reflow_asm::input::Loaded;
use reflow_asm::{explain, input, rust, text};
use reflow_device::parser::Program;
use reflow_hwdef::{image, verify};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Assembles, disassembles, verifies and explains programs of the Reflow header parser.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Assemble a program's text to a firmware image that the driver can load.
    Asm {
        /// Program text (.rfp).
        input: PathBuf,
        /// Image to write [default: the input with the extension .rfw].
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
    /// Print a program as text, which assembles to the same words.
    Disasm {
        /// Image or program text.
        input: PathBuf,
    },
    /// Check a program as driver and device do before they run it.
    Verify {
        /// Image or program text.
        input: PathBuf,
    },
    /// Explain step by step what a program does with a packet.
    Explain {
        /// Image or program text.
        input: PathBuf,
        #[command(flatten)]
        frame: Frame,
        /// Which packet of the capture, counted from 1.
        #[arg(long, default_value_t = 1, value_name = "N", conflicts_with = "hex")]
        packet: usize,
    },
    /// Generate the driver's source file of shipped programs.
    Rust {
        /// Program texts, the default program first.
        #[arg(required = true)]
        inputs: Vec<PathBuf>,
        /// File to write [default: standard output].
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
}

/// Where the packet comes from.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Frame {
    /// The frame's bytes from the destination address on, in hex digits; `-` reads them from
    /// standard input.
    #[arg(long, value_name = "FRAME")]
    hex: Option<String>,
    /// A capture, pcap or pcapng, of an Ethernet link.
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
}

impl Frame {
    fn read(&self, packet: usize) -> Result<Vec<u8>, String> {
        match (&self.hex, &self.pcap) {
            (_, Some(path)) => input::frame_from_capture(path, packet),
            (Some(hex), None) if hex == "-" => {
                let mut text = String::new();
                std::io::stdin()
                    .read_to_string(&mut text)
                    .map_err(|e| format!("cannot read standard input: {e}"))?;
                input::frame_from_hex(&text)
            }
            (Some(hex), None) => input::frame_from_hex(hex),
            (None, None) => Err("give a packet with --hex or --pcap".into()),
        }
    }
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(text) => {
            // A closed pipe, as by `head`, is no error.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("reflow-asm: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command; returns its output.
fn run(command: &Command) -> Result<String, String> {
    match command {
        Command::Asm { input, output } => {
            let program = input::assemble_file(input)?;
            let image = reflow_asm::image(&program).ok_or_else(|| {
                format!(
                    "`{}` cannot be a program's name; take 1 to {} ASCII characters without blanks",
                    program.name,
                    image::NAME_MAX
                )
            })?;
            let output = output
                .clone()
                .unwrap_or_else(|| input.with_extension("rfw"));
            write(&output, &image)?;
            Ok(String::new())
        }
        Command::Disasm { input } => {
            let program = input::load(input)?;
            Ok(text::disassemble(&program.name, &program.words))
        }
        Command::Verify { input } => {
            let (loaded, program) = verified(input)?;
            Ok(format!(
                "{}: {} instructions, CRC-32 {:#010x}, accepted\n",
                loaded.name,
                program.len(),
                program.crc()
            ))
        }
        Command::Explain {
            input,
            frame,
            packet,
        } => {
            let (loaded, program) = verified(input)?;
            let frame = frame.read(*packet)?;
            Ok(explain::explain(&program, &loaded, &frame))
        }
        Command::Rust { inputs, output } => {
            let programs: Result<Vec<_>, _> =
                inputs.iter().map(|i| input::assemble_file(i)).collect();
            let source = rust::source(&programs?);
            match output {
                Some(path) => write(path, source.as_bytes()).map(|()| String::new()),
                None => Ok(source),
            }
        }
    }
}

/// Reads a program and verifies it as the device does.
fn verified(path: &Path) -> Result<(Loaded, Program), String> {
    let loaded = input::load(path)?;
    match Program::load(&loaded.words) {
        Ok(program) => Ok((loaded, program)),
        Err(verify::Refusal { reason, at }) => Err(format!(
            "{}: instruction {at}: {}",
            path.display(),
            reason.text()
        )),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(path, bytes).map_err(|e| format!("cannot write {}: {e}", path.display()))
}
