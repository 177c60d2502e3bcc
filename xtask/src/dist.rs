//! How what is measured and shipped is built: by the profile `dist`, as one file that needs no library of the machine.
//!
//! The target is named even where it is the machine's own: without that, flags would reach build scripts and
//! procedural macros too, which cannot be linked this way.

use std::process::Command;

/// The first glibc whose programs understand packed relocations.
const PACKED_SINCE: (u32, u32) = (2, 36);

/// Words for `cargo build` and `cargo run`.
pub(crate) fn words() -> Vec<String> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut flags = vec!["-C", "target-feature=+crt-static"];
    if glibc().is_some_and(|version| version >= PACKED_SINCE) {
        // Half a megabyte less to read at start, and to keep, in every process.
        flags.extend(["-C", "link-arg=-Wl,-z,pack-relative-relocs"]);
    }
    let flags = format!("target.{target}.rustflags={flags:?}");
    ["--profile", "dist", "--target", &target, "--config", &flags]
        .map(str::to_owned)
        .into()
}

/// The version of this machine's glibc; `None` where there is none.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    version(&String::from_utf8(output.stdout).ok()?)
}

fn version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.strip_prefix("glibc ")?.trim().split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert_eq!(version("glibc 2.36\n"), Some((2, 36)));
        assert!(version("glibc 2.9\n") < Some(PACKED_SINCE));
        assert_eq!(version("musl 1.2.4"), None);
    }
}
