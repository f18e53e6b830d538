//! What an explanation claims, held against a search of every order.

use cas_register::{Kind, Op};
use checker::models::{CasRegister, Key, cas_register};
use checker::search::{self, Budget, Operation, Verdict};
use checker::{Model, Value, explain};
use proptest::prelude::*;

/// Whether some order has all that are required; the others may be missing from it. `gone` are
/// those that are placed, or can no longer be.
fn exists(operations: &[Operation<Op>], required: &[bool], gone: u32, state: &Value) -> bool {
    let is_left = |index: &usize| gone >> index & 1 == 0;
    let left = || (0..operations.len()).filter(is_left);
    let due = left().filter(|index| required[*index]);
    let Some(first_return) = due.filter_map(|index| operations[index].returned).min() else {
        return true;
    };
    left().filter(|index| operations[*index].invoked < first_return).any(|index| {
        let next = CasRegister::default().step(state, &operations[index].op);
        let passed = left()
            .filter(|it| operations[*it].returned.is_some_and(|at| at < operations[index].invoked));
        let gone = passed.fold(gone | 1 << index, |gone, it| gone | 1 << it);
        next.is_some_and(|next| exists(operations, required, gone, &next))
    })
}

fn histories() -> impl Strategy<Value = Vec<Operation<Op>>> {
    let value = || (0_i64..3).prop_map(Value::Int);
    let kind = prop_oneof![
        value().prop_map(Kind::Read),
        value().prop_map(Kind::Write),
        (value(), value()).prop_map(|(old, new)| Kind::Cas(old, new)),
    ];
    let one = (kind, 0_usize..20, 1_usize..8, 0_u8..6);
    prop::collection::vec(one, 2..9).prop_map(|drawn| {
        let operation = |(index, (kind, at, length, luck)): (usize, (Kind, usize, usize, u8))| {
            // Distinct positions, so that brute force need not know which of two comes first.
            let place = |at: usize| at * 100 + index;
            let returned = (luck > 0).then(|| place(at + length));
            Operation { op: Op { key: Key(None), kind }, invoked: place(at), returned }
        };
        drawn.into_iter().enumerate().map(operation).collect()
    })
}

/// The last position up to the invocation of `stuck` at which nothing known was pending.
fn cut(operations: &[Operation<Op>], stuck: usize) -> usize {
    let invocations = operations.iter().map(|it| it.invoked);
    let pending = |at: usize| {
        operations.iter().any(|it| it.invoked < at && it.returned.is_some_and(|end| end >= at))
    };
    let known = |at: &usize| operations.iter().any(|it| it.invoked == *at && it.returned.is_some());
    let quiet = invocations.filter(known).filter(|at| *at <= operations[stuck].invoked);
    quiet.filter(|at| !pending(*at)).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        max_global_rejects: 100_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn claims_hold(operations in histories()) {
        let model = CasRegister::default();
        let report = search::check(&model, &operations, Budget::default());
        prop_assume!(report.verdict == Verdict::Illegal);
        let told = explain::explain(&model, &operations, &report, None, Budget::default());
        prop_assert_eq!(told.len(), 1);
        let told = &told[0];
        let stuck = told.operation.index;
        let end = operations[stuck].returned.unwrap_or(usize::MAX);
        let before = |at: usize, index: usize| operations[index].returned.is_some_and(|r| r < at);
        let required = |is: &dyn Fn(usize) -> bool| -> Vec<bool> {
            (0..operations.len()).map(is).collect()
        };
        let nil = Value::Nil;

        // The prefix is linearizable, and not with the completion.
        prop_assert!(told.is_first);
        let prefix = required(&|index| before(end, index));
        prop_assert!(exists(&operations, &prefix, 0, &nil));
        let with = required(&|index| index == stuck || before(end, index));
        prop_assert!(!exists(&operations, &with, 0, &nil));

        // A minimal window is not, whatever the others did; and each of it is needed, as far as no
        // operation in doubt may have taken effect on either side of where the window begins. One
        // that is not said to be minimal, for that reason, only tells what overlaps.
        let from = cut(&operations, stuck);
        let in_doubt = |it: &Operation<Op>| it.returned.is_none() && it.invoked < from;
        let straddled = operations.iter().any(in_doubt);
        let in_window = |index: usize| told.window.iter().any(|it| it.index == index);
        let window = required(&|index| before(from, index) || in_window(index));
        prop_assert!(told.window_is_minimal || straddled, "not minimal: {:?}", told);
        if told.window_is_minimal {
            prop_assert!(!exists(&operations, &window, 0, &nil), "{:?}", told);
        }
        for left_out in told.window.iter().filter(|_| !straddled) {
            let mut fewer = window.clone();
            fewer[left_out.index] = false;
            let is_possible = exists(&operations, &fewer, 0, &nil);
            prop_assert!(is_possible, "without {:?}: {:?}", left_out, told);
        }
    }
}
