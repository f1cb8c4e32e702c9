//! What the process may hold: open files, pinned memory.

/// Raises the limit of open files as far as the process may and says what it is now.
pub fn raise_open_files() -> u64 {
    let mut limit = limit_of(libc::RLIMIT_NOFILE);
    if limit.rlim_cur < limit.rlim_max {
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        // SAFETY: the kernel reads the limit behind the pointer.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } == 0 {
            limit = raised;
        }
    }
    limit.rlim_cur
}

/// Bytes this process may pin (`RLIMIT_MEMLOCK`); `None` without a limit.
pub fn memory_lock_limit() -> Option<u64> {
    match limit_of(libc::RLIMIT_MEMLOCK).rlim_cur {
        libc::RLIM_INFINITY => None,
        bytes => Some(bytes),
    }
}

fn limit_of(resource: libc::__rlimit_resource_t) -> libc::rlimit {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes the limit into the struct behind the pointer.
    let result = unsafe { libc::getrlimit(resource, &mut limit) };
    assert_eq!(result, 0, "every process has this limit");
    limit
}
