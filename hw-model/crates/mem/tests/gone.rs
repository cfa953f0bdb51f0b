// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Memory that goes away under its mapping: such an access fails as one to an address where nothing
//! is, and those to what is left go on.

use std::fs::File;
use std::os::unix::fs::FileExt;

use reflow_mem::{GuestMemory, MemError, Permissions};
use rustix::fs::{memfd_create, MemfdFlags};

const PAGE: u64 = 4096;
const BASE: u64 = 0x10_0000;

/// Memory of so many pages, and its file.
fn memory(pages: u64) -> (GuestMemory, File) {
    let file = File::from(memfd_create("gone", MemfdFlags::CLOEXEC).unwrap());
    file.set_len(pages * PAGE).unwrap();
    let mut memory = GuestMemory::new();
    let same = file.try_clone().unwrap();
    memory
        .map(BASE, pages * PAGE, Permissions::READ_WRITE, Some((same, 0)))
        .unwrap();
    (memory, file)
}

fn unmapped<T>(result: Result<T, MemError>) -> bool {
    matches!(result, Err(MemError::Unmapped(_)))
}

/// Every kind of access fails, as often as it is made.
#[test]
fn a_file_that_is_emptied() {
    let (memory, file) = memory(4);
    memory.write(BASE, &[7; 16]).unwrap();
    file.set_len(0).unwrap();
    for _ in 0..3 {
        assert!(unmapped(memory.read(BASE, &mut [0; 16])));
        assert!(unmapped(memory.write(BASE + PAGE, &[1; 100])));
        assert!(unmapped(memory.store_release_u64(BASE + 8, 1)));
        assert!(unmapped(memory.store_release_u32(BASE + 3 * PAGE, 1)));
    }
    assert_eq!(file.metadata().unwrap().len(), 0);
}

/// The rest of a truncated file stays accessible, before and after an access beyond it; so is the
/// file once it has grown again.
#[test]
fn a_file_that_is_cut_and_grows_again() {
    let (memory, file) = memory(4);
    memory.write(BASE + PAGE - 8, &[1; 8]).unwrap();
    file.set_len(PAGE).unwrap();
    let mut seen = [0; 8];
    for _ in 0..2 {
        assert!(unmapped(memory.write(BASE + PAGE - 4, &[2; 8])));
        assert!(unmapped(memory.read(BASE + 2 * PAGE, &mut [0; 8])));
        memory.read(BASE + 16, &mut seen).unwrap();
        memory.write(BASE + 16, &[3; 8]).unwrap();
        file.read_exact_at(&mut seen, 16).unwrap();
        assert_eq!(seen, [3; 8]);
    }
    file.set_len(4 * PAGE).unwrap();
    file.write_all_at(&[9; 8], 2 * PAGE).unwrap();
    memory.read(BASE + 2 * PAGE, &mut seen).unwrap();
    assert_eq!(seen, [9; 8]);
    memory.store_release_u64(BASE + 3 * PAGE, 5).unwrap();
    file.read_exact_at(&mut seen, 3 * PAGE).unwrap();
    assert_eq!(u64::from_le_bytes(seen), 5);
}

/// One range that goes leaves the others alone; ranges that come and go find a place.
#[test]
fn only_its_own_range_fails() {
    let (mut memory, file) = memory(1);
    for round in 0..20_u64 {
        let other = File::from(memfd_create("other", MemfdFlags::CLOEXEC).unwrap());
        other.set_len(PAGE).unwrap();
        let at = BASE + (1 + round) * PAGE;
        memory
            .map(at, PAGE, Permissions::READ_WRITE, Some((other, 0)))
            .unwrap();
        file.set_len(0).unwrap();
        // Across both.
        if round == 0 {
            assert!(unmapped(memory.write(at - 4, &[1; 8])));
        }
        assert!(unmapped(memory.read(BASE, &mut [0; 4])));
        memory.write(at, &[1; 8]).unwrap();
        if round % 3 == 2 {
            memory.unmap(at, PAGE).unwrap();
        }
        file.set_len(PAGE).unwrap();
        memory.read(BASE, &mut [0; 4]).unwrap();
    }
}

/// Several threads, each with memory of its own that comes and goes.
#[test]
fn threads_do_not_mix_their_ranges() {
    let work = |seed: u8| {
        for round in 0..50 {
            let (memory, file) = memory(2);
            memory.write(BASE, &[seed; 8]).unwrap();
            file.set_len(PAGE).unwrap();
            assert!(unmapped(memory.write(BASE + PAGE, &[seed; 8])));
            let mut seen = [0; 8];
            memory.read(BASE, &mut seen).unwrap();
            assert_eq!(seen, [seed; 8], "round {round}");
        }
    };
    std::thread::scope(|scope| {
        for seed in 1..5 {
            scope.spawn(move || work(seed));
        }
    });
}

/// The file is shortened again and again while it is accessed: each access reaches it or fails.
#[test]
fn a_file_that_changes_all_the_time() {
    let (memory, file) = memory(2);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                file.set_len(PAGE).unwrap();
                file.set_len(2 * PAGE).unwrap();
            }
        });
        for _ in 0..20_000 {
            let _ = memory.write(BASE + PAGE, &[1; 64]);
            let _ = memory.read(BASE + PAGE, &mut [0; 64]);
            memory.write(BASE, &[1; 64]).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
