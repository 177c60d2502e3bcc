//! The character classes of HTTP/1, as tables and small predicates.

/// Builds a 256-entry table out of the bytes of `set`.
const fn table(set: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut rest = set;
    while let [first, tail @ ..] = rest {
        // A byte is always below 256, so this constant evaluation cannot fail at run time.
        #[allow(clippy::indexing_slicing)]
        {
            table[*first as usize] = true;
        }
        rest = tail;
    }
    table
}

const TOKEN: [bool; 256] =
    table(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
const REG_NAME: [bool; 256] = table(b"-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

/// Whether `byte` may stand in a method, header name or protocol token.
pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).copied().unwrap_or(false)
}

/// Whether `name` is a non-empty token.
pub(super) fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&byte| is_token_byte(byte))
}

/// Whether `byte` may stand in a host name: letters, digits, `-`, `.`, `_` and `~`.
pub(super) fn is_host_byte(byte: u8) -> bool {
    REG_NAME.get(usize::from(byte)).copied().unwrap_or(false)
}

/// Whether `byte` is a control byte that no head line may have; the tab is allowed, CR and LF are not.
pub(super) const fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// Whether every byte of `value` may stand in a field value.
pub(super) fn is_field_value(value: &[u8]) -> bool {
    !value.iter().any(|&byte| is_control(byte))
}

/// Splits a comma list into its trimmed, non-empty members.
pub(super) fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}
