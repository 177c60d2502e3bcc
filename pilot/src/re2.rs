//! Where the patterns that rules may have are not those of RE2, which a stock Envoy reads. Both leave out look-around
//! and back-references; what differs is refused by Envoy, or read otherwise.

use regex_syntax::ast::{
    self, AssertionKind, Ast, ClassSetBinaryOp, ClassSetItem, ClassUnicodeKind, Flag, Flags, FlagsItemKind,
    GroupKind, HexLiteralKind, LiteralKind, RepetitionKind, RepetitionRange, Visitor,
};

/// How often RE2 repeats something at most, repetitions within repetitions multiplied.
const MOST_REPEATED: u32 = 1000;

/// The longest program that a stock Envoy takes by itself, and what every program begins and ends with.
const LARGEST_PROGRAM: u64 = 100;
const FRAME: u64 = 4;

/// The general categories that RE2 knows, by their short names alone.
const CATEGORIES: [&str; 36] = [
    "C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl",
    "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs",
];

/// Scripts whose whole name has four letters; any other name of four letters is an abbreviation.
const SHORT_SCRIPTS: [&str; 8] = ["Ahom", "Cham", "Kawi", "Lisu", "Modi", "Newa", "Thai", "Toto"];

/// What a stock Envoy does not take in `pattern`, or takes otherwise; `None` when it reads it the same.
pub(crate) fn difference(pattern: &str) -> Option<String> {
    // What does not parse here was refused when the rule was read.
    let parsed = ast::parse::Parser::new().parse(pattern).ok()?;
    let finder = Finder {
        pattern,
        budgets: vec![MOST_REPEATED],
    };
    if let Err(why) = ast::visit(&parsed, finder) {
        return Some(why);
    }
    let size = size(&parsed).saturating_add(FRAME);
    (size > LARGEST_PROGRAM).then(|| {
        format!(
            "it makes a program of {size} steps or more, and Envoy takes {LARGEST_PROGRAM} unless its runtime key \
             re2.max_program_size.error_level says more"
        )
    })
}

/// The least number of steps of RE2's program. Classes beyond ASCII have more than the one that is counted here.
fn size(ast: &Ast) -> u64 {
    match ast {
        Ast::Empty(_) | Ast::Flags(_) => 0,
        Ast::Literal(literal) => literal.c.len_utf8() as u64,
        Ast::Dot(_)
        | Ast::Assertion(_)
        | Ast::ClassUnicode(_)
        | Ast::ClassPerl(_)
        | Ast::ClassBracketed(_) => 1,
        Ast::Group(group) => size(&group.ast),
        // Alternatives may share more than can be seen from here.
        Ast::Alternation(several) => several.asts.iter().map(size).max().unwrap_or(0),
        Ast::Concat(several) => several.asts.iter().map(size).fold(0, u64::saturating_add),
        Ast::Repetition(repetition) => {
            let times = match &repetition.op.kind {
                RepetitionKind::Range(
                    RepetitionRange::Exactly(times)
                    | RepetitionRange::AtLeast(times)
                    | RepetitionRange::Bounded(_, times),
                ) => u64::from(*times),
                RepetitionKind::ZeroOrOne | RepetitionKind::ZeroOrMore | RepetitionKind::OneOrMore => 1,
            };
            size(&repetition.ast).saturating_mul(times)
        }
    }
}

struct Finder<'p> {
    pattern: &'p str,
    /// How often what stands here may be repeated, for each repetition around it.
    budgets: Vec<u32>,
}

