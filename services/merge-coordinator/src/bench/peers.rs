//! The peers' queues, as their sources and the literature describe them.

use std::collections::VecDeque;

use super::{BenchRow, Stream, Tally};

/// One submission at a time: merge, build, keep or reset (RepoProver).
pub(super) fn serial(stream: &Stream) -> BenchRow {
    let mut landed = vec![false; stream.submissions.len()];
    let mut tally = Tally::default();
    for at in 0..stream.submissions.len() {
        tally.builds += 1;
        if stream.builds(&landed, &[at]) {
            landed[at] = true;
            tally.landed += 1;
        }
    }
    tally.build_times = tally.builds as f64;
    stream.row("serial", "RepoProver", 1, tally)
}

/// A batch in one build; on failure its left half, and so on to the first culprit, one build after the other. What was good
/// before it lands, what comes after it is queued again (AutoformBot).
pub(super) fn bisect(stream: &Stream, width: usize) -> BenchRow {
    let mut landed = vec![false; stream.submissions.len()];
    let mut tally = Tally::default();
    let mut next = 0;
    while next < stream.submissions.len() {
        // `next..failing` is known to fail once it is shorter than the batch.
        let mut failing = (next + width).min(stream.submissions.len());
        let mut tried = failing;
        loop {
            tally.builds += 1;
            if stream.builds(&landed, &(next..tried).collect::<Vec<_>>()) {
                landed[next..tried].fill(true);
                tally.landed += (tried - next) as u64;
                next = tried;
                if tried == failing {
                    break;
                }
            } else {
                failing = tried;
            }
            if failing - next == 1 {
                // A culprit is never built alone: what is left of a batch that failed is taken for it.
                next = failing;
                break;
            }
            tried = next + (failing - next) / 2;
        }
    }
    tally.build_times = tally.builds as f64;
    stream.row("batch and bisect", "AutoformBot", width as u32, tally)
}

/// Rounds of one build time: all prefixes of the first submissions in parallel, with `singles` each alone too. The longest
/// good prefix lands; the first of the next prefix is the culprit, singles name all culprits.
pub(super) fn prefix_tree(stream: &Stream, width: u32, singles: bool) -> BenchRow {
    let mut landed = vec![false; stream.submissions.len()];
    let mut tally = Tally::default();
    let mut next = 0;
    let mut queue: VecDeque<usize> = VecDeque::new();
    loop {
        while queue.len() < width as usize && next < stream.submissions.len() {
            queue.push_back(next);
            next += 1;
        }
        if next == stream.submissions.len() {
            // As for ours: the stream has run out, and the last round is not counted.
            break;
        }
        tally.build_times += 1.0;
        tally.builds += queue.len() as u64;
        let mut good = Vec::new();
        while let Some(&first) = queue.front() {
            good.push(first);
            if !stream.builds(&landed, &good) {
                good.pop();
                break;
            }
            queue.pop_front();
        }
        if singles {
            // The first prefix is its own single.
            tally.builds += (good.len() + queue.len()).saturating_sub(1) as u64;
            queue.retain(|&at| stream.builds(&landed, &[at]));
        } else {
            queue.pop_front();
        }
        for at in good {
            landed[at] = true;
            tally.landed += 1;
        }
        if singles && queue.front().is_some_and(|&at| !stream.builds(&landed, &[at])) {
            // Good alone, broken with what has just landed.
            queue.pop_front();
        }
    }
    let (queue, used_by) =
        if singles { ("prefixes and singles", "none known") } else { ("prefix tree", "Zuul") };
    stream.row(queue, used_by, width, tally)
}
