//! Answers to many writes at once: what is joined, and who is told what.

use super::*;

/// A segment's decrements may be in two entries, and a follower's first be decided second.
#[test]
fn the_first_decrement_of_a_key_has_the_answer_that_was_decided_first() {
    let [tee, cap]: [Sku; 2] = ["tee", "cap"].map(|key| key.parse().unwrap());
    let writing = |(at, sku): (usize, &Sku)| Writing {
        at,
        sku: sku.clone(),
        write: Write::Count(-1),
        further: Vec::new(),
    };
    let writes: Vec<Writing> =
        [&tee, &tee, &cap, &tee, &tee, &tee].into_iter().enumerate().map(writing).collect();
    let left = |seq, left| Told { reply: Reply::Int(left), at: Some((Seq(seq), false)) };
    let sold_out = Told { reply: Reply::error("SOLDOUT"), at: Some((Seq(9), true)) };
    let unknown = Told::open(Reply::error(UNKNOWN));
    // Between the second and the third somebody has added units.
    let told =
        vec![unknown.clone(), left(12, 3), left(5, 8), sold_out.clone(), left(9, 0), left(8, 1)];
    let expected =
        [Reply::Int(1), Reply::Int(0), Reply::Int(8), sold_out.reply, Reply::Int(3), unknown.reply];
    assert_eq!(in_order(&writes, &told), expected);
}

#[test]
fn a_deletion_is_as_uncertain_as_its_parts_together() {
    let [done, none] = [1, 0].map(Reply::Int);
    let [again, unknown] = ["TRYAGAIN nothing was done", UNKNOWN].map(Reply::error);
    for (some, one, all) in [
        (&done, &done, &Reply::Int(2)),
        (&none, &again, &again),
        (&again, &none, &again),
        (&again, &again, &again),
        (&done, &again, &unknown),
        (&again, &done, &unknown),
        (&again, &unknown, &unknown),
        (&unknown, &none, &unknown),
        (&unknown, &done, &unknown),
    ] {
        assert_eq!(joined(some.clone(), one.clone()), *all, "{some:?} and {one:?}");
    }
}
