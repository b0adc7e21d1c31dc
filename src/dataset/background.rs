//! Work that lets everything else go first.

/// Nice value of the thread: about a tenth of the processor's time of a thread that is in as much of a hurry, all of what nobody wants.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Does `work` in a thread of its own with low priority, where the system has priorities for threads (Linux). Blocking until it is done.
pub(super) fn in_background<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let task = || {
        lower_priority();
        work()
    };
    std::thread::scope(|scope| match scope.spawn(task).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

#[cfg(target_os = "linux")]
fn lower_priority() {
    // On Linux no process means the calling thread.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!("the thread keeps its priority: {error}");
    }
}

#[cfg(not(target_os = "linux"))]
fn lower_priority() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn nice() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }

    #[test]
    fn the_work_alone_has_low_priority() {
        let before = nice();
        assert_eq!(in_background(nice), before.max(NICE));
        assert_eq!(nice(), before);
    }

    #[test]
    #[should_panic(expected = "of the work")]
    fn a_panic_goes_on() {
        in_background(|| panic!("of the work"));
    }
}
