//! How many files the process may have open, sockets included.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit to what the administrator allows. The lower one that processes begin with is there for programs that
/// use `select`. A proxied connection takes two of them, a proxy's stream at pilot and a watch of rules one each.
pub(super) fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(?current, ?maximum, %error, "the limit of open files cannot be raised");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_in_force_becomes_the_highest_that_is_allowed() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        let lower = Rlimit {
            current: Some(maximum.unwrap_or(4096).min(4096) - 1),
            maximum,
        };
        setrlimit(Resource::Nofile, lower).expect("a lower limit");

        raise();

        assert_eq!(getrlimit(Resource::Nofile).current, maximum);
    }
}
