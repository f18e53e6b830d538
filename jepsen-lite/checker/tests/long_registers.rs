//! Long histories of a register that many clients use at once: what the search holds follows what
//! is open at once, whether there is an order or none.

use checker::Value;
use checker::models::cas_register::{Kind, Op};
use checker::models::synthetic::{Plan, register};
use checker::models::{CasRegister, Key};
use checker::search::{self, Budget, Finding, Operation, Statistics, Verdict};

const MIB: usize = 1 << 20;

fn clean(operations: usize) -> Vec<Operation<Op>> {
    register(Plan { seed: 1, operations, clients: 16 })
}

fn searched(operations: &[Operation<Op>]) -> (Verdict, Statistics) {
    let report = search::check(&CasRegister::default(), operations, Budget::default());
    (report.verdict, report.partitions[0].statistics)
}

#[test]
fn memory_follows_concurrency_not_length() {
    for length in [20_000, 200_000] {
        let (verdict, took) = searched(&clean(length));
        assert_eq!(verdict, Verdict::Ok);
        assert!(took.memory_bytes < 6 * MIB, "{took:?} for {length} operations");
    }
}

/// The one order that is found of a clean history has all its operations.
#[test]
fn what_was_let_go_is_in_the_order() {
    let operations = clean(60_000);
    let report = search::check(&CasRegister::default(), &operations, Budget::default());
    let Finding::Linearizable { order } = &report.partitions[0].finding else {
        panic!("it is clean")
    };
    let mut register = Value::Nil;
    let mut latest_invocation = 0;
    for operation in order.iter().map(|&index| &operations[index]) {
        assert!(operation.returned.is_none_or(|at| at > latest_invocation));
        latest_invocation = latest_invocation.max(operation.invoked);
        register = match &operation.op.kind {
            Kind::Read(value) if *value == register => register,
            Kind::Cas(old, new) if *old == register => new.clone(),
            Kind::Mismatch(old, _) if *old != register => register,
            Kind::Write(value) => value.clone(),
            other => panic!("{other:?} of {register}"),
        };
    }
    let known = |index: &usize| operations[*index].returned.is_some();
    let mut placed: Vec<usize> = order.iter().copied().filter(known).collect();
    placed.sort_unstable();
    assert_eq!(placed, (0..operations.len()).filter(known).collect::<Vec<_>>());
}

/// A lie far behind what was let go: to know that there is no order, all that it let go is gone
/// through, and no more is held for it.
#[test]
fn a_late_lie_is_illegal_within_the_same_memory() {
    let mut operations = clean(12_000);
    let end = operations.iter().filter_map(|it| it.returned).max().unwrap_or(0);
    let read = Op { key: Key(None), kind: Kind::Read(Value::Int(77)) };
    operations.push(Operation { op: read, invoked: end + 1, returned: Some(end + 2) });
    let (verdict, took) = searched(&operations);
    assert_eq!(verdict, Verdict::Illegal);
    assert!(took.memory_bytes < 48 * MIB, "{took:?}");
}

/// Writes of two values by turns, four at a time; and one of each that is pending all the while.
fn with_stragglers(length: usize) -> Vec<Operation<Op>> {
    let write = |value: usize, invoked, returned| {
        let kind = Kind::Write(Value::Int(i64::from(value % 2 == 1)));
        Operation { op: Op { key: Key(None), kind }, invoked, returned: Some(returned) }
    };
    let end = 4 * length + 14;
    let stragglers = [write(0, 0, end), write(1, 0, end + 1)];
    stragglers.into_iter().chain((1..length).map(|at| write(at, 4 * at, 4 * at + 13))).collect()
}

/// What is pending all the while costs no more, however long that is: what does the same as it
/// comes first at each step, and to know so takes no look at all that will. Where it does, this
/// runs out of its time.
#[test]
fn a_straggler_is_not_compared_with_all_that_is_to_come() {
    for length in [12_500, 100_000] {
        let (verdict, took) = searched(&with_stragglers(length));
        assert_eq!(verdict, Verdict::Ok, "{took:?}");
        assert_eq!(took.known, length + 1);
        assert!(took.configurations < 10 * length, "{took:?}");
        assert!(took.memory_bytes < 12 * MIB, "{took:?}");
    }
}
