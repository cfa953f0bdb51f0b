// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Guest memory against a model that keeps one entry a byte.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;
use reflow_mem::{GuestMemory, MapError, MemError, Permissions};
use rustix::fs::{memfd_create, MemfdFlags};

const PAGE: u64 = 4096;

fn memfd(bytes: &[u8]) -> File {
    let mut file = File::from(memfd_create("guest", MemfdFlags::CLOEXEC).unwrap());
    file.write_all(bytes).unwrap();
    file
}

fn zeroed(pages: u64) -> File {
    let file = memfd(&[]);
    file.set_len(pages * PAGE).unwrap();
    file
}

fn share(file: &File, offset: u64) -> Option<(File, u64)> {
    Some((file.try_clone().unwrap(), offset))
}

const RW: Permissions = Permissions::READ_WRITE;

/// Writes of the device reach the file, and its reads see what others wrote there.
#[test]
fn memory_is_shared() {
    let file = zeroed(2);
    let mut mem = GuestMemory::new();
    mem.map(0x10_0000, PAGE, RW, share(&file, PAGE)).unwrap();
    mem.write(0x10_0010, b"to guest").unwrap();
    let mut seen = [0; 8];
    file.read_exact_at(&mut seen, PAGE + 0x10).unwrap();
    assert_eq!(&seen, b"to guest");
    file.write_all_at(b"to device", PAGE + 0x20).unwrap();
    let mut seen = [0; 9];
    mem.read(0x10_0020, &mut seen).unwrap();
    assert_eq!(&seen, b"to device");
}

/// An access over two ranges that touch works; over a hole it changes nothing at all.
#[test]
fn accesses_cross_ranges_but_not_holes() {
    let (a, b) = (zeroed(1), zeroed(1));
    let mut mem = GuestMemory::new();
    mem.map(0x1000, PAGE, RW, share(&a, 0)).unwrap();
    mem.map(0x2000, PAGE, RW, share(&b, 0)).unwrap();
    mem.write(0x1ffc, b"abcdefgh").unwrap();
    let mut seen = [0; 8];
    mem.read(0x1ffc, &mut seen).unwrap();
    assert_eq!(&seen, b"abcdefgh");

    assert_eq!(
        mem.write(0x2ffc, b"ABCDEFGH"),
        Err(MemError::Unmapped(0x3000))
    );
    assert_eq!(
        mem.write(0x0ffc, b"ABCDEFGH"),
        Err(MemError::Unmapped(0x0ffc))
    );
    let mut seen = [1; 4];
    mem.read(0x2ffc, &mut seen).unwrap();
    assert_eq!(seen, [0; 4]);
    mem.read(0x1000, &mut seen).unwrap();
    assert_eq!(seen, [0; 4]);
}

/// Ranges without a file, or for reading only, are known but not accessible.
#[test]
fn ranges_without_memory_are_tolerated() {
    let mut mem = GuestMemory::new();
    mem.map(0xa_0000, 0x2_0000, RW, None).unwrap();
    mem.map(
        0xc_0000,
        PAGE,
        Permissions::READ,
        share(&memfd(&[7; 4096]), 0),
    )
    .unwrap();
    let mut byte = [0];
    assert_eq!(
        mem.read(0xa_0000, &mut byte),
        Err(MemError::Unmapped(0xa_0000))
    );
    assert_eq!(
        mem.write(0xb_ffff, &[1, 2]),
        Err(MemError::Unmapped(0xb_ffff))
    );
    mem.read(0xc_0fff, &mut byte).unwrap();
    assert_eq!(byte, [7]);
    assert_eq!(mem.write(0xc_0000, &byte), Err(MemError::Denied(0xc_0000)));
    assert_eq!(
        mem.store_release_u32(0xc_0000, 1),
        Err(MemError::Denied(0xc_0000))
    );
    mem.unmap(0xa_0000, 0x2_0000).unwrap();
    assert_eq!(mem.len(), 1);
}

/// A mapping is gone when unmap returns: nothing in the process refers to the file any more.
#[test]
fn unmap_is_prompt() {
    let file = zeroed(1);
    let inode = {
        use std::os::unix::fs::MetadataExt;
        file.metadata().unwrap().ino().to_string()
    };
    let is_mapped = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines()
            .any(|l| l.contains("/memfd:guest") && l.split(' ').any(|w| w == inode))
    };
    let mut mem = GuestMemory::new();
    mem.map(0, PAGE, RW, share(&file, 0)).unwrap();
    assert!(is_mapped());
    mem.unmap(0, PAGE).unwrap();
    assert!(!is_mapped());
    assert_eq!(mem.read(0, &mut [0]), Err(MemError::Unmapped(0)));

    mem.map(0, PAGE, RW, share(&file, 0)).unwrap();
    mem.clear();
    assert!(!is_mapped());
}

