//! The documented tasks as data: which command, and what the answers must then be. Pure.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::demo::tour::answers::Answers;

/// Requests per measurement where every answer must be the same.
const SAME: u32 = 60;
/// Requests per measurement of a split.
const SPLIT: u32 = 200;
/// How far a share may lie from its weight, in percentage points: over four standard deviations of 200 fair draws.
const TOLERANCE: f64 = 15.0;

/// One step of the tour.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    /// What the user is doing.
    pub(crate) title: String,
    /// The rule files, each with the verb that applies it.
    pub(crate) commands: Vec<(Verb, PathBuf)>,
    /// What must come of it.
    pub(crate) expected: Vec<Expectation>,
}

/// The operator's verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// The rule is new.
    Create,
    /// A rule of that name exists.
    Replace,
    /// The rule goes.
    Delete,
}

impl Verb {
    /// As typed.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Verb::Create => "create",
            Verb::Replace => "replace",
            Verb::Delete => "delete",
        }
    }
}

/// What a step must bring about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expectation {
    /// Pages for `user` (or for a stranger) come from these versions in these shares (percent).
    Pages {
        /// Who is signed in.
        user: Option<&'static str>,
        /// Version and share; together 100.
        shares: Vec<(&'static str, u32)>,
    },
    /// The command prints a warning with these words, and the rule is stored.
    Warning(&'static str),
}

impl Expectation {
    fn everyone(version: &'static str) -> Self {
        Expectation::Pages {
            user: None,
            shares: vec![(version, 100)],
        }
    }

    fn jason(version: &'static str) -> Self {
        Expectation::Pages {
            user: Some("jason"),
            shares: vec![(version, 100)],
        }
    }

    fn split(user: Option<&'static str>, shares: &[(&'static str, u32)]) -> Self {
        Expectation::Pages {
            user,
            shares: shares.to_vec(),
        }
    }

    /// How many requests tell.
    pub(crate) fn requests(&self) -> u32 {
        match self {
            Expectation::Pages { shares, .. } if shares.len() == 1 => SAME,
            Expectation::Pages { .. } => SPLIT,
            Expectation::Warning(_) => 0,
        }
    }

    /// As printed in the table.
    pub(crate) fn describe(&self) -> String {
        match self {
            Expectation::Warning(words) => format!("stored, warning names {words}"),
            Expectation::Pages { user, shares } => {
                let parts: Vec<String> = shares
                    .iter()
                    .map(|(version, share)| format!("{version} {share} %"))
                    .collect();
                format!("{}: {}", user.unwrap_or("anyone"), parts.join(", "))
            }
        }
    }

    /// True when the answers are what was expected: no other kind of answer, and each share within reach.
    pub(crate) fn holds(&self, answers: &Answers) -> bool {
        let Expectation::Pages { shares, .. } = self else {
            return true;
        };
        let known = |kind: &String| shares.iter().any(|(version, _)| version == kind);
        let near = |(version, share): &(&str, u32)| {
            let slack = if shares.len() == 1 { 0.0 } else { TOLERANCE };
            (answers.share(version) - f64::from(*share)).abs() <= slack
        };
        answers.total() == self.requests() && answers.by.keys().all(known) && shares.iter().all(near)
    }
}

/// The tasks of the first generation (`config.istio.io/v1alpha2`) on the files in `folder`. Files that the folder
/// does not have are left out, but the five of the documented tasks must be there.
pub(crate) fn first_generation(folder: &Path) -> Result<Vec<Step>> {
    let files = Files::of(folder)?;
    let all_v1 = files.need("all-v1.yaml")?;
    let test_v2 = files.need("reviews-test-v2.yaml")?;
    let half_v3 = files.need("reviews-50-v3.yaml")?;
    let v3 = files.need("reviews-v3.yaml")?;
    let mut steps = vec![
        step(
            "everything to v1",
            &[(Verb::Create, &all_v1)],
            vec![Expectation::everyone("v1")],
        ),
        step(
            "jason to v2 by his cookie",
            &[(Verb::Create, &test_v2)],
            vec![Expectation::jason("v2"), Expectation::everyone("v1")],
        ),
        step(
            "half of the others to v3",
            &[(Verb::Replace, &half_v3)],
            vec![
                Expectation::split(None, &[("v1", 50), ("v3", 50)]),
                Expectation::jason("v2"),
            ],
        ),
        step(
            "all of the others to v3",
            &[(Verb::Replace, &v3)],
            vec![Expectation::everyone("v3"), Expectation::jason("v2")],
        ),
    ];
    if let Some(file) = files.find("reviews-v2-v3.yaml") {
        let halves = [("v2", 50), ("v3", 50)];
        steps.push(step(
            "v2 and v3 by halves",
            &[(Verb::Replace, &file)],
            vec![Expectation::split(None, &halves)],
        ));
    }
    for (name, title, words) in [
        ("ratings-db.yaml", "ratings v2, which does not run", "version=v2"),
        (
            "ratings-test-delay.yaml",
            "a delay for jason's ratings",
            "httpFault",
        ),
    ] {
        if let Some(file) = files.find(name) {
            let commands = [(Verb::Create, &file), (Verb::Delete, &file)];
            steps.push(step(title, &commands, vec![Expectation::Warning(words)]));
        }
    }
    Ok(steps)
}

