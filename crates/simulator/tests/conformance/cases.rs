//! The cases.

use std::time::Duration;

use super::{Entry, Line, Named, Nats, Written};

/// Longer than anything takes that happens at once.
const SOON: Duration = Duration::from_secs(8);

/// All of them, each on a run of its own.
pub async fn all<N: Nats>(mut fresh: impl AsyncFnMut(&'static str) -> N) {
    appends_name_the_last_sequence(fresh("append").await).await;
    an_archived_journal_reads_as_before_and_takes_nothing(fresh("archive").await).await;
    an_id_is_known_for_a_while(fresh("duplicates").await).await;
    what_is_not_acknowledged_comes_again(fresh("redelivery").await).await;
    what_is_handed_back_comes_before_what_waits(fresh("nak").await).await;
    what_is_being_worked_on_stays(fresh("progress").await).await;
    nothing_is_given_up_by_the_server(fresh("deliveries").await).await;
    what_is_buried_is_gone(fresh("bury").await).await;
    each_piece_of_work_goes_to_one_of_two(fresh("two").await).await;
    a_key_is_written_by_compare_and_set(fresh("keys").await).await;
    a_key_that_passes_is_forgotten_when_it_is_not_written_again(fresh("ttl").await).await;
    what_is_full_refuses_and_forgets_nothing(fresh("full").await).await;
    a_restart_forgets_nothing_that_is_stored(fresh("restart").await).await;
}

fn stored(written: Written) -> u64 {
    match written {
        Written::Stored(number) => number,
        other => panic!("{other:?}"),
    }
}

async fn next<N: Nats>(nats: &mut N, client: usize, line: Line) -> (String, u64, N::Got) {
    let patience = nats.ack_wait(line) * 2 + SOON;
    nats.next(client, line, patience).await.expect("a message comes")
}

/// The next two letters, which are these; letters may overtake each other.
async fn two<N: Nats>(nats: &mut N, ids: [&str; 2]) -> [(String, u64, N::Got); 2] {
    let mut both = [next(nats, 0, Line::Letters).await, next(nats, 0, Line::Letters).await];
    both.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    assert_eq!([both[0].0.as_str(), both[1].0.as_str()], ids);
    both
}

async fn appends_name_the_last_sequence(mut nats: impl Nats) {
    let first = stored(nats.append("a", "one", 0).await);
    let second = stored(nats.append("a", "two", first).await);
    assert!(second > first);
    // Of this journal alone: another's records have come in between.
    let other = stored(nats.append("b", "one", 0).await);
    for wrong in [0, first, other, second + 7] {
        assert_eq!(nats.append("a", "wrong", wrong).await, Written::Refused, "after {wrong}");
    }
    let third = stored(nats.append("a", "three", second).await);
    let records = [(first, "one"), (second, "two"), (third, "three")].map(|(n, cause)| (n, cause.to_owned()));
    assert_eq!(nats.records("a").await, records);
    assert_eq!(nats.records("nobody").await, []);
}

async fn an_archived_journal_reads_as_before_and_takes_nothing(mut nats: impl Nats) {
    let first = stored(nats.append("a", "one", 0).await);
    let second = stored(nats.append("a", "two", first).await);
    let other = stored(nats.append("b", "one", 0).await);
    let before = nats.records("a").await;
    for _ in 0..2 {
        stored(nats.archive("a").await);
        assert_eq!(nats.records("a").await, before);
    }
    stored(nats.archive("nobody").await);
    assert_eq!(nats.records("nobody").await, []);
    // A host that knows the journal as it was, and one to which the actor is unborn.
    assert_eq!(nats.append("a", "late", second).await, Written::Refused);
    assert_eq!(nats.append("a", "late", 0).await, Written::Refused);
    stored(nats.append("b", "two", other).await);
}

async fn an_id_is_known_for_a_while(mut nats: impl Nats) {
    let sent = nats.now();
    for _ in 0..3 {
        stored(nats.send(Line::Letters, "x").await);
    }
    stored(nats.send(Line::Letters, "y").await);
    for (_, _, got) in two(&mut nats, ["x", "y"]).await {
        nats.ack(got).await;
    }
    // Sent again all the time, it comes again as soon as it is not known any more: to be sent does not make an id younger.
    let look = nats.duplicates() / 8;
    let (id, deliveries, got) = loop {
        stored(nats.send(Line::Letters, "x").await);
        if let Some(again) = nats.next(0, Line::Letters, look).await {
            break again;
        }
        assert!(nats.now() - sent < nats.duplicates() * 2, "a known id is known for ever");
    };
    assert_eq!((id.as_str(), deliveries), ("x", 1));
    assert!(nats.now() - sent >= nats.duplicates());
    nats.ack(got).await;
}

async fn what_is_not_acknowledged_comes_again(mut nats: impl Nats) {
    stored(nats.send(Line::Letters, "a").await);
    stored(nats.send(Line::Letters, "b").await);
    let got = nats.now();
    let [(_, once, dropped), (_, _, done)] = two(&mut nats, ["a", "b"]).await;
    assert_eq!(once, 1);
    nats.ack(done).await;
    let (id, deliveries, again) = next(&mut nats, 0, Line::Letters).await;
    assert_eq!((id.as_str(), deliveries), ("a", 2));
    assert!(nats.now() - got >= nats.ack_wait(Line::Letters));
    // The first delivery's acknowledgement counts, late as it is.
    nats.ack(dropped).await;
    let rest = nats.ack_wait(Line::Letters) * 2;
    assert!(nats.next(0, Line::Letters, rest).await.is_none());
    nats.ack(again).await;
}

async fn what_is_handed_back_comes_before_what_waits(mut nats: impl Nats) {
    for id in ["a", "b", "c", "d"] {
        stored(nats.send(Line::Work, id).await);
    }
    let (back, pause) = (nats.now(), nats.ack_wait(Line::Work) / 4);
    let (id, _, got) = next(&mut nats, 0, Line::Work).await;
    assert_eq!(id, "a");
    nats.nak(got, pause).await;
    // What waits comes meanwhile.
    let (id, _, got) = next(&mut nats, 0, Line::Work).await;
    assert_eq!(id, "b");
    nats.ack(got).await;
    // Nothing comes here, but the pause goes by.
    assert!(nats.next(0, Line::Letters, pause * 2).await.is_none());
    assert!(nats.now() - back > pause);
    for (expected, times) in [("a", 2), ("c", 1), ("d", 1)] {
        let (id, deliveries, got) = next(&mut nats, 0, Line::Work).await;
        assert_eq!((id.as_str(), deliveries), (expected, times));
        nats.ack(got).await;
    }
}

async fn what_is_being_worked_on_stays(mut nats: impl Nats) {
    stored(nats.send(Line::Work, "dropped").await);
    stored(nats.send(Line::Work, "long").await);
    let (_, _, dropped) = next(&mut nats, 0, Line::Work).await;
    let (id, _, long) = next(&mut nats, 1, Line::Work).await;
    assert_eq!(id, "long");
    let (got, beat) = (nats.now(), nats.ack_wait(Line::Work) / 4);
    let (id, deliveries, again) = loop {
        nats.alive(&long).await;
        if let Some(again) = nats.next(0, Line::Work, beat).await {
            break again;
        }
    };
    // Once more where a server was too slow for the first time.
    assert!(id == "dropped" && deliveries >= 2, "{id} for the {deliveries}th time");
    assert!(nats.now() - got >= nats.ack_wait(Line::Work) * 9 / 10, "{:?}", nats.now() - got);
    nats.ack(again).await;
    drop(dropped);
    // Without a sign of life it comes to the other.
    let (id, deliveries, again) = next(&mut nats, 0, Line::Work).await;
    assert_eq!((id.as_str(), deliveries), ("long", 2));
    nats.ack(again).await;
}

async fn nothing_is_given_up_by_the_server(mut nats: impl Nats) {
    stored(nats.send(Line::Work, "poison").await);
    // More often than the bus delivers anything (10) before it buries it.
    for expected in 1..=12 {
        let (id, deliveries, got) = next(&mut nats, 0, Line::Work).await;
        assert_eq!((id.as_str(), deliveries), ("poison", expected));
        nats.nak(got, Duration::ZERO).await;
    }
    let (_, _, got) = next(&mut nats, 0, Line::Work).await;
    nats.ack(got).await;
}

async fn what_is_buried_is_gone(mut nats: impl Nats) {
    stored(nats.send(Line::Letters, "bad").await);
    let (_, _, got) = next(&mut nats, 0, Line::Letters).await;
    assert_eq!(nats.buried().await, [] as [&str; 0]);
    nats.bury(got, "nobody can read it").await;
    assert_eq!(nats.buried().await, ["nobody can read it"]);
    let rest = nats.ack_wait(Line::Letters) * 2;
    assert!(nats.next(0, Line::Letters, rest).await.is_none());
}

async fn each_piece_of_work_goes_to_one_of_two(mut nats: impl Nats) {
    for id in ["a", "b", "c", "d"] {
        stored(nats.send(Line::Work, id).await);
    }
    let mut seen = vec![];
    let (id, _, held) = next(&mut nats, 0, Line::Work).await;
    seen.push(id);
    // One that is slow keeps nothing from the other.
    for _ in 0..3 {
        let (id, deliveries, got) = next(&mut nats, 1, Line::Work).await;
        assert_eq!(deliveries, 1);
        seen.push(id);
        nats.ack(got).await;
    }
    assert_eq!(seen, ["a", "b", "c", "d"]);
    nats.ack(held).await;
}

/// What a key reads as, in the end: any node may answer, and lag.
async fn reads(nats: &mut impl Nats, key: Named, expected: Entry) {
    let until = nats.now() + SOON;
    loop {
        let read = nats.look(key).await;
        if read == expected {
            return;
        }
        assert!(nats.now() < until, "{read:?} is read instead of {expected:?}");
    }
}

async fn a_key_is_written_by_compare_and_set(mut nats: impl Nats) {
    let key = Named::Stays(1);
    assert_eq!(nats.look(key).await, (0, None));
    let first = stored(nats.put(key, 0, Some(10)).await);
    assert_eq!(nats.put(key, 0, Some(11)).await, Written::Refused);
    reads(&mut nats, key, (first, Some(10))).await;
    let second = stored(nats.put(key, first, Some(12)).await);
    assert!(second > first);
    assert_eq!(nats.put(key, first, Some(13)).await, Written::Refused);
    assert_eq!(nats.put(key, first, None).await, Written::Refused);
    // Deleted by who knows its last revision, and then anybody's who knows of that.
    let deleted = stored(nats.put(key, second, None).await);
    for client in 0..2 {
        for entry in [(first, Some(10)), (second, Some(12)), (deleted, None)] {
            assert_eq!(nats.heard(client, SOON).await, Some((1, entry)));
        }
    }
    reads(&mut nats, key, (deleted, None)).await;
    assert_eq!(nats.put(key, 0, Some(14)).await, Written::Refused);
    assert!(stored(nats.put(key, deleted, Some(15)).await) > deleted);
}

async fn a_key_that_passes_is_forgotten_when_it_is_not_written_again(mut nats: impl Nats) {
    let (begun, beat) = (nats.now(), nats.ttl() / 8);
    let (stays, kept, left) = (Named::Stays(1), Named::Passes(2), Named::Passes(3));
    let one = stored(nats.put(stays, 0, Some(10)).await);
    let mut renewed = stored(nats.put(kept, 0, Some(20)).await);
    let once = stored(nats.put(left, 0, Some(30)).await);
    assert_eq!(nats.heard(1, SOON).await, Some((1, (one, Some(10)))));
    // What is read may lag, or be ahead: whether it is forgotten, the write decides that expects no trace.
    let again = loop {
        assert!(nats.now() - begun < nats.ttl() * 4, "it is not forgotten");
        renewed = stored(nats.put(kept, renewed, Some(20)).await);
        // Nobody is told of what passes.
        assert_eq!(nats.heard(1, beat).await, None);
        if let Written::Stored(again) = nats.put(left, 0, Some(31)).await {
            break again;
        }
    };
    assert!(nats.now() - begun >= nats.ttl() && again > once);
    assert_eq!(nats.put(left, once, Some(32)).await, Written::Refused);
    reads(&mut nats, kept, (renewed, Some(20))).await;
    reads(&mut nats, stays, (one, Some(10))).await;
    // The mark of a key that was deleted goes too.
    stored(nats.put(kept, renewed, None).await);
    let until = nats.now() + nats.ttl() * 4;
    while !matches!(nats.put(kept, 0, Some(21)).await, Written::Stored(_)) {
        assert!(nats.now() < until, "the mark is not forgotten");
        assert_eq!(nats.heard(1, beat).await, None);
    }
}

async fn what_is_full_refuses_and_forgets_nothing(mut nats: impl Nats) {
    stored(nats.send(Line::Work, "a").await);
    let first = stored(nats.append("a", "one", 0).await);
    nats.fill(true).await;
    assert_eq!(nats.send(Line::Work, "b").await, Written::Failed);
    assert_eq!(nats.append("a", "two", first).await, Written::Failed);
    // What is wrong is refused all the same, or fails: it is stored in no case.
    assert!(!matches!(nats.append("a", "two", 0).await, Written::Stored(_)));
    assert_eq!(nats.records("a").await, [(first, "one".to_owned())]);
    nats.fill(false).await;
    // What was refused left no trace: neither its id nor its sequence is known.
    stored(nats.send(Line::Work, "b").await);
    stored(nats.append("a", "two", first).await);
    for expected in ["a", "b"] {
        let (id, _, got) = next(&mut nats, 0, Line::Work).await;
        assert_eq!(id, expected);
        nats.ack(got).await;
    }
}

async fn a_restart_forgets_nothing_that_is_stored(mut nats: impl Nats) {
    let sent = nats.now();
    let first = stored(nats.append("a", "one", 0).await);
    for id in ["held", "waits"] {
        stored(nats.send(Line::Work, id).await);
    }
    let (id, _, held) = next(&mut nats, 0, Line::Work).await;
    assert_eq!(id, "held");
    stored(nats.send(Line::Letters, "done").await);
    let (_, _, got) = next(&mut nats, 0, Line::Letters).await;
    nats.ack(got).await;
    nats.restart().await;
    drop(held);
    assert_eq!(nats.append("a", "two", 0).await, Written::Refused);
    stored(nats.append("a", "two", first).await);
    // The id of what still lies there is known, for its time; that of what was acknowledged may be.
    if nats.now() - sent < nats.duplicates() * 3 / 4 {
        stored(nats.send(Line::Work, "waits").await);
    }
    stored(nats.send(Line::Letters, "done").await);
    // Both come, and what was done at most once more: whoever gets it knows it. Whether the server still knows that it had handed
    // one of them out is not said: it comes at once, or when its time has run out.
    let mut seen = vec![];
    for _ in 0..2 {
        let (id, deliveries, got) = next(&mut nats, 1, Line::Work).await;
        assert!(deliveries == 1 || (id == "held" && deliveries == 2), "{id} {deliveries}");
        nats.ack(got).await;
        seen.push(id);
    }
    seen.sort();
    assert_eq!(seen, ["held", "waits"]);
    let rest = nats.ack_wait(Line::Work) * 2;
    assert!(nats.next(1, Line::Work, rest).await.is_none());
    if let Some((id, deliveries, got)) = nats.next(0, Line::Letters, rest).await {
        assert_eq!((id.as_str(), deliveries), ("done", 1));
        nats.ack(got).await;
    }
    assert_eq!(nats.records("a").await.len(), 2);
}
