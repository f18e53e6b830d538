//! Windows of one word, of two, and of more: as many operations at once as there are bits, and one
//! past that.

use cas_register::{Kind, Op};
use checker::models::{CasRegister, Key, cas_register};
use checker::search::{self, Budget, Finding, Operation, ReportOf, Verdict};
use checker::{Model, Value};

const SIZES: [usize; 8] = [2, 63, 64, 65, 127, 128, 129, 300];

fn operation(kind: Kind, invoked: usize, returned: usize) -> Operation<Op> {
    Operation { op: Op { key: Key(None), kind }, invoked, returned: Some(returned) }
}

fn int(number: usize) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Compare-and-sets from 0 to `links`, all pending at once, in some other order than that of the
/// chain; then a read. They have one order only.
fn chain(links: usize, read: usize) -> Vec<Operation<Op>> {
    let place = |link: usize| (link * 7 + 3) % links;
    let spread = if links.is_multiple_of(7) { (0..links).collect::<Vec<_>>() } else { Vec::new() };
    let place = |link: usize| spread.get(link).copied().unwrap_or_else(|| place(link));
    let link = |link: usize| {
        let kind = Kind::Cas(int(link), int(link + 1));
        operation(kind, place(link), 2 * links - place(link))
    };
    let last = operation(Kind::Read(int(read)), 3 * links, 3 * links + 1);
    (0..links).map(link).chain([last]).collect()
}

fn check(operations: &[Operation<Op>]) -> ReportOf<CasRegister> {
    search::check(
        &CasRegister { initial: int(0), ..CasRegister::default() },
        operations,
        Budget::default(),
    )
}

#[test]
fn as_many_at_once_as_may_be_are_ordered() {
    for links in SIZES {
        let report = check(&chain(links, links));
        assert_eq!(report.partitions[0].statistics.concurrency, links);
        let Finding::Linearizable { order } = &report.partitions[0].finding else {
            panic!("{links} links have an order")
        };
        assert_eq!(*order, (0..=links).collect::<Vec<_>>(), "of {links} links");
    }
}

#[test]
fn each_link_and_the_read_are_due() {
    for links in SIZES {
        assert_eq!(check(&chain(links, links - 1)).verdict, Verdict::Illegal, "{links} links");
        for broken in [0, links / 2, links - 1] {
            let mut operations = chain(links, links);
            operations[broken].op.kind = Kind::Cas(int(broken), int(links + 1));
            assert_eq!(check(&operations).verdict, Verdict::Illegal, "link {broken} of {links}");
        }
    }
}

/// Overlapping links of a longer chain, each begun before the one half a window before it is
/// seen: every slot is taken over by a later link many times. They have one order only.
#[test]
fn slots_are_taken_over_one_by_one() {
    for at_once in SIZES {
        let links = 3 * at_once;
        let mut operations = Vec::new();
        for link in 0..links {
            let at = 4 * link;
            let kind = Kind::Cas(int(link), int(link + 1));
            operations.push(operation(kind, at, at + 4 * at_once - 1));
            if let Some(seen) = link.checked_sub(at_once / 2) {
                operations.push(operation(Kind::Read(int(seen)), at + 1, at + 2));
            }
        }
        let report = check(&operations);
        assert_eq!(report.verdict, Verdict::Ok, "{at_once} at once");
        assert!(report.partitions[0].statistics.concurrency >= at_once);
        let model = CasRegister { initial: int(0), ..CasRegister::default() };
        let Finding::Linearizable { order } = &report.partitions[0].finding else {
            panic!("it is ok")
        };
        let end =
            order.iter().try_fold(int(0), |state, at| model.step(&state, &operations[*at].op));
        assert_eq!(end, Some(int(links)), "its order is legal");
        // No link is left that could lead back.
        operations.push(operation(Kind::Read(int(0)), 8 * links + 4 * at_once, usize::MAX >> 1));
        assert_eq!(check(&operations).verdict, Verdict::Illegal, "{at_once} at once");
    }
}