/// Ranges that make no sense are refused and change nothing.
#[test]
fn bad_ranges_are_refused() {
    let file = zeroed(1);
    let mut mem = GuestMemory::new();
    assert!(matches!(
        mem.map(0, 0, RW, None),
        Err(MapError::BadRange { .. })
    ));
    assert!(matches!(
        mem.map(u64::MAX, 2, RW, None),
        Err(MapError::BadRange { .. })
    ));
    let long = mem.map(0, 2 * PAGE, RW, share(&file, 0));
    assert!(matches!(long, Err(MapError::ShortFile { .. })));
    let behind = mem.map(0, PAGE, RW, share(&file, u64::MAX));
    assert!(matches!(behind, Err(MapError::ShortFile { .. })));
    assert!(matches!(
        mem.map(0, 1, RW, share(&file, 1)),
        Err(MapError::Map(_))
    ));
    assert!(mem.is_empty());

    mem.map(0x1000, 2 * PAGE, RW, None).unwrap();
    assert!(matches!(
        mem.map(0x2fff, 1, RW, None),
        Err(MapError::Overlap { .. })
    ));
    assert!(matches!(
        mem.map(0, u64::MAX, RW, None),
        Err(MapError::Overlap { .. })
    ));
    assert!(mem.unmap(0x1000, PAGE).is_err());
    assert!(mem.unmap(0x2000, PAGE).is_err());
    assert!(mem.unmap(0, 0).is_err());
    assert_eq!(mem.len(), 1);
    mem.unmap(0, u64::MAX).unwrap();
    assert!(mem.is_empty());
}

/// The last byte of the address space can be accessed, and nothing wraps around behind it.
#[test]
fn the_address_space_ends() {
    let file = zeroed(1);
    let mut mem = GuestMemory::new();
    mem.map(0, PAGE, RW, share(&file, 0)).unwrap();
    mem.map(u64::MAX - PAGE + 1, PAGE, RW, share(&file, 0))
        .unwrap();
    mem.write(u64::MAX, &[1]).unwrap();
    assert_eq!(
        mem.write(u64::MAX, &[1, 2]),
        Err(MemError::Unmapped(u64::MAX))
    );
}

/// Release stores are little endian, aligned, and within one range.
#[test]
fn release_stores() {
    let file = zeroed(2);
    let mut mem = GuestMemory::new();
    mem.map(0, PAGE, RW, share(&file, 0)).unwrap();
    mem.map(PAGE, PAGE, RW, share(&file, PAGE)).unwrap();
    mem.store_release_u64(8, 0x0102_0304_0506_0708).unwrap();
    mem.store_release_u32(PAGE, 0x0a0b_0c0d).unwrap();
    let mut seen = [0; 12];
    mem.read(8, &mut seen[..8]).unwrap();
    mem.read(PAGE, &mut seen[8..]).unwrap();
    assert_eq!(seen, [8, 7, 6, 5, 4, 3, 2, 1, 0x0d, 0x0c, 0x0b, 0x0a]);
    for addr in [1, 4, PAGE - 4] {
        assert_eq!(
            mem.store_release_u64(addr, 1),
            Err(MemError::Misaligned(addr))
        );
    }
    assert_eq!(
        mem.store_release_u32(PAGE - 2, 1),
        Err(MemError::Misaligned(PAGE - 2))
    );
    assert_eq!(
        mem.store_release_u32(2 * PAGE, 1),
        Err(MemError::Unmapped(2 * PAGE))
    );
}

/// One step of the property test, in pages.
#[derive(Clone, Debug)]
enum Step {
    Map { page: u64, pages: u64, kind: Kind },
    Unmap { page: u64, pages: u64 },
    Write { addr: u64, len: usize, fill: u8 },
    Read { addr: u64, len: usize },
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Ram,
    Rom,
    Nothing,
}