impl Visitor for Finder<'_> {
    type Output = ();
    type Err = String;

    fn finish(self) -> Result<(), String> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), String> {
        match ast {
            Ast::Flags(set) => flags(&set.flags),
            Ast::Group(group) => match &group.kind {
                GroupKind::NonCapturing(set) => flags(set),
                GroupKind::CaptureIndex(_) | GroupKind::CaptureName { .. } => Ok(()),
            },
            Ast::Repetition(repetition) => self.repetition(repetition),
            Ast::Literal(literal) => hexadecimal(&literal.kind),
            Ast::ClassUnicode(class) => unicode(&class.kind),
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::StartLine
                | AssertionKind::EndLine
                | AssertionKind::StartText
                | AssertionKind::EndText
                | AssertionKind::WordBoundary
                | AssertionKind::NotWordBoundary => Ok(()),
                _ => Err("it has no beginning or end of a word: write \\b".to_owned()),
            },
            Ast::Empty(_)
            | Ast::Dot(_)
            | Ast::ClassPerl(_)
            | Ast::ClassBracketed(_)
            | Ast::Alternation(_)
            | Ast::Concat(_) => Ok(()),
        }
    }

    fn visit_post(&mut self, ast: &Ast) -> Result<(), String> {
        if matches!(ast, Ast::Repetition(_)) {
            self.budgets.pop();
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), String> {
        match item {
            ClassSetItem::Literal(literal) => hexadecimal(&literal.kind),
            ClassSetItem::Range(range) => {
                hexadecimal(&range.start.kind)?;
                hexadecimal(&range.end.kind)
            }
            ClassSetItem::Unicode(class) => unicode(&class.kind),
            ClassSetItem::Bracketed(_) => Err("it has no class within a class".to_owned()),
            ClassSetItem::Empty(_)
            | ClassSetItem::Ascii(_)
            | ClassSetItem::Perl(_)
            | ClassSetItem::Union(_) => Ok(()),
        }
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ClassSetBinaryOp) -> Result<(), String> {
        Err("it has no &&, -- or ~~ between classes".to_owned())
    }
}

impl Finder<'_> {
    fn repetition(&mut self, repetition: &ast::Repetition) -> Result<(), String> {
        if matches!(*repetition.ast, Ast::Repetition(_)) {
            return Err("it has no repetition of a repetition: put the inner one in (?:...)".to_owned());
        }
        let budget = self.budgets.last().copied().unwrap_or(MOST_REPEATED);
        let times = match &repetition.op.kind {
            RepetitionKind::Range(range) => {
                self.written_plainly(repetition)?;
                match range {
                    RepetitionRange::Exactly(times)
                    | RepetitionRange::AtLeast(times)
                    | RepetitionRange::Bounded(_, times) => (*times).max(1),
                }
            }
            RepetitionKind::ZeroOrOne | RepetitionKind::ZeroOrMore | RepetitionKind::OneOrMore => 1,
        };
        let left = budget / times;
        if left == 0 {
            return Err(format!(
                "it repeats at most {MOST_REPEATED} times, repetitions within repetitions multiplied"
            ));
        }
        self.budgets.push(left);
        Ok(())
    }

    /// Whether the numbers stand without spaces; with them the braces are text to RE2.
    fn written_plainly(&self, repetition: &ast::Repetition) -> Result<(), String> {
        let span = repetition.op.span;
        let written = self
            .pattern
            .get(span.start.offset..span.end.offset)
            .unwrap_or_default();
        match written.contains(char::is_whitespace) {
            true => Err(format!(
                "it reads {written} as text: write the numbers without spaces"
            )),
            false => Ok(()),
        }
    }
}

fn flags(flags: &Flags) -> Result<(), String> {
    let unknown = flags.items.iter().find_map(|item| match &item.kind {
        FlagsItemKind::Flag(Flag::Unicode) => Some('u'),
        FlagsItemKind::Flag(Flag::CRLF) => Some('R'),
        FlagsItemKind::Flag(Flag::IgnoreWhitespace) => Some('x'),
        FlagsItemKind::Flag(_) | FlagsItemKind::Negation => None,
    });
    match unknown {
        Some(flag) => Err(format!("it has no flag {flag}, only i, m, s and U")),
        None => Ok(()),
    }
}

fn hexadecimal(kind: &LiteralKind) -> Result<(), String> {
    match kind {
        LiteralKind::HexFixed(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong)
        | LiteralKind::HexBrace(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong) => {
            Err("it has no \\u and \\U: write \\x{...}".to_owned())
        }
        _ => Ok(()),
    }
}

