// SPDX-License-Identifier: GPL-2.0

//! Flow keys for people.

use core::{
    fmt::{
        self,
        Write, //
    },
    net::{
        IpAddr,
        SocketAddr, //
    },
};

/// The address in network order, if there are as many bytes as one has.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// Both addresses of a key, and the ports behind them if there are any.
fn parts(key: &[u8], v6: bool) -> Option<(IpAddr, IpAddr, Option<[u16; 2]>)> {
    let len = if v6 { 16 } else { 4 };
    let (source, rest) = key.split_at_checked(len)?;
    let (destination, ports) = rest.split_at_checked(len)?;
    let ports = match *ports {
        [] => None,
        [a, b, c, d] => Some([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]),
        _ => return None,
    };
    Some((address(source)?, address(destination)?, ports))
}

/// Writes source and destination of a key, each with its port if the key has ports; a key that is
/// something else in hexadecimal, and a dash for its destination.
pub(super) fn write(out: &mut impl Write, key: &[u8], v6: bool) -> fmt::Result {
    match parts(key, v6) {
        Some((source, destination, None)) => write!(out, "{source} {destination}"),
        Some((source, destination, Some([from, to]))) => write!(
            out,
            "{} {}",
            SocketAddr::new(source, from),
            SocketAddr::new(destination, to)
        ),
        None if key.is_empty() => out.write_str("- -"),
        None => {
            for byte in key {
                write!(out, "{byte:02x}")?;
            }
            out.write_str(" -")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        string::String,
        vec::Vec, //
    };

    fn text(key: &[u8], v6: bool) -> String {
        let mut out = String::new();
        write(&mut out, key, v6).unwrap();
        out
    }

    #[test]
    fn keys_of_addresses_and_ports() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 2, 0x14, 0x51, 0, 80];
        assert_eq!(text(&v4, false), "192.0.2.1:5201 198.51.100.2:80");
        assert_eq!(text(&v4[..8], false), "192.0.2.1 198.51.100.2");
        let v6: Vec<u8> = [
            &[0x20, 1, 0xd, 0xb8][..],
            &[0; 11],
            &[1, 0x20, 1, 0xd, 0xb8],
            &[0; 11],
            &[2, 0, 1, 0, 2],
        ]
        .concat();
        assert_eq!(text(&v6, true), "[2001:db8::1]:1 [2001:db8::2]:2");
    }

    #[test]
    fn other_keys_are_shown_as_they_are() {
        assert_eq!(text(&[0xab, 0, 1], false), "ab0001 -");
        assert_eq!(text(&[1; 9], false), "010101010101010101 -");
        assert_eq!(text(&[], true), "- -");
    }
}
