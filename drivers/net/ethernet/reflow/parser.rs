// SPDX-License-Identifier: GPL-2.0

//! The parser program: which one is at work, and putting another one there.
//!
//! A parser program comes from a file ([`image`]) or with the driver ([`programs`]). It is verified
//! here and once more by the device, which changes over between two packets; a parser program that
//! one of them refuses leaves the old one at work.

use crate::{
    hw::{
        image::{
            self,
            ImageError, //
        },
        isa,
        programs,
        regs::reg,
        verify::{
            self,
            Refusal, //
        }, //
    },
    mmio::{
        Mmio,
        GONE, //
    },
    net::devlink::Text, //
};
use kernel::{
    device::{
        self,
        Bound, //
    },
    firmware::Firmware,
    fmt,
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// The file that is looked for when the driver binds to a device.
const FILE: &CStr = c"reflow/parser.rfw";
/// The parser program to begin with where there is none: it merges what comes through tunnels, too.
const FIRST: &str = "tunnels";

/// Why a parser program was not put to work.
pub(crate) enum NotLoaded {
    /// The file is none that holds a parser program.
    Image(ImageError),
    /// No parser program of this name comes with the driver.
    Unknown,
    /// The verifier refused it.
    Verifier(Refusal),
    /// The device refused it: at which instruction, and its code.
    Device(u32, u32),
    /// No memory to look at it.
    Memory,
    /// There is no device any more.
    Gone,
}

impl fmt::Display for NotLoaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(e) => f.write_str(e.text()),
            Self::Unknown => {
                f.write_str("no such program; there are")?;
                for program in programs::PROGRAMS {
                    write!(f, " {}", program.name)?;
                }
                Ok(())
            }
            Self::Verifier(r) => write!(f, "instruction {}: {}", r.at, r.reason.text()),
            Self::Device(at, code) => {
                write!(f, "the device refused instruction {at} with code {code}")
            }
            Self::Memory => f.write_str("no memory"),
            Self::Gone => f.write_str("the device has gone"),
        }
    }
}

impl From<NotLoaded> for Error {
    fn from(why: NotLoaded) -> Self {
        match why {
            NotLoaded::Memory => ENOMEM,
            NotLoaded::Gone => ENODEV,
            _ => EINVAL,
        }
    }
}

/// The header parser of a device.
pub(crate) struct Parser<'bound> {
    mmio: Arc<Mmio<'bound>>,
    /// The parser program at work. Locked while another one takes its place.
    program: Pin<KBox<Mutex<Program>>>,
}

/// A parser program that the device accepted.
struct Program {
    name: Text,
    words: KVec<u32>,
}

impl<'bound> Parser<'bound> {
    /// The parser of a device that has been reset, without a program. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(mmio: &Arc<Mmio<'bound>>) -> Result<Self> {
        Ok(Self {
            mmio: mmio.clone(),
            program: KBox::pin_init(
                new_mutex!(Program {
                    name: Text::default(),
                    words: KVec::new(),
                }),
                GFP_KERNEL,
            )?,
        })
    }

    /// Loads the first parser program: that of the file, if there is a good one, else [`FIRST`].
    /// May sleep.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if the device refuses that, [`ENOMEM`].
    pub(crate) fn load_first(&self, dev: &device::Device<Bound>) -> Result {
        if let Ok(file) = Firmware::request_nowarn(FILE, dev) {
            match self.load_image(file.data()) {
                Ok(()) => return Ok(()),
                Err(why) => dev_warn!(dev, "{} not loaded: {}\n", FILE, why),
            }
        }
        self.load_named(FIRST).map_err(|why| {
            dev_err!(dev, "parser program {}: {}\n", FIRST, why);
            why.into()
        })
    }

    /// Puts the parser program in a file to work. May sleep.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(crate) fn load_image(&self, file: &[u8]) -> Result<(), NotLoaded> {
        let image = image::parse(file).map_err(NotLoaded::Image)?;
        let mut words = KVec::new();
        for word in image.words() {
            words
                .push(word, GFP_KERNEL)
                .map_err(|_| NotLoaded::Memory)?;
        }
        self.load(image.name, &words)
    }

    /// Puts a parser program to work that comes with the driver. May sleep.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(crate) fn load_named(&self, name: &str) -> Result<(), NotLoaded> {
        let mut shipped = programs::PROGRAMS.iter();
        let program = shipped.find(|p| p.name == name).ok_or(NotLoaded::Unknown)?;
        self.load(program.name, program.words)
    }

    fn load(&self, name: &str, words: &[u32]) -> Result<(), NotLoaded> {
        verify::verify(words).map_err(NotLoaded::Verifier)?;
        let mut copy =
            KVec::with_capacity(words.len(), GFP_KERNEL).map_err(|_| NotLoaded::Memory)?;
        copy.extend_from_slice(words, GFP_KERNEL)
            .map_err(|_| NotLoaded::Memory)?;
        let mut now = self.program.lock();
        self.write(words)?;
        *now = Program {
            name: Text::new(fmt!("{name}")),
            words: copy,
        };
        Ok(())
    }

    /// Puts the parser program to work again after a reset. May sleep.
    ///
    /// # Errors
    ///
    /// As for loading one.
    pub(crate) fn restore(&self) -> Result<(), NotLoaded> {
        self.write(&self.program.lock().words)
    }

    fn write(&self, words: &[u32]) -> Result<(), NotLoaded> {
        let len = (words.len() / isa::INSTR_WORDS) as u32;
        for (i, &word) in words.iter().enumerate() {
            self.mmio.write_at(reg::PARSER_RAM, i, word);
        }
        self.mmio.write(reg::PARSER_COMMIT, len);
        let status = self.mmio.read(reg::PARSER_STATUS);
        if status.0 == GONE {
            return Err(NotLoaded::Gone);
        }
        if status.error() != 0 || status.len() != len {
            return Err(NotLoaded::Device(status.at(), status.error()));
        }
        Ok(())
    }

    /// Name of the parser program at work. May sleep.
    pub(crate) fn name(&self) -> Text {
        self.program.lock().name
    }

    /// CRC-32 of the parser program at work, from the device.
    pub(crate) fn crc(&self) -> u32 {
        self.mmio.read(reg::PARSER_CRC)
    }

    /// Instructions of the parser program at work, from the device.
    pub(crate) fn len(&self) -> u32 {
        self.mmio.read(reg::PARSER_STATUS).len()
    }
}
