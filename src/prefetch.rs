//! Fetching memory ahead of its use.

/// Has the processor fetch the memory at `at` while it goes on. A hint: it changes nothing, and nothing waits for it.
#[inline(always)]
pub(crate) fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing that the program could see, and faults at no address, valid or not.
        #[allow(unsafe_code, reason = "there is no safe way to say it")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(at.cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_will_do() {
        prefetch(&7);
        prefetch(std::ptr::null::<u8>());
        prefetch(std::ptr::null::<u64>().wrapping_sub(1));
    }
}
