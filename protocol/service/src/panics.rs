//! What a panic does.

/// From now on a panic anywhere in this process ends it, after it was told. The build for the gateway does so by itself; with
/// this every build does. Where a panic unwinds it ends one thread or task, and what waits for that would wait for ever: the
/// service manager can begin a program anew, but not a part of one.
pub fn end_the_process() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        std::process::abort();
    }));
}