/// Whether RE2 knows the class: a short category, or a script by its whole name, capitalised.
fn unicode(kind: &ClassUnicodeKind) -> Result<(), String> {
    let name = match kind {
        ClassUnicodeKind::OneLetter(_) => return Ok(()),
        ClassUnicodeKind::Named(name) => name,
        ClassUnicodeKind::NamedValue { .. } => {
            return Err("it has no \\p{name=value}: write the script or category alone".to_owned());
        }
    };
    let capitalised = name.split('_').all(|part| {
        let mut letters = part.bytes();
        letters.next().is_some_and(|first| first.is_ascii_uppercase())
            && letters.all(|letter| letter.is_ascii_lowercase())
    });
    let is_script = || {
        capitalised
            && (name.len() != 4 || SHORT_SCRIPTS.contains(&name.as_str()))
            && regex_syntax::parse(&format!("\\p{{Script={name}}}")).is_ok()
    };
    if name == "Any" || CATEGORIES.contains(&name.as_str()) || is_script() {
        return Ok(());
    }
    Err(format!(
        "it has no \\p{{{name}}}: categories have short names (Lu), scripts whole ones (Greek)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALIKE: &[&str] = &[
        "^(.*?;)?(user=jason)(;.*)?$",
        "/a{95}",
        "(?:abc|abd|xyz){12}",
        "/a*(?:b{5}){10}",
        "(?i)/x(?s-m:.*)",
        r"[\p{Lu}\p{Greek}\p{Thai}\pN\x{e9}]+",
        r"\bword\b|\d+[[:alpha:]]*?",
        "(?P<name>a)(?:b*)*",
    ];

    /// What RE2 refuses, and a part of what is said of it.
    const REFUSED: &[(&str, &str)] = &[
        ("/a{1001}", "at most 1000"),
        ("/a{96}", "program of 101 steps"),
        ("(?:a{10}){100}", "program of 1004 steps"),
        ("/(a{2,100}){20}", "at most 1000"),
        ("(?x) a", "no flag x"),
        ("(?-u:a)", "no flag u"),
        (r"\p{Letter}", "no \\p{Letter}"),
        (r"[\p{greek}]", "no \\p{greek}"),
        (r"\p{Grek}", "no \\p{Grek}"),
        (r"\p{Script=Greek}", "name=value"),
        (r"\p{Alphabetic}", "no \\p{Alphabetic}"),
        ("a**", "repetition of a repetition"),
        ("a{2}{3}", "repetition of a repetition"),
        (r"\u00e9", "\\x{...}"),
    ];

    /// What RE2 takes, and understands otherwise.
    const OTHERWISE: &[(&str, &str)] = &[
        ("[a-z&&b]", "&&"),
        ("[a[bc]]", "within a class"),
        ("a{2, 3}", "as text"),
        (r"\b{start}a", "write \\b"),
    ];

    #[test]
    fn what_both_read_alike_is_let_be() {
        for pattern in ALIKE {
            assert_eq!(difference(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn what_differs_is_said_with_what_to_write() {
        for (pattern, part) in REFUSED.iter().chain(OTHERWISE) {
            let told = difference(pattern).unwrap_or_default();
            assert!(told.contains(part), "{pattern}: {told}");
        }
    }

    /// Needs the peer: `cargo xtask peers envoy`.
    #[cfg(feature = "peers")]
    #[test]
    fn a_real_envoy_refuses_just_what_is_said_to_be_refused() {
        let folder = tempfile::tempdir().unwrap();
        let taken = |pattern: &str| {
            let google = "type.googleapis.com/envoy.extensions.filters";
            let manager = serde_json::json!({
                "@type": format!("{google}.network.http_connection_manager.v3.HttpConnectionManager"),
                "stat_prefix": "x",
                "http_filters": [{ "name": "router",
                    "typed_config": { "@type": format!("{google}.http.router.v3.Router") } }],
                "route_config": { "virtual_hosts": [{ "name": "v", "domains": ["*"], "routes": [
                    { "match": { "safe_regex": { "regex": pattern } }, "direct_response": { "status": 200 } }
                ] }] },
            });
            let bootstrap = serde_json::json!({ "static_resources": { "listeners": [{
                "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } },
                "filter_chains": [{ "filters": [{ "name": "manager", "typed_config": manager }] }],
            }] } });
            let file = folder.path().join("bootstrap.json");
            std::fs::write(&file, bootstrap.to_string()).unwrap();
            let envoy = outrigger_testkit::peers::find("envoy").unwrap();
            let mut command = std::process::Command::new(envoy);
            command.args(["--mode", "validate", "-l", "off", "-c"]).arg(&file);
            command.output().unwrap().status.success()
        };
        for pattern in ALIKE.iter().chain(OTHERWISE.iter().map(|(pattern, _)| pattern)) {
            assert!(taken(pattern), "{pattern}");
        }
        for (pattern, _) in REFUSED {
            assert!(!taken(pattern), "{pattern}");
        }
    }
}
