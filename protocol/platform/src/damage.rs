//! Which errors tell that a disk has lost what it was given.

use std::io;

use nix::libc;

/// Whether reading failed because what was stored is lost, or its file system is damaged: to read it again will not help, to write it
/// anew may. What a busy gateway gives (no memory, no more open files) is none of these.
#[must_use]
pub fn is_damaged(error: &io::Error) -> bool {
    // Flash reports EIO; block devices ENODATA (a bad sector) and EILSEQ (a bad check sum); ext4 and UBIFS EBADMSG and EUCLEAN.
    let damages = [libc::EIO, libc::ENODATA, libc::EILSEQ, libc::EBADMSG, libc::EUCLEAN];
    error.raw_os_error().is_some_and(|number| damages.contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_sector_is_damage_and_a_busy_gateway_is_not() {
        let of = |number| is_damaged(&io::Error::from_raw_os_error(number));
        assert!(of(libc::EIO) && of(libc::EUCLEAN));
        assert!(!of(libc::ENOMEM) && !of(libc::EMFILE) && !of(libc::EACCES));
        assert!(!is_damaged(&io::Error::other("EIO")));
    }
}
