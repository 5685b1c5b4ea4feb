//! In the common case the codec allocates nothing: the buffer is the caller's.

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use protojson::{ReadOptions, WriteOptions};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came.
#[allow(unsafe_code, reason = "a global allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending has no counter any more.
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SPACE: &str = concat!(
    r#"{"name":"spaces/AAQAjCNSsU0","displayName":"Launch \"room\" für alle","spaceType":"SPACE","#,
    r#""spaceHistoryState":2,"spaceDetails":{"description":"Where we plan the launch"},"#,
    r#""createTime":"2026-11-24T09:30:00.123456Z","membershipCount":{"joinedDirectHumanUserCount":17},"#,
    r#""accessSettings":{"accessState":"DISCOVERABLE","audience":"audiences/default"},"#,
    r#""permissionSettings":{"manageApps":{"managersAllowed":true,"assistantManagersAllowed":false}}}"#
);

#[test]
fn nothing_is_allocated_with_a_reused_buffer() {
    let space = common::message("example.Space");
    let (read, write) = (ReadOptions::default(), WriteOptions::default());
    let (mut wire, mut json) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    let before = COUNT.get();
    space.read_json(SPACE.as_bytes(), &mut wire, &read).unwrap();
    let reading = COUNT.get() - before;
    // The text has no order that the wire must have; by way of JSON it gets one.
    space.write_json(&wire, &mut json, &write).unwrap();
    wire.clear();
    space.read_json(&json, &mut wire, &read).unwrap();
    let before = COUNT.get();
    let again = &mut Vec::with_capacity(4096);
    let buffer = COUNT.get() - before;
    space.write_json(&wire, again, &write).unwrap();
    let writing = COUNT.get() - before - buffer;
    assert_eq!((reading, writing), (0, 0));
    assert_eq!(*again, json);
    // The counter does count.
    assert!(buffer > 0);
}