/// Pages of the address space that the property test uses.
const PAGES: u64 = 12;

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![4 => Just(Kind::Ram), 1 => Just(Kind::Rom), 1 => Just(Kind::Nothing)];
    // Accesses gather at page ends, where ranges meet.
    let addr = (0..PAGES, prop_oneof![0..PAGE, (PAGE - 16)..PAGE]).prop_map(|(p, o)| p * PAGE + o);
    let len = prop_oneof![4 => 0..40_usize, 1 => 0..9000_usize];
    prop_oneof![
        (0..PAGES, 1..4_u64, kind).prop_map(|(page, pages, kind)| Step::Map { page, pages, kind }),
        (0..PAGES, 1..6_u64).prop_map(|(page, pages)| Step::Unmap { page, pages }),
        (addr.clone(), len.clone(), any::<u8>()).prop_map(|(addr, len, fill)| Step::Write {
            addr,
            len,
            fill
        }),
        (addr, len).prop_map(|(addr, len)| Step::Read { addr, len }),
    ]
}

/// The model: for each mapped page the range it belongs to, its kind and its bytes.
#[derive(Default)]
struct Model {
    pages: BTreeMap<u64, (u64, Kind, Vec<u8>)>,
    ranges: BTreeMap<u64, u64>,
}

impl Model {
    fn map(&mut self, page: u64, pages: u64, kind: Kind) -> bool {
        if (page..page + pages).any(|p| self.pages.contains_key(&p)) {
            return false;
        }
        for p in page..page + pages {
            self.pages.insert(p, (page, kind, vec![0; PAGE as usize]));
        }
        self.ranges.insert(page, pages);
        true
    }

    fn unmap(&mut self, page: u64, pages: u64) -> bool {
        let area = page..page + pages;
        let touched: Vec<(u64, u64)> = self
            .ranges
            .iter()
            .map(|(&p, &n)| (p, n))
            .filter(|&(p, n)| p < area.end && area.start < p + n)
            .collect();
        if touched
            .iter()
            .any(|&(p, n)| p < area.start || p + n > area.end)
        {
            return false;
        }
        for (p, n) in touched {
            self.ranges.remove(&p);
            self.pages.retain(|_, (range, ..)| *range != p);
            assert!(n > 0);
        }
        true
    }

    fn byte(&mut self, addr: u64, write: bool) -> Option<&mut u8> {
        let (_, kind, bytes) = self.pages.get_mut(&(addr / PAGE))?;
        let allowed = *kind == Kind::Ram || (*kind == Kind::Rom && !write);
        allowed.then(|| &mut bytes[(addr % PAGE) as usize])
    }

    fn accessible(&mut self, addr: u64, len: usize, write: bool) -> bool {
        (addr..addr + len as u64).all(|a| self.byte(a, write).is_some())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever is mapped, unmapped, read and written in whatever order, memory behaves as bytes
    /// that are each there or not.
    #[test]
    fn behaves_as_single_bytes(steps in prop::collection::vec(step(), 1..60)) {
        let mut mem = GuestMemory::new();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Map { page, pages, kind } => {
                    let file = (kind != Kind::Nothing).then(|| (zeroed(pages), 0));
                    let allowed = if kind == Kind::Rom { Permissions::READ } else { RW };
                    let result = mem.map(page * PAGE, pages * PAGE, allowed, file);
                    prop_assert_eq!(result.is_ok(), model.map(page, pages, kind));
                }
                Step::Unmap { page, pages } => {
                    let result = mem.unmap(page * PAGE, pages * PAGE);
                    prop_assert_eq!(result.is_ok(), model.unmap(page, pages));
                }
                Step::Write { addr, len, fill } => {
                    let data: Vec<u8> = (0..len).map(|i| fill.wrapping_add(i as u8)).collect();
                    let possible = model.accessible(addr, len, true);
                    prop_assert_eq!(mem.write(addr, &data).is_ok(), possible);
                    if possible {
                        for (a, byte) in (addr..).zip(data) {
                            *model.byte(a, true).unwrap() = byte;
                        }
                    }
                }
                Step::Read { addr, len } => {
                    let mut data = vec![0xee; len];
                    let possible = model.accessible(addr, len, false);
                    prop_assert_eq!(mem.read(addr, &mut data).is_ok(), possible);
                    for (a, byte) in (addr..).zip(data) {
                        let expected = if possible { *model.byte(a, false).unwrap() } else { 0xee };
                        prop_assert_eq!(byte, expected);
                    }
                }
            }
            prop_assert_eq!(mem.len(), model.ranges.len());
        }
    }
}