/// The same tasks in the second generation (`networking.istio.io/v1alpha3`).
pub(crate) fn second_generation(folder: &Path) -> Result<Vec<Step>> {
    let files = Files::of(folder)?;
    let subsets = files.need("destination-rule-all.yaml")?;
    let all_v1 = files.need("virtual-service-all-v1.yaml")?;
    Ok(vec![
        step(
            "everything to v1",
            &[(Verb::Create, &subsets), (Verb::Create, &all_v1)],
            vec![Expectation::everyone("v1")],
        ),
        step(
            "jason to v2 by his cookie",
            &[(
                Verb::Replace,
                &files.need("virtual-service-reviews-test-v2.yaml")?,
            )],
            vec![Expectation::jason("v2"), Expectation::everyone("v1")],
        ),
        step(
            "half of the others to v3",
            &[(Verb::Replace, &files.need("virtual-service-reviews-50-v3.yaml")?)],
            vec![
                Expectation::split(None, &[("v1", 50), ("v3", 50)]),
                Expectation::jason("v2"),
            ],
        ),
        step(
            "everybody to v3",
            &[(Verb::Replace, &files.need("virtual-service-reviews-v3.yaml")?)],
            vec![Expectation::everyone("v3"), Expectation::jason("v3")],
        ),
    ])
}

fn step(title: &str, commands: &[(Verb, &PathBuf)], expected: Vec<Expectation>) -> Step {
    let commands = commands
        .iter()
        .map(|(verb, file)| (*verb, (*file).clone()))
        .collect();
    Step {
        title: title.to_owned(),
        commands,
        expected,
    }
}

/// The YAML files of one folder.
struct Files {
    folder: PathBuf,
    names: Vec<PathBuf>,
}

impl Files {
    fn of(folder: &Path) -> Result<Files> {
        let entries = std::fs::read_dir(folder)
            .with_context(|| format!("cannot read rules in {}", folder.display()))?;
        let mut names: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        names.sort();
        Ok(Files {
            folder: folder.to_owned(),
            names,
        })
    }

    fn find(&self, ending: &str) -> Option<PathBuf> {
        let ends = |path: &&PathBuf| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| {
                    name.strip_suffix(ending)
                        .is_some_and(|before| before.is_empty() || before.ends_with('-'))
                })
        };
        self.names.iter().find(ends).cloned()
    }

    fn need(&self, ending: &str) -> Result<PathBuf> {
        match self.find(ending) {
            Some(file) => Ok(file),
            None => bail!(
                "{} has no file whose name ends in {ending}, which the tour needs",
                self.folder.display()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(counts: &[(&str, u32)]) -> Answers {
        Answers {
            by: counts
                .iter()
                .map(|(kind, count)| ((*kind).to_owned(), *count))
                .collect(),
        }
    }

    #[test]
    fn one_wrong_answer_breaks_a_step_that_expects_one_version() {
        let everyone = Expectation::everyone("v1");

        assert!(everyone.holds(&answers(&[("v1", 60)])));
        assert!(!everyone.holds(&answers(&[("v1", 59), ("v2", 1)])));
        assert!(!everyone.holds(&answers(&[("v1", 59), ("status 503", 1)])));
        assert!(!everyone.holds(&answers(&[("v1", 59)])));
    }

    #[test]
    fn a_split_may_lean_but_not_fall() {
        let split = Expectation::split(None, &[("v1", 50), ("v3", 50)]);

        assert!(split.holds(&answers(&[("v1", 115), ("v3", 85)])));
        assert!(!split.holds(&answers(&[("v1", 140), ("v3", 60)])));
        assert!(!split.holds(&answers(&[("v1", 100), ("v3", 99), ("v2", 1)])));
    }

    #[test]
    fn a_folder_that_lacks_a_documented_task_is_refused_by_the_name_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("route-rule-all-v1.yaml"), "").unwrap();

        let refused = first_generation(folder.path()).unwrap_err().to_string();

        assert!(refused.contains("reviews-test-v2.yaml"), "{refused}");
    }

    #[test]
    fn reviews_v3_is_not_mistaken_for_half_v3_or_v2_v3() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "rr-reviews-50-v3.yaml",
            "rr-reviews-v2-v3.yaml",
            "rr-reviews-v3.yaml",
        ] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }

        let files = Files::of(folder.path()).unwrap();

        assert!(
            files
                .find("reviews-v3.yaml")
                .unwrap()
                .ends_with("rr-reviews-v3.yaml")
        );
    }
}
