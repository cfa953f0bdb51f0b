// SPDX-License-Identifier: GPL-2.0 OR MIT

//! TAP devices of the host.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

/// Attaches to the TAP device `name`, which is made if it is not there.
///
/// Each read of the file gives one Ethernet frame, each write sends one; neither blocks.
///
/// # Errors
///
/// The name is not one for a network device, or the kernel refuses: most often for want of
/// CAP_NET_ADMIN, or because another process is attached.
pub fn open(name: &str) -> io::Result<File> {
    let mut request = request(name)?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")?;
    // SAFETY: the descriptor is open for the whole call, and TUNSETIFF reads and writes one
    // `ifreq`, which `request` is and which nothing else refers to.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

fn request(name: &str) -> io::Result<libc::ifreq> {
    let mut ifr_name = [0; libc::IFNAMSIZ];
    let bad = name.is_empty()
        || name.len() >= ifr_name.len()
        || !name
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'/' && b != b'%');
    if bad {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name:?} is not the name of a network device"),
        ));
    }
    for (to, from) in ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    // Frames come as they are on the wire, without a header of the driver's own.
    let flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    Ok(libc::ifreq {
        ifr_name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: flags },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that the kernel would take for a pattern, or not at all, never get there.
    #[test]
    fn bad_names_are_refused() {
        for name in ["", "a/b", "tap%d", "sixteen-letters-", "a b", "tap\n"] {
            assert_eq!(
                open(name).unwrap_err().kind(),
                io::ErrorKind::InvalidInput,
                "{name:?}"
            );
        }
    }

    /// The longest name has room for its terminator.
    #[test]
    fn names_are_copied() {
        let request = request("fifteen-letters").unwrap();
        let name: Vec<u8> = request
            .ifr_name
            .iter()
            .map(|c| c.to_ne_bytes()[0])
            .collect();
        assert_eq!(&name, b"fifteen-letters\0");
    }
}
