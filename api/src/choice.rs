//! Enumerations of documents, read by name or by number and written by name.

/// An enumeration with a fixed list of values.
pub(crate) trait Choice: Copy + PartialEq + 'static {
    /// Every value with its number and name, in the order messages list them.
    const VALUES: &'static [(i64, &'static str, Self)];

    /// The value with this exact name.
    fn from_name(name: &str) -> Option<Self> {
        Self::VALUES
            .iter()
            .find(|(_, known, _)| *known == name)
            .map(|(_, _, value)| *value)
    }

    /// The value with this number.
    fn from_number(number: i64) -> Option<Self> {
        Self::VALUES
            .iter()
            .find(|(known, _, _)| *known == number)
            .map(|(_, _, value)| *value)
    }

    /// All names.
    fn names() -> Vec<&'static str> {
        Self::VALUES.iter().map(|(_, name, _)| *name).collect()
    }

    /// The name of this value; every value is in the list.
    fn name(self) -> &'static str {
        Self::VALUES
            .iter()
            .find(|(_, _, value)| *value == self)
            .map_or("", |(_, name, _)| *name)
    }
}
