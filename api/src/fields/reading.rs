//! What reading one document has told so far, and how much of it is enough.

use std::cell::{Cell, RefCell};

use crate::document::node::Mark;
use crate::problem::Problem;

/// Most problems and most warnings that are told of one document; the rest is counted.
const MAX_TOLD: usize = 100;

/// Most regular expressions in one document: each is compiled once to see that it can be.
const MAX_PATTERNS: u32 = 1000;

/// What reading one document has told so far.
pub(crate) struct Reading {
    pub(super) allow_unknown: bool,
    problems: RefCell<Told>,
    warnings: RefCell<Told>,
    patterns: Cell<u32>,
}

/// Problems, and how many more there were.
#[derive(Default)]
struct Told {
    kept: Vec<Problem>,
    dropped: usize,
}

impl Told {
    fn tell(&mut self, mut problem: Problem, mark: Mark) {
        problem.line = mark.line;
        problem.column = mark.column;
        // Two checks may meet the same value of a wrong type.
        if self.kept.contains(&problem) {
            return;
        }
        if self.kept.len() < MAX_TOLD {
            self.kept.push(problem);
        } else {
            self.dropped += 1;
        }
    }

    fn finish(mut self, what: &str) -> Vec<Problem> {
        self.kept.sort_by(|left, right| {
            let place = |problem: &Problem| (problem.line, problem.column);
            place(left)
                .cmp(&place(right))
                .then_with(|| left.path.cmp(&right.path))
        });
        if let (Some(last), true) = (self.kept.last().cloned(), self.dropped > 0) {
            self.kept.push(Problem {
                path: String::new(),
                message: format!("and {} more {what}", self.dropped),
                hint: None,
                ..last
            });
        }
        self.kept
    }
}

impl Reading {
    pub(crate) fn new(allow_unknown: bool) -> Reading {
        Reading {
            allow_unknown,
            problems: RefCell::default(),
            warnings: RefCell::default(),
            patterns: Cell::new(0),
        }
    }

    /// The problems and the warnings, in the order of the document.
    pub(crate) fn into_told(self) -> (Vec<Problem>, Vec<Problem>) {
        let problems = self.problems.into_inner().finish("problems");
        (problems, self.warnings.into_inner().finish("warnings"))
    }

    pub(super) fn is_full(&self) -> bool {
        self.problems.borrow().kept.len() >= MAX_TOLD
    }

    /// Counts a regular expression that is going to be compiled; false when there are too many of them.
    pub(crate) fn may_compile(&self) -> bool {
        self.patterns.set(self.patterns.get().saturating_add(1));
        self.patterns.get() <= MAX_PATTERNS
    }

    /// Tells a problem that stands at `mark`.
    pub(crate) fn problem(&self, mark: Mark, problem: Problem) {
        self.problems.borrow_mut().tell(problem, mark);
    }

    pub(super) fn warning(&self, mark: Mark, problem: Problem) {
        self.warnings.borrow_mut().tell(problem, mark);
    }
}
