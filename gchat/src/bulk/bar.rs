//! A progress bar on the terminal, if this build has them.

#[cfg(feature = "full")]
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

#[cfg(feature = "full")]
pub(super) struct Bar(ProgressBar);

#[cfg(feature = "full")]
impl Bar {
    pub(super) fn new(total: u64) -> Option<Self> {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:32} {pos} of {len} rows  {wide_msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Some(Self(bar))
    }

    pub(super) fn show(&self, done: u64, text: String) {
        self.0.set_position(done);
        self.0.set_message(text);
    }

    /// Takes the bar away while this writes.
    pub(super) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.0.suspend(write)
    }

    pub(super) fn end(self) {
        self.0.finish_and_clear();
    }
}

/// No bar: this build writes lines to a terminal, too.
#[cfg(not(feature = "full"))]
pub(super) enum Bar {}

#[cfg(not(feature = "full"))]
impl Bar {
    pub(super) fn new(_: u64) -> Option<Self> {
        None
    }

    pub(super) fn show(&self, _: u64, _: String) {
        match *self {}
    }

    pub(super) fn suspend<T>(&self, _: impl FnOnce() -> T) -> T {
        match *self {}
    }

    pub(super) fn end(self) {
        match self {}
    }
}
