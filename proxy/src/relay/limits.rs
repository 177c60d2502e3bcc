//! How long the parts of an exchange may take, and whose fault it is when one of them takes longer.

use std::time::Duration;

use tokio::time::Instant;

use crate::deadline::after;

/// Without a byte of the request's body for so long, the rest is not waited for (`spec/reliability.md` §3).
const REQUEST_IDLE: Duration = Duration::from_secs(60);

/// How long things may take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    /// From the end of the request to the end of the answer, over all tries.
    pub(crate) route: Option<Duration>,
    /// Without a byte either way.
    pub(crate) idle: Option<Duration>,
    /// For the whole request to arrive.
    pub(crate) request: Option<Duration>,
}

/// A limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The route's time ran out.
    Route(Duration),
    /// The request did not arrive in time.
    Request(Duration),
    /// The upstream took nothing more of the request for so long.
    Stalled(Duration),
    /// Nothing moved for so long.
    Idle(Duration),
}

/// What an exchange waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// A connection to send the request on. Nothing of its body is read meanwhile.
    Placing,
    /// The rest of the request, or its answer.
    Asking,
    /// The rest of the answer; more of the request may come.
    Answering,
}

/// How far an exchange has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) stage: Stage,
    /// When the request's head had come.
    pub(super) started: Instant,
    /// When all of the request had come.
    pub(super) ended: Option<Instant>,
    /// The upstream takes no more of the request for now.
    pub(super) blocked: bool,
    /// When something moved last.
    pub(super) moved: Instant,
}

impl Times {
    /// The limit that comes next, and when.
    pub(super) fn next(&self, progress: &Progress) -> Option<(Instant, Limit)> {
        let &Progress {
            stage,
            started,
            ended,
            blocked,
            moved,
        } = progress;
        // What the proxy does not read yet cannot end: the wait for a connection is part of the route's time.
        let counts_from = ended.or((stage == Stage::Placing).then_some(started));
        let route = counts_from.and_then(|from| due(from, self.route, Limit::Route));
        let (request, idle) = match (stage, ended) {
            // The client is not waited for: its upstream is.
            (Stage::Asking, None) if blocked => (
                due(started, self.request, Limit::Stalled),
                due(moved, self.idle, Limit::Stalled),
            ),
            (Stage::Asking, None) => {
                let limit = self.idle.map_or(REQUEST_IDLE, |idle| idle.min(REQUEST_IDLE));
                (
                    due(started, self.request, Limit::Request),
                    due(moved, Some(limit), Limit::Request),
                )
            }
            // Once an answer comes, more of the request may take its time.
            _ => (None, due(moved, self.idle, Limit::Idle)),
        };
        [route, request, idle]
            .into_iter()
            .flatten()
            .min_by_key(|(moment, _)| *moment)
    }
}

/// The moment `limit` from `start`, with what is reached then.
fn due(start: Instant, limit: Option<Duration>, reached: fn(Duration) -> Limit) -> Option<(Instant, Limit)> {
    Some((after(start, limit)?, reached(limit?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn times() -> Times {
        Times {
            route: Some(15 * SECOND),
            idle: Some(300 * SECOND),
            request: None,
        }
    }

    fn begun(stage: Stage) -> Progress {
        let started = Instant::now();
        Progress {
            stage,
            started,
            ended: None,
            blocked: false,
            moved: started,
        }
    }

    /// The limit that comes next, in seconds from the start of the request.
    fn next(times: &Times, progress: &Progress) -> Option<(u64, Limit)> {
        let (moment, limit) = times.next(progress)?;
        Some(((moment - progress.started).as_secs(), limit))
    }

    #[test]
    fn the_routes_time_runs_from_the_end_of_the_request_whatever_was_tried_since() {
        let mut progress = begun(Stage::Placing);
        progress.ended = Some(progress.started + 2 * SECOND);
        progress.moved = progress.started + 9 * SECOND;
        let expected = Some((17, Limit::Route(15 * SECOND)));
        assert_eq!(next(&times(), &progress), expected);
        progress.stage = Stage::Asking;
        assert_eq!(next(&times(), &progress), expected);
    }

    #[test]
    fn waiting_for_a_connection_counts_and_uploading_does_not() {
        let placing = begun(Stage::Placing);
        assert_eq!(next(&times(), &placing), Some((15, Limit::Route(15 * SECOND))));

        let uploading = begun(Stage::Asking);
        assert_eq!(
            next(&times(), &uploading),
            Some((60, Limit::Request(60 * SECOND)))
        );
        let whole = Times {
            request: Some(20 * SECOND),
            ..times()
        };
        assert_eq!(next(&whole, &uploading), Some((20, Limit::Request(20 * SECOND))));
        assert_eq!(
            next(&whole, &placing),
            Some((15, Limit::Route(15 * SECOND))),
            "the client is not to blame for what is not read"
        );
    }

    #[test]
    fn an_upstream_that_does_not_read_is_to_blame_for_it_and_not_the_client() {
        let mut uploading = begun(Stage::Asking);
        uploading.blocked = true;
        assert_eq!(
            next(&times(), &uploading),
            Some((300, Limit::Stalled(300 * SECOND)))
        );
        let whole = Times {
            request: Some(20 * SECOND),
            ..times()
        };
        assert_eq!(next(&whole, &uploading), Some((20, Limit::Stalled(20 * SECOND))));
    }

    #[test]
    fn once_the_answer_has_begun_the_request_may_be_quiet_as_long_as_the_stream_may() {
        let talking = begun(Stage::Answering);
        let whole = Times {
            request: Some(20 * SECOND),
            ..times()
        };
        assert_eq!(next(&whole, &talking), Some((300, Limit::Idle(300 * SECOND))));
    }

    #[test]
    fn without_a_routes_time_an_exchange_may_be_idle_for_so_long() {
        let endless = Times {
            route: None,
            ..times()
        };
        let mut progress = begun(Stage::Asking);
        progress.ended = Some(progress.started);
        assert_eq!(next(&endless, &progress), Some((300, Limit::Idle(300 * SECOND))));
        assert_eq!(next(&Times::default(), &progress), None);
    }
}
